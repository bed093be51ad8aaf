-- Take the lock of those who build indexes, for the session, and say whom it waits for. Included by apply_indexes.sql.
--
-- None may wait for this lock within a statement: the session that builds an index waits for all older statements, and
-- so for the statements that wait for it.

SELECT set_config('parley.migration_timeout', :'migration_timeout', FALSE) \g /dev/null
DO $$
DECLARE
    gives_up_at CONSTANT timestamptz := clock_timestamp() + current_setting('parley.migration_timeout')::interval;
    says_at timestamptz := clock_timestamp() + interval '1 second';
    holder text;
BEGIN
    WHILE NOT pg_try_advisory_lock(hashtext('parley indexes')) LOOP
        IF clock_timestamp() > least(says_at, gives_up_at) THEN
            SELECT format(
                'process %s (%s), since %s: %s',
                activity.pid, activity.application_name, activity.query_start, left(activity.query, 80)
            ) INTO holder
            FROM pg_locks
            INNER JOIN pg_stat_activity AS activity ON pg_locks.pid = activity.pid
            WHERE
                pg_locks.locktype = 'advisory'
                AND pg_locks.granted
                AND pg_locks.database = activity.datid
                AND pg_locks.objid = hashtext('parley indexes')::bit(32)::bigint::oid
            LIMIT 1;
            IF clock_timestamp() > gives_up_at THEN
                RAISE EXCEPTION USING
                    ERRCODE = 'lock_not_available',
                    MESSAGE = format(
                        'another session builds indexes, or has left its lock: %s', coalesce(holder, 'it ends at this moment')
                    ),
                    HINT = 'Wait for it, or end it with pg_terminate_backend(its process), and run this again.';
            END IF;
            RAISE WARNING 'waiting for another session that builds indexes: %', coalesce(holder, 'it ends now');
            says_at := 'infinity';
        END IF;
        COMMIT;
        PERFORM pg_sleep(0.1);
        COMMIT;
    END LOOP;
END
$$;
