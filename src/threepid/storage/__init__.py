"""The storage layer, the only one with SQL: a module for each noun, queries in `sql/`, the schema in `migrations/`."""
