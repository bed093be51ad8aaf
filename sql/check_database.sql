-- Refuse a database that Parley cannot use, before anything in it is changed. Included by migrate.sql.

DO $$
DECLARE
    advice CONSTANT text := 'No table was changed. Give Parley a role and a schema of its own '
    '(README.md, "A schema of its own"), and run this again.';
    is_parleys CONSTANT boolean
    := obj_description(to_regclass('schema_migrations'), 'pg_class') LIKE 'Parley:%';
    foreign_tables text;
    foreign_functions text;
    distant_tables text;
    missing_columns text;
BEGIN
    IF is_parleys THEN
        IF EXISTS (SELECT FROM schema_migrations WHERE schema_migrations.name = '001_users') THEN
            RAISE EXCEPTION USING
                ERRCODE = 'feature_not_supported',
                MESSAGE = 'this database was made by the twenty migrations that came before version 0.1.0, '
                'and these migrations cannot go on from there',
                HINT = 'No table was changed. Use an empty database or schema instead, and run this again. '
                '(CHANGELOG.md has more; the database of make dev goes with the folder .parley.)';
        END IF;
    END IF;

    SELECT string_agg(names.name, ', ' ORDER BY names.name) INTO foreign_tables
    FROM unnest(
        ARRAY[
            'schema_migrations', 'conversations', 'chat_messages', 'quotas', 'tool_runs',
            'stream_batches', 'finished_streams', 'metric_counters', 'account_attempts', 'known_networks',
            'chat_files', 'message_files'
        ]
    ) AS names (name)
    WHERE
        to_regclass(names.name) IS NOT NULL
        AND coalesce(obj_description(to_regclass(names.name), 'pg_class'), '') NOT LIKE 'Parley:%';
    IF foreign_tables IS NOT NULL THEN
        RAISE EXCEPTION USING
            ERRCODE = 'feature_not_supported',
            MESSAGE = format('tables exist already that Parley did not make: %s', foreign_tables),
            HINT = advice;
    END IF;

    SELECT string_agg(pg_proc.oid::regprocedure::text, ', ' ORDER BY pg_proc.oid) INTO foreign_functions
    FROM pg_proc
    WHERE
        pg_proc.pronamespace = current_schema()::regnamespace
        AND coalesce(obj_description(pg_proc.oid, 'pg_proc'), '') NOT LIKE 'Parley:%'
        AND pg_proc.proname = any(ARRAY[
            'act_as_caller', 'begin_turn', 'change_password', 'count_account_attempt',
            'count_guess', 'count_tokens', 'count_use', 'decide_turn', 'delete_old_chat_messages',
            'delete_old_conversations', 'delete_own_account', 'erase_conversation',
            'find_account', 'finish_log_in', 'finish_turn', 'is_kept', 'list_conversations', 'list_slow_statements',
            'list_tool_runs', 'list_turn_messages', 'own_quota', 'own_user',
            'reach_conversation', 'register_account', 'remember_user', 'replace_old_titles',
            'search_class', 'search_conversations', 'search_excerpt', 'search_fold', 'search_list', 'search_parts',
            'search_query', 'search_vector', 'search_words', 'sign_out_everywhere', 'user_state',
            'count_bytes', 'check_chat_message', 'delete_files_of_messages', 'forget_message_counts',
            'read_history', 'store_message_files', 'store_stream_batches', 'told_files',
            'list_faults', 'list_late_sequences', 'list_privilege_faults', 'needed_privileges'
        ]);
    IF foreign_functions IS NOT NULL THEN
        RAISE EXCEPTION USING
            ERRCODE = 'feature_not_supported',
            MESSAGE = format('functions exist already that Parley did not make: %s', foreign_functions),
            HINT = advice;
    END IF;

    -- Parley's tables would reference these, which its functions do not find: their path is Parley's schema alone.
    SELECT string_agg(pg_class.oid::regclass::text, ', ' ORDER BY pg_class.relname) INTO distant_tables
    FROM pg_class
    WHERE
        pg_class.oid IN (to_regclass('users'), to_regclass('tasks'), to_regclass('conversations'))
        AND pg_class.relnamespace <> current_schema()::regnamespace;
    IF distant_tables IS NOT NULL THEN
        RAISE EXCEPTION USING
            ERRCODE = 'feature_not_supported',
            MESSAGE = format(
                'tables of the search_path lie outside of the schema %I: %s', current_schema(), distant_tables
            ),
            HINT = advice;
    END IF;

    -- An application's own `users` and `tasks` are looked at before the first migration alone: later the application
    -- may change them as it likes.
    IF to_regclass('conversations') IS NOT NULL THEN
        RETURN;
    END IF;
    IF to_regclass('users') IS NOT NULL AND NOT EXISTS (
        SELECT FROM pg_attribute AS id_column
        INNER JOIN pg_index AS key ON id_column.attrelid = key.indrelid
        WHERE
            id_column.attrelid = to_regclass('users')
            AND id_column.attname = 'id'
            AND id_column.atttypid IN ('varchar'::regtype, 'text'::regtype)
            AND key.indisunique
            AND key.indpred IS NULL
            AND key.indnkeyatts = 1
            AND key.indkey[0] = id_column.attnum
    ) THEN
        RAISE EXCEPTION USING
            ERRCODE = 'feature_not_supported',
            MESSAGE = 'the existing table "users" cannot serve: it has no column "id" of type varchar or text '
            'with a primary key or unique constraint',
            HINT = advice;
    END IF;
    SELECT string_agg(needed.name, ', ') INTO missing_columns
    FROM unnest(
        ARRAY['id', 'user_id', 'title', 'description', 'completed', 'created_at', 'updated_at']
    ) AS needed (name)
    WHERE
        to_regclass('tasks') IS NOT NULL
        AND NOT EXISTS (
            SELECT FROM pg_attribute
            WHERE pg_attribute.attrelid = to_regclass('tasks') AND pg_attribute.attname = needed.name
        );
    IF missing_columns IS NOT NULL THEN
        RAISE EXCEPTION USING
            ERRCODE = 'feature_not_supported',
            MESSAGE = format('the existing table "tasks" cannot serve: it lacks %s', missing_columns),
            HINT = advice;
    END IF;
END
$$;
