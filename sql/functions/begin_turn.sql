-- begin_turn
-- Begins a turn, in one call: the wall, the caller's row of users, the decision, the message and the lease.
--
-- The plain new message, in a conversation that is there and free, is decided here by a few simple statements. All
-- others are for decide_turn, which knows each case and starts a plan of a hundred nodes: first messages, retries,
-- edits, regenerated answers, running and lapsed turns, archived, expired and full conversations.
--
-- Parameters
--   caller_id            text              user_id of act_as_caller, which also takes the next seven
--   reachable_id         uuid              conversation_id of act_as_caller
--   needs_account        boolean           true: the caller must be in `users` already
--   token_issued_at      timestamptz       when the token was issued
--   key_hash             bytea             of the key that came with the id
--   client_subject       text              of the client, for guesses
--   timeout_ms           integer           of each later statement of the transaction
--   approach             text              null: the wall stands already
--   user_email           text              see remember_user, like the next one
--   user_name            text              of the caller
--   conversation_id      uuid              see decide_turn, like all others: the conversation; created if there is none
--   user_id              text              the caller; null: anonymous
--   message_id           text              id of the user message; null: regenerate the last answer
--   content              text              its text; null when message_id is null
--   files                jsonb             its files; null: none
--   file_bytes           bigint            bytes of its files that store_message_files stores after this
--   steps                json              its parts in their order, where text and files alone do not tell them; null:
--                                          they do
--   metadata             jsonb             the sender's own data, stored with the message; null: none
--   replaced_message_id  text              the user message that this one replaces under a new id
--   regenerates          boolean           true: answer a question again that has an answer already
--   answer_message_id    text              with regenerates: the answer to replace; null: the last
--   title                text              title of a conversation that is new, or whose title has expired
--   turn_id              uuid              token of this attempt; its own retries send the same
--   lease_seconds        double precision  seconds until the lease ends, unless it is prolonged
--   takes_turn           boolean           false: only look whether the message is answered
--   max_messages         integer           messages that a conversation may hold
--   quota_subjects       text[]            the subjects that an answer counts for, as count_use takes them; {}: none
--   messages_per_minute  integer[]         answers that each may ask for in a minute; 0: any number
--   messages_per_day     integer[]         answers that each may ask for in a day; 0: any number
--   bytes_per_day        bigint[]          bytes of messages that each may store in a day; 0: any number
--   tokens_per_day       bigint[]          tokens after which each gets no further answer that day; 0: any number
--   model                text              name of the model that the request asks for; null: none
--   models               text[]            names of the models that may answer it, the caller's default first
--   model_subjects       text[]            of each, the subject that counts its answers to the caller
--   model_messages_per_day  integer[]      of each, the answers that the caller may ask for in a day; 0: any number
--   persona              text              as requested, stored with the message; null: none
--   tone                 text              likewise
--   behavior             text              likewise
--   retention_days       integer           older messages count as deleted; 0: keep all
--   now                  timestamptz       null: the database's clock
--
-- Returns 1 row. Those of decide_turn: quota_number, quota_refusal, minute_remaining, minute_reset_seconds,
-- day_remaining, day_reset_seconds, held_turn_id, verdict, may_ask_title, lease_remaining_seconds, current_title. And
-- tool_runs, the rows of list_tool_runs as a JSON array of objects
-- (null: there are none, as for nearly every turn). answering_model: the requested one of models, else the
-- conversation's, else the first; where its day is limited, its subject is counted after quota_subjects. instructions of
-- the conversation, and user_instructions (null: none).
-- Raises what act_as_caller raises; and unique_violation, see decide_turn.
-- Index users_pkey, conversations_pkey, uq_chat_messages_message_id, tool_runs_pkey.
CREATE OR REPLACE FUNCTION begin_turn(
    caller_id text,
    reachable_id uuid,
    needs_account boolean,
    token_issued_at timestamptz,
    key_hash bytea,
    client_subject text,
    timeout_ms integer,
    approach text,
    user_email text,
    user_name text,
    conversation_id uuid,
    user_id text,
    message_id text,
    content text,
    files jsonb,
    file_bytes bigint,
    steps json,
    metadata jsonb,
    replaced_message_id text,
    regenerates boolean,
    answer_message_id text,
    title text,
    turn_id uuid,
    lease_seconds double precision,
    takes_turn boolean,
    max_messages integer,
    quota_subjects text[],
    messages_per_minute integer[],
    messages_per_day integer[],
    bytes_per_day bigint[],
    tokens_per_day bigint[],
    model text,
    models text[],
    model_subjects text[],
    model_messages_per_day integer[],
    persona text,
    tone text,
    behavior text,
    retention_days integer,
    now timestamptz
)
RETURNS TABLE (
    quota_number integer,
    quota_refusal text,
    minute_remaining integer,
    minute_reset_seconds double precision,
    day_remaining integer,
    day_reset_seconds double precision,
    held_turn_id uuid,
    verdict text,
    may_ask_title boolean,
    lease_remaining_seconds double precision,
    current_title varchar,
    tool_runs json,
    answering_model text,
    instructions text,
    user_instructions text
)
-- enable_seqscan: a plan that is made while a table is empty, and kept, would read it whole when it has grown.
LANGUAGE plpgsql VOLATILE
SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET search_path FROM CURRENT AS $$
#variable_conflict use_column
DECLARE
    began_at CONSTANT timestamptz := coalesce(begin_turn.now, now());
    conversation record;
    quota record;
    decision record;
    model_number integer;
