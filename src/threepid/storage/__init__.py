"""The only room that knows SQL: one module a noun, its queries in `sql/`, the schema in `migrations/`."""
