-- list_schemas :many
-- The schemas of this database in which Parley's tables are, for a health that does not find them.
--
-- Returns a row a schema: name, in alphabetical order.
-- Index none: reads the catalog.
SELECT pg_namespace.nspname::text AS name
FROM pg_class
INNER JOIN pg_namespace ON pg_class.relnamespace = pg_namespace.oid
WHERE
    pg_class.relname = 'schema_migrations'
    AND pg_class.relkind = 'r'
    AND obj_description(pg_class.oid, 'pg_class') LIKE 'Parley:%%'
ORDER BY pg_namespace.nspname;