BEGIN
    IF approach IS NOT NULL THEN
        PERFORM act_as_caller(
            caller_id, reachable_id, needs_account, token_issued_at, key_hash, client_subject, timeout_ms, approach
        );
    END IF;
    -- A user with a local account is stored already, or was deleted and must not come back.
    IF caller_id IS NOT NULL AND NOT needs_account THEN
        PERFORM remember_user(caller_id, user_email, user_name, token_issued_at);
    END IF;

    -- The lock comes before each look at the messages, in a statement of its own. In READ COMMITTED a statement keeps
    -- the snapshot that it took before it waited for a lock: a statement that locked and decided at once would not see
    -- the answer of the request before it, and the model would answer a second time. (NO KEY: the foreign keys of
    -- messages that are being inserted need not wait.)
    SELECT
        conversations.status,
        conversations.turn_id,
        conversations.title,
        conversations.message_count,
        conversations.model,
        conversations.instructions,
        is_kept(conversations.titled_at, begin_turn.retention_days, begin_turn.now) AS is_title_kept,
        is_kept(conversations.updated_at, begin_turn.retention_days, begin_turn.now) AS is_kept
    INTO conversation
    FROM conversations
    WHERE
        conversations.id = begin_turn.conversation_id
        AND conversations.user_id IS NOT DISTINCT FROM begin_turn.user_id
    FOR NO KEY UPDATE;
    IF conversation.is_kept THEN
        instructions := conversation.instructions;
        model_number := array_position(models, conversation.model);
    END IF;
    model_number := coalesce(array_position(models, begin_turn.model), model_number, 1);
    answering_model := models[model_number];
    IF model_messages_per_day[model_number] > 0 THEN
        -- After the caller's own subjects, in whose order all sessions lock: so no two deadlock.
        quota_subjects := quota_subjects || model_subjects[model_number];
        messages_per_minute := messages_per_minute || 0;
        messages_per_day := messages_per_day || model_messages_per_day[model_number];
        bytes_per_day := bytes_per_day || 0::bigint;
        tokens_per_day := tokens_per_day || 0::bigint;
    END IF;
    IF begin_turn.user_id IS NOT NULL THEN
        user_instructions := (
            SELECT user_settings.instructions FROM user_settings WHERE user_settings.user_id = begin_turn.user_id
        );
    END IF;
    IF conversation.turn_id IS NULL AND conversation.message_count IS NULL THEN
        conversation.message_count := (
            SELECT count(*)
            FROM chat_messages
            WHERE
                chat_messages.conversation_id = begin_turn.conversation_id
                AND chat_messages.user_id IS NOT DISTINCT FROM begin_turn.user_id
                AND chat_messages.superseded_at IS NULL
                AND chat_messages.role <> 'system'
                AND is_kept(chat_messages.created_at, begin_turn.retention_days, begin_turn.now)
        );
    END IF;

    IF
        -- The conversation is there and free.
        conversation.turn_id IS NULL
        AND conversation.status = 'active'
        AND conversation.is_kept
        AND conversation.is_title_kept
        AND conversation.title IS NOT NULL
        AND conversation.message_count < begin_turn.max_messages
        -- The request is a message, which replaces none.
        AND begin_turn.takes_turn
        AND NOT begin_turn.regenerates
        AND begin_turn.message_id IS NOT NULL
        AND begin_turn.replaced_message_id IS NULL
        -- The message is new.
        AND NOT EXISTS (
            SELECT FROM chat_messages
            WHERE
                chat_messages.conversation_id = begin_turn.conversation_id
                AND chat_messages.user_id IS NOT DISTINCT FROM begin_turn.user_id
                AND chat_messages.message_id = begin_turn.message_id
                AND chat_messages.superseded_at IS NULL
        )
    THEN
        may_ask_title := FALSE;
        current_title := conversation.title;
        IF cardinality(begin_turn.quota_subjects) > 0 THEN
            quota := count_use(
                begin_turn.quota_subjects,
                begin_turn.messages_per_minute,
                begin_turn.messages_per_day,
                begin_turn.bytes_per_day,
                begin_turn.tokens_per_day,
                octet_length(begin_turn.content)
                + begin_turn.file_bytes
                + coalesce(pg_column_size(begin_turn.files), 0)
                + coalesce(pg_column_size(begin_turn.steps), 0)
                + coalesce(pg_column_size(begin_turn.metadata), 0),
                began_at
            );
            quota_number := quota.subject_number;
            quota_refusal := quota.refusal;
            minute_remaining := quota.minute_remaining;
            minute_reset_seconds := quota.minute_reset_seconds;
            day_remaining := quota.day_remaining;
            day_reset_seconds := quota.day_reset_seconds;
            IF NOT quota.is_allowed THEN
                verdict := 'over_quota';
                RETURN NEXT;
                RETURN;
            END IF;
        END IF;
        INSERT INTO chat_messages (
            conversation_id, user_id, message_id, role, content, files, steps, metadata, persona, tone, behavior,
            created_at, updated_at
        )
        VALUES (
            begin_turn.conversation_id,
            begin_turn.user_id,
            begin_turn.message_id,
            'user',
            begin_turn.content,
            begin_turn.files,
            begin_turn.steps,
            begin_turn.metadata,
            begin_turn.persona,
            begin_turn.tone,
            begin_turn.behavior,
            began_at,
            began_at
        );
        UPDATE conversations
        SET
            turn_id = begin_turn.turn_id,
            turn_message_id = begin_turn.message_id,
            turn_expires_at = began_at + make_interval(secs => begin_turn.lease_seconds),
            updated_at = began_at,
            message_count = conversation.message_count + 1,
            last_message = left(begin_turn.content, 120),
            model = coalesce(begin_turn.model, conversations.model)
        WHERE
            conversations.id = begin_turn.conversation_id
            AND conversations.user_id IS NOT DISTINCT FROM begin_turn.user_id;
        verdict := 'taken';
        RETURN NEXT;
        RETURN;
    END IF;

    SELECT decided.* INTO decision
    FROM decide_turn(
        begin_turn.conversation_id, begin_turn.user_id, begin_turn.message_id, begin_turn.content, begin_turn.files,
        file_bytes, begin_turn.steps, begin_turn.metadata, replaced_message_id, regenerates, answer_message_id,
        begin_turn.title, begin_turn.turn_id, lease_seconds, takes_turn, max_messages, quota_subjects,
        messages_per_minute, messages_per_day, bytes_per_day, tokens_per_day, begin_turn.model, persona, tone,
        behavior, retention_days, begin_turn.now
    ) AS decided;
    quota_number := decision.quota_number;
    quota_refusal := decision.quota_refusal;
    minute_remaining := decision.minute_remaining;
    minute_reset_seconds := decision.minute_reset_seconds;
    day_remaining := decision.day_remaining;
    day_reset_seconds := decision.day_reset_seconds;
    held_turn_id := decision.held_turn_id;
    verdict := decision.verdict;
    may_ask_title := decision.may_ask_title;
    lease_remaining_seconds := decision.lease_remaining_seconds;
    current_title := decision.current_title;
    IF begin_turn.user_id IS NOT NULL AND verdict = 'taken' THEN
        SELECT
            json_agg(
                json_build_object(
                    'run_key', listed.run_key,
                    'tool_call_id', listed.tool_call_id,
                    'tool_name', listed.tool_name,
                    'arguments', listed.arguments,
                    'output', listed.output
                )
                ORDER BY listed.created_at, listed.run_key
            )
        INTO tool_runs
        FROM list_tool_runs(begin_turn.conversation_id, begin_turn.user_id, begin_turn.turn_id) AS listed;
    END IF;
    RETURN NEXT;
END
$$;
COMMENT ON FUNCTION begin_turn(
    text, uuid, boolean, timestamptz, bytea, text, integer, text, text, text, uuid, text, text, text, jsonb, bigint,
    json, jsonb, text, boolean, text, text, uuid, double precision, boolean, integer, text[], integer[], integer[],
    bigint[], bigint[], text, text[], text[], integer[], text, text, text, integer, timestamptz
)
IS 'Parley: begins a turn: the wall, the decision, the message and the lease';
