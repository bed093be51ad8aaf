-- needed_privileges
-- Lists what parley_app may do: the privileges that requests need, and no others.
--
-- The one place that says so. sql/steps/set_privileges.sql grants these and takes all others back, and
-- list_privilege_faults compares them with the catalog. Whatever is not named here belongs to the owner alone. A name
-- that is missing in the database is left out, so this holds also while some migrations are taken back.
--
-- Returns a row for each privilege: object_kind ('schema', 'table', 'sequence' or 'function'), object (its oid),
-- privilege as GRANT names it, column_name (null: the whole object).
-- Index pg_class_relname_nsp_index, pg_proc_proname_args_nsp_index.
CREATE OR REPLACE FUNCTION needed_privileges()
RETURNS TABLE (object_kind text, object oid, privilege text, column_name text)
LANGUAGE sql STABLE SET search_path FROM CURRENT AS $$
    WITH home AS (
        SELECT pg_namespace.oid FROM pg_namespace WHERE pg_namespace.nspname = current_schema()
    ),

    of_tables (table_name, privileges, column_names) AS (
        VALUES
        ('chat_files', ARRAY['SELECT', 'INSERT', 'DELETE'], NULL::text[]),
        -- claim_conversation; store_file and store_message_files, which lock a file by its name; uploads.
        (
            'chat_files',
            ARRAY['UPDATE'],
            ARRAY['user_id', 'conversation_id', 'filename', 'bytes', 'file_id', 'is_used', 'created_at']
        ),
        -- Append-only: of a stored message a caller can change its marks (release_turn and finish_turn: refusal,
        -- failed_attempts, owed_attempt, and with add_cost a question's tokens; begin_turn: owed_attempt), its owner
        -- (claim_conversation), and the description of an answer, which may come after the answer (describe_answer).
        ('chat_messages', ARRAY['SELECT', 'INSERT'], NULL),
        (
            'chat_messages',
            ARRAY['UPDATE'],
            ARRAY[
                'user_id', 'superseded_at', 'refusal', 'failed_attempts', 'owed_attempt', 'prompt_tokens',
                'completion_tokens', 'is_mistake', 'mistake_note', 'updated_at', 'tone', 'behavior', 'context_type',
                'signal_strength', 'context_clarity', 'needs_knowledge'
            ]
        ),
        ('conversations', ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE'], NULL),
        ('finished_streams', ARRAY['SELECT', 'INSERT', 'DELETE'], NULL),
        ('finished_streams', ARRAY['UPDATE'], ARRAY['user_id']),
        ('known_networks', ARRAY['SELECT'], NULL),
        ('message_files', ARRAY['SELECT', 'INSERT'], NULL),
        ('message_files', ARRAY['UPDATE'], ARRAY['user_id']),
        -- list_migrations, within the wall.
        ('schema_migrations', ARRAY['SELECT'], NULL),
        -- No INSERT: store_stream_batches writes outside the wall, for all running answers of a process at once.
        ('stream_batches', ARRAY['SELECT', 'DELETE'], NULL),
        -- claim_conversation, and mark_stream_followed.
        ('stream_batches', ARRAY['UPDATE'], ARRAY['user_id', 'followed_at']),
        ('tasks', ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE'], NULL),
        ('tool_runs', ARRAY['SELECT', 'INSERT', 'DELETE'], NULL),
        ('tool_runs', ARRAY['UPDATE'], ARRAY['output']),
        ('user_settings', ARRAY['SELECT', 'INSERT', 'UPDATE'], NULL)
    ),

    -- Each signature of a name: running code may call the one of the version before. Those that act for a caller who
    -- is not known yet, or for several callers, are not here: the log-in, act_as_caller, the clean-up.
    of_functions (function_name) AS (
        VALUES
        ('begin_turn'), ('count_bytes'), ('count_tokens'), ('count_use'), ('decide_turn'), ('delete_own_account'),
        ('erase_conversation'), ('finish_turn'), ('is_kept'), ('list_conversations'), ('list_faults'),
        ('list_tool_runs'), ('list_turn_messages'), ('own_quota'), ('own_user'), ('read_history'), ('remember_user'),
        ('reserve_message_ids'), ('search_conversations'), ('search_excerpt'), ('search_query'),
        ('sign_out_everywhere'), ('store_import'), ('store_message_files'), ('told_files'),
        -- Called by a CHECK and by indexes, with the rights of the role that writes the row.
        ('check_chat_message'), ('search_fold'), ('search_class'), ('search_list'), ('search_parts'), ('search_words'),
        ('search_vector')
    ),

    tables AS (
        SELECT
            pg_class.oid,
            of_tables.privileges,
            of_tables.column_names,
            coalesce(obj_description(pg_class.oid, 'pg_class'), '') LIKE 'Parley:%' AS is_parleys
        FROM of_tables
        CROSS JOIN home
        INNER JOIN pg_class ON of_tables.table_name = pg_class.relname AND home.oid = pg_class.relnamespace
        WHERE pg_class.relkind IN ('r', 'p', 'v', 'f')
    )

    SELECT 'schema', home.oid, 'USAGE', NULL FROM home
    UNION ALL
    SELECT 'table', tables.oid, privileges.privilege, columns.column_name
    FROM tables
    CROSS JOIN unnest(tables.privileges) AS privileges (privilege)
    CROSS JOIN unnest(coalesce(tables.column_names, ARRAY[NULL])) AS columns (column_name)
    UNION ALL
    -- An application's own table may have an id of type serial: the role that inserts draws its numbers. Parley's own
    -- have identity columns, which need no privilege.
    SELECT 'sequence', pg_depend.objid, 'USAGE', NULL
    FROM tables
    INNER JOIN pg_depend ON tables.oid = pg_depend.refobjid
    INNER JOIN pg_class ON pg_depend.objid = pg_class.oid
    WHERE
        NOT tables.is_parleys
        AND pg_depend.refclassid = 'pg_class'::regclass
        AND pg_depend.classid = 'pg_class'::regclass
        AND pg_depend.deptype = 'a'
        AND pg_class.relkind = 'S'
    UNION ALL
    SELECT 'function', pg_proc.oid, 'EXECUTE', NULL
    FROM of_functions
    CROSS JOIN home
    INNER JOIN pg_proc ON of_functions.function_name = pg_proc.proname AND home.oid = pg_proc.pronamespace
$$;
COMMENT ON FUNCTION needed_privileges() IS 'Parley: what the role parley_app may do';
