-- list_migrations :many
-- The migrations that are applied; answers at the same time whether the database can be reached.
--
-- Returns a row a migration: name.
-- Index none: a handful of rows.
SELECT schema_migrations.name
FROM schema_migrations
ORDER BY schema_migrations.name;
