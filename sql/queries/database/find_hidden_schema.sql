-- find_hidden_schema :many
-- Name the schemas with a table or function of Parley's into which the role, or parley_app, may not look.
--
-- For a step that has met a missing function or table: without USAGE on its schema, both seem not to exist. It calls no
-- function of Parley, because it comes when there may be none.
--
-- Returns 0 or more rows: name, the schema.
-- Index pg_class_relname_nsp_index: the tables by name.
SELECT pg_namespace.nspname::text AS name
FROM pg_class
INNER JOIN pg_namespace ON pg_class.relnamespace = pg_namespace.oid
WHERE
    pg_class.relname = 'chat_messages'
    AND (
        NOT has_schema_privilege(pg_namespace.oid, 'USAGE')
        OR EXISTS (
            SELECT FROM pg_roles
            WHERE pg_roles.rolname = 'parley_app' AND NOT has_schema_privilege(pg_roles.oid, pg_namespace.oid, 'USAGE')
        )
    );
