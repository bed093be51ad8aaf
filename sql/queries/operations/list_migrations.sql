-- list_migrations :many
-- The applied migrations; an answer also shows that the database can be reached.
--
-- Returns a row a migration: name.
-- Index none: a handful of rows.
SELECT schema_migrations.name
FROM schema_migrations
ORDER BY schema_migrations.name;
