-- Refuse a database that Parley cannot use, before anything in it is changed. Included by migrate.sql.

DO $$
DECLARE
    advice CONSTANT text := 'No table was changed. Give Parley a schema of its own: export PARLEY_SCHEMA=parley, run this '
    'again, and give the functions the same variable (README.md, "A schema of its own").';
    is_parleys CONSTANT boolean
    := obj_description(to_regclass('schema_migrations'), 'pg_class') LIKE 'Parley:%';
    foreign_tables text;
    foreign_functions text;
    distant_tables text;
    missing_columns text;
    owned_tables text;
    faults text;
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
            'deleted_users', 'user_settings',
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
            'reach_conversation', 'register_account', 'remember_deleted_users', 'remember_user', 'replace_old_titles', 'rule_refusal',
            'search_class', 'search_conversations', 'search_excerpt', 'search_fold', 'search_list', 'search_parts',
            'search_query', 'search_vector', 'search_words', 'sign_out_everywhere', 'user_state',
            'count_bytes', 'check_chat_message', 'delete_files_of_messages', 'forget_message_counts',
            'read_history', 'reserve_message_ids', 'store_import', 'store_message_files', 'store_stream_batches', 'told_files',
            'list_faults', 'list_late_sequences', 'list_privilege_faults', 'needed_privileges'
        ]);
    IF foreign_functions IS NOT NULL THEN
        RAISE EXCEPTION USING
            ERRCODE = 'feature_not_supported',
            MESSAGE = format('functions exist already that Parley did not make: %s', foreign_functions),
            HINT = advice;
    END IF;

    SELECT string_agg(format('%I of %I', pg_class.relname, pg_class.relowner::regrole::text), ', ') INTO owned_tables
    FROM pg_class
    WHERE
        pg_class.relnamespace = current_schema()::regnamespace
        AND pg_class.relkind IN ('r', 'p')
        AND (
            pg_class.relname IN ('users', 'tasks')
            OR obj_description(pg_class.oid, 'pg_class') LIKE 'Parley:%'
        )
        AND NOT pg_has_role(current_user, pg_class.relowner, 'USAGE');
    IF owned_tables IS NOT NULL THEN
        RAISE EXCEPTION USING
            ERRCODE = 'insufficient_privilege',
            MESSAGE = format('tables belong to another role than "%s": %s', current_user, owned_tables),
            HINT = 'No table was changed. Migrate as that role, or have an administrator run ALTER TABLE … OWNER TO. '
            'Parley can also have a schema of its own: export PARLEY_SCHEMA=parley';
    END IF;

    -- An account is deleted with its rows, so none may be held by a table of the application's.
    SELECT string_agg(format('%s (%s)', pg_constraint.conrelid::regclass, pg_constraint.conname), ', ') INTO faults
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
        AND coalesce(obj_description(pg_constraint.conrelid, 'pg_class'), '') NOT LIKE 'Parley:%';
    IF faults IS NOT NULL THEN
        RAISE EXCEPTION USING
            ERRCODE = 'feature_not_supported',
            MESSAGE = format('foreign keys of other tables would keep accounts from being deleted: %s', faults),
            HINT = 'No table was changed. Give each of them ON DELETE CASCADE or ON DELETE SET NULL, and run this again.';
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
    SELECT string_agg(column_faults.fault, '; ' ORDER BY column_faults.fault) INTO faults
    FROM (
        -- Types: what Parley compares with and writes.
        SELECT
            format(
                '%s.%s is of type %s, and must be %s', needed.relation, needed.name,
                format_type(pg_attribute.atttypid, pg_attribute.atttypmod), needed.described
            ) AS fault
        FROM (
            VALUES
            ('tasks', 'id', '{int2,int4,int8,uuid}', 'serial or identity'),
            ('tasks', 'user_id', '{varchar,text}', 'varchar or text, like users.id'),
            ('tasks', 'title', '{varchar,text}', 'varchar(200) or text'),
            ('tasks', 'description', '{varchar,text}', 'varchar(1000) or text'),
            ('tasks', 'completed', '{bool}', 'boolean'),
            ('tasks', 'created_at', '{timestamp,timestamptz}', 'timestamptz'),
            ('tasks', 'updated_at', '{timestamp,timestamptz}', 'timestamptz'),
            ('users', 'is_active', '{bool}', 'boolean')
        ) AS needed (relation, name, types, described)
        INNER JOIN pg_attribute
            ON pg_attribute.attrelid = to_regclass(needed.relation) AND pg_attribute.attname = needed.name
        INNER JOIN pg_type ON pg_attribute.atttypid = pg_type.oid
        WHERE
            NOT pg_attribute.attisdropped
            AND (
                pg_type.typname <> ALL(needed.types::name[])
                OR pg_type.typnamespace <> 'pg_catalog'::regnamespace
                OR (
                    pg_attribute.atttypmod > 0 AND pg_type.typname = 'varchar'
                    AND pg_attribute.atttypmod - 4 < CASE needed.name
                        WHEN 'title' THEN 200
                        WHEN 'description' THEN 1000
                        ELSE 0
                    END
                )
            )
        UNION ALL
        -- The same for a profile, which remember_user writes where the table has all three columns.
        SELECT
            format(
                'users.%s is of type %s, and must be %s', pg_attribute.attname,
                format_type(pg_attribute.atttypid, pg_attribute.atttypmod),
                CASE pg_attribute.attname WHEN 'updated_at' THEN 'timestamptz' ELSE 'varchar or text' END
            )
        FROM pg_attribute
        INNER JOIN pg_type ON pg_attribute.atttypid = pg_type.oid
        WHERE
            pg_attribute.attrelid = to_regclass('users')
            AND pg_attribute.attname IN ('email', 'name', 'updated_at')
            AND NOT pg_attribute.attisdropped
            AND pg_type.typname <> ALL(
                CASE pg_attribute.attname
                    WHEN 'updated_at' THEN '{timestamp,timestamptz}'::name[]
                    ELSE '{varchar,text,citext}'
                END
            )
            AND 3 = (
                SELECT count(*) FROM pg_attribute AS profile
                WHERE
                    profile.attrelid = to_regclass('users')
                    AND profile.attname IN ('email', 'name', 'updated_at')
                    AND NOT profile.attisdropped
            )
        UNION ALL
        -- What an INSERT into tasks leaves out must have a value by itself.
        SELECT format('tasks.%s is NOT NULL and has no default', pg_attribute.attname)
        FROM pg_attribute
        WHERE
            pg_attribute.attrelid = to_regclass('tasks')
            AND pg_attribute.attnum > 0
            AND NOT pg_attribute.attisdropped
            AND pg_attribute.attnotnull
            AND NOT pg_attribute.atthasdef
            AND pg_attribute.attidentity = ''
            AND pg_attribute.attname NOT IN ('user_id', 'title', 'description', 'completed', 'created_at', 'updated_at')
        UNION ALL
        SELECT format('%s.%s is generated, and cannot be written', pg_attribute.attrelid::regclass, pg_attribute.attname)
        FROM pg_attribute
        WHERE
            pg_attribute.attgenerated <> ''
            AND (
                (pg_attribute.attrelid = to_regclass('users') AND pg_attribute.attname IN ('id', 'email', 'name', 'updated_at'))
                OR (
                    pg_attribute.attrelid = to_regclass('tasks')
                    AND pg_attribute.attname
                    IN ('user_id', 'title', 'description', 'completed', 'created_at', 'updated_at')
                )
            )
        UNION ALL
        -- Row-level security of the application's hides its rows: FORCE from the owner too, and of `tasks` from the
        -- caller's role, unless a policy is for that.
        SELECT
            format(
                '%s has %sROW LEVEL SECURITY, which hides its rows from Parley', pg_class.oid::regclass,
                CASE WHEN pg_class.relforcerowsecurity THEN 'FORCE ' ELSE '' END
            )
        FROM pg_class
        WHERE
            pg_class.oid IN (to_regclass('users'), to_regclass('tasks'))
            AND pg_class.relrowsecurity
            AND (
                pg_class.relforcerowsecurity
                OR (
                    pg_class.oid = to_regclass('tasks')
                    AND NOT EXISTS (
                        SELECT FROM pg_policy
                        WHERE
                            pg_policy.polrelid = pg_class.oid
                            AND pg_policy.polroles && ARRAY[0, to_regrole('parley_app')]::oid[]
                    )
                )
            )
        UNION ALL
        SELECT format('%s is no table', pg_class.oid::regclass)
        FROM pg_class
        WHERE
            pg_class.oid IN (to_regclass('users'), to_regclass('tasks'))
            AND pg_class.relkind NOT IN ('r', 'p')
    ) AS column_faults;
    IF faults IS NOT NULL THEN
        RAISE EXCEPTION USING
            ERRCODE = 'feature_not_supported',
            MESSAGE = format('the existing tables cannot serve: %s', faults),
            HINT = advice;
    END IF;
    -- No refusal: the users who are there already can chat, and others are told that they are unknown.
    SELECT string_agg(pg_attribute.attname, ', ' ORDER BY pg_attribute.attnum) INTO faults
    FROM pg_attribute
    WHERE
        pg_attribute.attrelid = to_regclass('users')
        AND pg_attribute.attnum > 0
        AND NOT pg_attribute.attisdropped
        AND pg_attribute.attnotnull
        AND NOT pg_attribute.atthasdef
        AND pg_attribute.attidentity = ''
        AND pg_attribute.attname <> 'id';
    IF faults IS NOT NULL THEN
        RAISE WARNING 'a user who is not in the existing table "users" may get 403 account_unknown: % without a default',
            faults;
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
