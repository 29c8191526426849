-- name: version()$
-- The newest migration that was applied to this database.
SELECT max(version) AS version FROM schema_migrations;
