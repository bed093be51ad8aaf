-- describe_access :one
-- Whether the role of the connection may do what requests do; asks the catalog alone, which everybody may read.
--
-- Returns one row: role_name (of the connection), may_act (as parley_app), owner_name (of Parley's tables; null: there
-- are none on the search_path), is_owner (the role owns them, or has the rights of the role that does).
-- Index pg_authid_rolname_index: a look at a few rows of the catalog.
SELECT
    current_user::text AS role_name,
    coalesce(
        pg_has_role(
            current_user,
            to_regrole('parley_app')::oid,
            -- Since PostgreSQL 16 a member of a role may not always act as it.
            CASE WHEN current_setting('server_version_num')::integer >= 160000 THEN 'SET' ELSE 'MEMBER' END
        ),
        FALSE
    ) AS may_act,
    pg_get_userbyid(migrations.relowner)::text AS owner_name,
    coalesce(pg_has_role(current_user, migrations.relowner, 'USAGE'), FALSE) AS is_owner
FROM (VALUES (to_regclass('schema_migrations')::oid)) AS home (table_oid)
LEFT JOIN pg_class AS migrations ON home.table_oid = migrations.oid;
