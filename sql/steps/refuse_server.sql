-- Refuse a server, a database or a name of a schema that Parley cannot use. Included by open.sql.
-- In ASCII, like refuse_pooler.sql: psql sends it to databases of any encoding.

DO $$
DECLARE
    wanted CONSTANT text := current_setting('parley.schema');
    encoding CONSTANT text := (
        SELECT pg_encoding_to_char(pg_database.encoding) FROM pg_database WHERE pg_database.datname = current_database()
    );
BEGIN
    IF pg_is_in_recovery() THEN
        RAISE EXCEPTION USING
            ERRCODE = 'read_only_sql_transaction',
            MESSAGE = 'this server is a replica, which only reads',
            HINT = 'Nothing was changed. Use the URL of the primary server.';
    ELSIF encoding <> 'UTF8' THEN
        RAISE EXCEPTION USING
            ERRCODE = 'feature_not_supported',
            MESSAGE = format('the database "%s" has the encoding %s, which cannot store all texts', current_database(), encoding),
            HINT = 'Nothing was changed. Parley needs UTF8: CREATE DATABASE ... TEMPLATE template0 ENCODING ''UTF8''.';
    ELSIF wanted <> '' AND (wanted !~ '^[a-z_][a-z0-9_]{0,62}$' OR wanted ~ '^pg_' OR wanted = 'information_schema') THEN
        RAISE EXCEPTION USING
            ERRCODE = 'invalid_schema_name',
            MESSAGE = format('PARLEY_SCHEMA cannot be "%s"', wanted),
            HINT = 'Nothing was changed. Use 1 to 63 small letters, digits and _, not first a digit or pg_: parley.';
    ELSIF wanted = '' AND current_schema() IS NULL THEN
        RAISE EXCEPTION USING
            ERRCODE = 'invalid_schema_name',
            MESSAGE = 'the search_path names no schema that exists',
            HINT = 'Nothing was changed. Name one, which is made if it is missing: export PARLEY_SCHEMA=parley';
    ELSIF
        wanted <> '' AND to_regnamespace(wanted) IS NULL
        AND NOT has_database_privilege(current_database(), 'CREATE')
    THEN
        RAISE EXCEPTION USING
            ERRCODE = 'insufficient_privilege',
            MESSAGE = format('the role "%s" may not make the schema "%s"', current_user, wanted),
            HINT = format(
                'Nothing was changed. Have the owner of the database run this: CREATE SCHEMA %I AUTHORIZATION %I;',
                wanted, current_user
            );
    ELSIF NOT has_schema_privilege(coalesce(to_regnamespace(nullif(wanted, '')), current_schema()::regnamespace), 'CREATE')
        AND (wanted = '' OR to_regnamespace(wanted) IS NOT NULL)
    THEN
        RAISE EXCEPTION USING
            ERRCODE = 'insufficient_privilege',
            MESSAGE = format(
                'the role "%s" may not make tables in the schema "%s"', current_user, coalesce(nullif(wanted, ''), current_schema())
            ),
            HINT = format(
                'Nothing was changed. Have the owner of the schema run this: GRANT USAGE, CREATE ON SCHEMA %I TO %I; '
                'or use a schema of Parley''s own: export PARLEY_SCHEMA=parley',
                coalesce(nullif(wanted, ''), current_schema()), current_user
            );
    END IF;
END
$$;
