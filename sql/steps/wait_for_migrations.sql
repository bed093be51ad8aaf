-- Take the lock of all migrations to the end of the transaction, and say whom it waits for. Included where a
-- transaction begins; it uses the psql variables lock_timeout and migration_timeout.

SELECT set_config('parley.migration_timeout', :'migration_timeout', TRUE) \g /dev/null
DO $$
DECLARE
    gives_up_at CONSTANT timestamptz := clock_timestamp() + current_setting('parley.migration_timeout')::interval;
    says_at timestamptz := clock_timestamp() + interval '1 second';
    holder text;
BEGIN
    WHILE NOT pg_try_advisory_xact_lock(hashtext('parley migrations')) LOOP
        IF clock_timestamp() > least(says_at, gives_up_at) THEN
            SELECT format(
                'process %s (%s), since %s', activity.pid, activity.application_name, activity.xact_start
            ) INTO holder
            FROM pg_locks
            INNER JOIN pg_stat_activity AS activity ON pg_locks.pid = activity.pid
            WHERE
                pg_locks.locktype = 'advisory'
                AND pg_locks.granted
                AND pg_locks.database = activity.datid
                AND pg_locks.objid = hashtext('parley migrations')::bit(32)::bigint::oid
            LIMIT 1;
            IF clock_timestamp() > gives_up_at THEN
                RAISE EXCEPTION USING
                    ERRCODE = 'lock_not_available',
                    MESSAGE = format('another migration has not ended: %s', coalesce(holder, 'it ends at this moment')),
                    HINT = 'Nothing was changed. Wait for it, or end it with pg_terminate_backend, and run this again.';
            END IF;
            RAISE WARNING 'waiting for another migration: %', coalesce(holder, 'it ends at this moment');
            says_at := 'infinity';
        END IF;
        PERFORM pg_sleep(0.05);
    END LOOP;
END
$$;
-- After the lock above. Turns queue behind a migration that waits for a table, so it does not wait long.
SELECT set_config('lock_timeout', :'lock_timeout', TRUE) \g /dev/null
SET LOCAL statement_timeout = '10min';
