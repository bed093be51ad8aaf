-- list_faults
-- Lists what is wrong with the database around Parley's tables: who may what, numbers, and whether it can be written.
--
-- For health, in the round trip of list_migrations. With the rights of its owner, because parley_app may read neither
-- the sequences nor the rows of others.
--
-- Returns a row for each fault: kind ('read_only', 'missing_privilege', 'open_privilege', 'late_sequence',
-- 'missing_column' or 'keeping_key'), description (which object and which role, for an operator alone).
-- Index those of list_privilege_faults and list_late_sequences.
CREATE OR REPLACE FUNCTION list_faults()
RETURNS TABLE (kind text, description text)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    IF pg_is_in_recovery() THEN
        RETURN QUERY SELECT 'read_only', 'the server is a standby, or is being restored';
    ELSIF current_setting('transaction_read_only')::boolean THEN
        RETURN QUERY SELECT 'read_only', 'default_transaction_read_only is on';
    END IF;
    RETURN QUERY
    SELECT
        CASE WHEN faults.is_missing THEN 'missing_privilege' ELSE 'open_privilege' END,
        format(
            CASE WHEN faults.is_missing THEN '%s lacks %s on %s' ELSE '%s has %s on %s' END,
            faults.grantee,
            string_agg(faults.privilege, ', '),
            faults.object_name
        )
    FROM list_privilege_faults() AS faults
    GROUP BY faults.is_missing, faults.grantee, faults.object_name
    ORDER BY faults.grantee, faults.object_name;
    RETURN QUERY
    SELECT
        'late_sequence',
        format(
            '%s would give %s next, and %s has %s already',
            late.sequence_name, late.next_number, late.table_name, late.greatest_number
        )
    FROM list_late_sequences(FALSE) AS late;
    -- An application may change its own `tasks` after the migration.
    RETURN QUERY
    SELECT
        'missing_column',
        format('tasks lacks %s', needed.name)
    FROM unnest(
        ARRAY['id', 'user_id', 'title', 'description', 'completed', 'created_at', 'updated_at']
    ) AS needed (name)
    WHERE NOT EXISTS (
        SELECT FROM pg_attribute
        WHERE
            pg_attribute.attrelid = to_regclass('tasks')
            AND pg_attribute.attname = needed.name
            AND NOT pg_attribute.attisdropped
    );
    -- As check_database.sql refuses them before a migration; an application may have added them since.
    RETURN QUERY
    SELECT
        'keeping_key',
        format(
            '%s of %s refers to %s', pg_constraint.conname, pg_constraint.conrelid::regclass, pg_constraint.confrelid::regclass
        )
    FROM pg_constraint
    INNER JOIN pg_class AS referred ON pg_constraint.confrelid = referred.oid
    WHERE
        pg_constraint.contype = 'f'
        AND pg_constraint.confdeltype IN ('a', 'r')
        AND referred.relnamespace = current_schema()::regnamespace
        AND (
            referred.relname = 'tasks'
            OR obj_description(referred.oid, 'pg_class') LIKE 'Parley:%'
        )
        AND coalesce(obj_description(pg_constraint.conrelid, 'pg_class'), '') NOT LIKE 'Parley:%'
    ORDER BY pg_constraint.conrelid::regclass::text, pg_constraint.conname;
END
$$;
COMMENT ON FUNCTION list_faults()
IS 'Parley: what is wrong with the privileges, the sequences, the server, and tables of the application''s';
