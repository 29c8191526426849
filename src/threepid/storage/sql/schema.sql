-- name: version()$
-- The newest step that was applied to this database.
SELECT max(version) AS version FROM schema_migrations;
