-- Refuse a database without Parley's functions, and make its schema the path of this transaction. Included by
-- privileges.sql and sequences.sql.

DO $$
BEGIN
    IF to_regprocedure('list_privilege_faults()') IS NULL THEN
        RAISE EXCEPTION USING
            ERRCODE = 'undefined_function',
            MESSAGE = format('the schema "%s" has no functions of Parley''s, or those of an earlier version', current_schema()),
            HINT = 'Run sql/migrate.sql, which sets privileges and sequences as well.';
    END IF;
END
$$;
SELECT set_config('search_path', format('%I, pg_temp', current_schema()), TRUE) \g /dev/null
