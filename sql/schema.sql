CREATE FUNCTION public.act_as_caller(user_id text, conversation_id uuid, needs_account boolean, token_issued_at timestamp with time zone, key_hash bytea, client_subject text, timeout_ms integer, approach text) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
    AS $$
DECLARE
    state text;
    reached_id uuid;
    setting text;
BEGIN
    -- Statements of one transaction must see what others have committed meanwhile, as after the lock of a conversation.
    -- lib/database/client.py sends the step again, with the right isolation.
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        RAISE EXCEPTION USING ERRCODE = 'serialization_failure', MESSAGE = 'the isolation must be read committed';
    END IF;
    -- Off, it would be an error to read what the policies limit.
    IF current_setting('row_security') <> 'on' THEN
        setting := set_config('row_security', 'on', TRUE);
    END IF;
    -- Here, and not as a setting of the session, which PgBouncer would give to other clients. The limits are those of
    -- sql/queries/database/limit_time.sql, which says what each is for.
    -- Assignments, because each PERFORM would be a query of its own.
    setting := set_config('statement_timeout', timeout_ms::text, TRUE);
    setting := set_config('lock_timeout', (timeout_ms * 9 / 10)::text, TRUE);
    setting := set_config('client_connection_check_interval', '2000', TRUE);
    -- After the limits: the lock of a migration holds this one up.
    state := user_state(user_id, token_issued_at);
    IF state = 'inactive' THEN
        RAISE EXCEPTION USING ERRCODE = 'PA001', MESSAGE = 'the account is switched off';
    ELSIF needs_account AND state IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'PA002', MESSAGE = 'there is no such account';
    ELSIF state = 'deleted' THEN
        RAISE EXCEPTION USING ERRCODE = 'PA014', MESSAGE = 'the account was deleted';
    ELSIF state = 'signed_out' THEN
        RAISE EXCEPTION USING ERRCODE = 'PA004', MESSAGE = 'the token was issued before the user signed out';
    END IF;
    IF conversation_id IS NOT NULL THEN
        reached_id := reach_conversation(conversation_id, user_id, key_hash, client_subject, approach);
    END IF;
    setting := set_config('parley.user_id', coalesce(user_id, ''), TRUE);
    setting := set_config('parley.conversation_id', coalesce(reached_id::text, ''), TRUE);
    setting := set_config('parley.key_hash', coalesce(encode(key_hash, 'hex'), ''), TRUE);
    -- Last: from here on the transaction has the rights of parley_app.
    setting := set_config('role', 'parley_app', TRUE);
END
$$;

COMMENT ON FUNCTION public.act_as_caller(user_id text, conversation_id uuid, needs_account boolean, token_issued_at timestamp with time zone, key_hash bytea, client_subject text, timeout_ms integer, approach text) IS 'Parley: limits the rest of the transaction to the rows of this caller';

CREATE FUNCTION public.begin_turn(caller_id text, reachable_id uuid, needs_account boolean, token_issued_at timestamp with time zone, key_hash bytea, client_subject text, timeout_ms integer, approach text, user_email text, user_name text, conversation_id uuid, user_id text, message_id text, content text, files jsonb, file_bytes bigint, steps json, metadata jsonb, replaced_message_id text, regenerates boolean, answer_message_id text, title text, turn_id uuid, lease_seconds double precision, takes_turn boolean, max_messages integer, quota_subjects text[], messages_per_minute integer[], messages_per_day integer[], bytes_per_day bigint[], tokens_per_day bigint[], model text, models text[], model_subjects text[], model_messages_per_day integer[], persona text, tone text, behavior text, retention_days integer, now timestamp with time zone) RETURNS TABLE(quota_number integer, quota_refusal text, minute_remaining integer, minute_reset_seconds double precision, day_remaining integer, day_reset_seconds double precision, held_turn_id uuid, verdict text, may_ask_title boolean, lease_remaining_seconds double precision, current_title character varying, tool_runs json, answering_model text, instructions text, user_instructions text)
    LANGUAGE plpgsql
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_seqscan TO 'off'
    SET search_path TO 'public', 'pg_temp'
    AS $$
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

COMMENT ON FUNCTION public.begin_turn(caller_id text, reachable_id uuid, needs_account boolean, token_issued_at timestamp with time zone, key_hash bytea, client_subject text, timeout_ms integer, approach text, user_email text, user_name text, conversation_id uuid, user_id text, message_id text, content text, files jsonb, file_bytes bigint, steps json, metadata jsonb, replaced_message_id text, regenerates boolean, answer_message_id text, title text, turn_id uuid, lease_seconds double precision, takes_turn boolean, max_messages integer, quota_subjects text[], messages_per_minute integer[], messages_per_day integer[], bytes_per_day bigint[], tokens_per_day bigint[], model text, models text[], model_subjects text[], model_messages_per_day integer[], persona text, tone text, behavior text, retention_days integer, now timestamp with time zone) IS 'Parley: begins a turn: the wall, the decision, the message and the lease';

CREATE FUNCTION public.change_password(account_id text, checked_hash text, password_hash text, network_subject text) RETURNS timestamp with time zone
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
    AS $$
DECLARE
    valid_from timestamptz;
BEGIN
    SELECT users.tokens_valid_from INTO valid_from
    FROM users
    WHERE users.id = account_id AND users.hashed_password = checked_hash
    FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    -- Read after the lock, so that it is later than the token of each log-in that had the lock before.
    valid_from := greatest(clock_timestamp(), valid_from + interval '1 microsecond');
    UPDATE users
    SET
        hashed_password = password_hash,
        tokens_valid_from = valid_from
    WHERE users.id = account_id;
    DELETE FROM known_networks
    WHERE known_networks.user_id = account_id AND known_networks.subject <> network_subject;
    RETURN valid_from;
END
$$;

COMMENT ON FUNCTION public.change_password(account_id text, checked_hash text, password_hash text, network_subject text) IS 'Parley: gives a local account another password, and returns the time from which tokens are valid';

CREATE TABLE public.chat_messages (
    id bigint NOT NULL,
    conversation_id uuid NOT NULL,
    user_id character varying(255),
    message_id character varying(255) DEFAULT (gen_random_uuid())::text NOT NULL,
    role character varying(20) NOT NULL,
    content text NOT NULL,
    reply_to bigint,
    finish_reason character varying(20),
    model_name text,
    prompt_tokens integer,
    completion_tokens integer,
    reasoning_tokens integer,
    reasoning_seconds double precision,
    tool_calls json,
    steps json,
    metadata jsonb,
    persona text,
    tone text,
    behavior text,
    context_type text,
    confidence double precision,
    signal_strength double precision,
    context_clarity boolean,
    needs_knowledge boolean DEFAULT false NOT NULL,
    is_mistake boolean DEFAULT false NOT NULL,
    mistake_note text,
    superseded_at timestamp with time zone,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    files jsonb,
    refusal character varying(50),
    provider_state json,
    failed_attempts integer,
    owed_attempt boolean,
    model text,
    requested_model text,
    cached_tokens integer
)
WITH (autovacuum_vacuum_scale_factor='0.02');

COMMENT ON TABLE public.chat_messages IS 'Parley: messages, append-only; a replaced one is marked, never changed';

COMMENT ON COLUMN public.chat_messages.id IS 'Order of the messages, and the cursor of a page';

COMMENT ON COLUMN public.chat_messages.conversation_id IS 'The conversation; named session_id by some clients';

COMMENT ON COLUMN public.chat_messages.user_id IS 'Owner of the conversation (NULL for anonymous)';

COMMENT ON COLUMN public.chat_messages.message_id IS 'The id that clients see: the client''s own for a user message';

COMMENT ON COLUMN public.chat_messages.role IS 'Message author: user, assistant, or system';

COMMENT ON COLUMN public.chat_messages.content IS 'Message text content';

COMMENT ON COLUMN public.chat_messages.reply_to IS 'chat_messages.id of the question that this answers';

COMMENT ON COLUMN public.chat_messages.finish_reason IS 'Why the answer ended: the model''s reason (stop, length, content_filter, tool_calls, other), or aborted (stopped by the user), timeout (cut before the deadline), error (the model failed), interrupted (the function was killed)';

COMMENT ON COLUMN public.chat_messages.model_name IS 'Model that answered, as the provider names it';

COMMENT ON COLUMN public.chat_messages.prompt_tokens IS 'Tokens read by the model, as the provider counts; of a question: by requests for it whose cost is in no stored answer (titles, analyses, attempts without an answer), estimated where the provider does not count; never shown to a client with the question';

COMMENT ON COLUMN public.chat_messages.completion_tokens IS 'Tokens written by the model; of a question: see prompt_tokens';

COMMENT ON COLUMN public.chat_messages.reasoning_tokens IS 'Those of completion_tokens with which the model thought, as the provider counts; NULL: unknown';

COMMENT ON COLUMN public.chat_messages.reasoning_seconds IS 'How long the model''s thoughts came, over all steps, with one decimal; NULL: none came, or the function was killed';

COMMENT ON COLUMN public.chat_messages.tool_calls IS 'Tool calls of the answer, with arguments and results';

COMMENT ON COLUMN public.chat_messages.steps IS 'Steps of the answer, each a list of its parts in order: reasoning, source, file and data whole, text as its number of characters in content, call as the next one in tool_calls; NULL: content and tool_calls tell the steps. Of a user message: one list of its parts in order, file as the next one in files; NULL: one text, then the files';

COMMENT ON COLUMN public.chat_messages.metadata IS 'Free metadata of the client that sent the message';

COMMENT ON COLUMN public.chat_messages.persona IS 'Persona used for the answer; of a question: the one that it asks for';

COMMENT ON COLUMN public.chat_messages.tone IS 'Tone of the answer: casual, technical; of a question: the one that it asks for';

COMMENT ON COLUMN public.chat_messages.behavior IS 'Behavior of the answer: normal, cautious; of a question: the one that it asks for';

COMMENT ON COLUMN public.chat_messages.context_type IS 'Kind of context that the question was about';

COMMENT ON COLUMN public.chat_messages.confidence IS 'Version 1''s score, 0 to 1; kept for rows brought over';

COMMENT ON COLUMN public.chat_messages.signal_strength IS 'How clear the question''s intent was, 0 to 1; replaces confidence';

COMMENT ON COLUMN public.chat_messages.context_clarity IS 'Was the context clear?';

COMMENT ON COLUMN public.chat_messages.needs_knowledge IS 'Did the question need knowledge from elsewhere?';

COMMENT ON COLUMN public.chat_messages.is_mistake IS 'Marked as a mistake by the user';

COMMENT ON COLUMN public.chat_messages.mistake_note IS 'The user''s note on the mistake';

COMMENT ON COLUMN public.chat_messages.superseded_at IS 'When an edit or a new answer replaced it; NULL: current';

COMMENT ON COLUMN public.chat_messages.created_at IS 'When it was stored; retention counts from here';

COMMENT ON COLUMN public.chat_messages.updated_at IS 'Moves only when a flag is set: content never changes';

COMMENT ON COLUMN public.chat_messages.files IS 'Files of a user message, each as the AI SDK has it: mediaType, url (https, or data), filename';

COMMENT ON COLUMN public.chat_messages.refusal IS 'Code of the problem for which the provider refused this message alone, so that no later request tells it; NULL: it did not, or it has answered since';

COMMENT ON COLUMN public.chat_messages.provider_state IS 'What goes back to the provider of the answer with it: model, base_url and api, from which it came, and steps, each with the step''s own state and those of its calls, or sealed, the same encrypted (REASONING=hide); never shown to a client; NULL: nothing';

COMMENT ON COLUMN public.chat_messages.failed_attempts IS 'How often the provider itself has failed to answer this message; NULL: never';

COMMENT ON COLUMN public.chat_messages.owed_attempt IS 'TRUE: the provider failed the last attempt at this message, so the next one is not counted; NULL: it is';

COMMENT ON COLUMN public.chat_messages.model IS 'Model that answered, as users see its name in MODELS; NULL: unknown';

COMMENT ON COLUMN public.chat_messages.requested_model IS 'Model that was asked for, if another one stood in for it; NULL: none did';

COMMENT ON COLUMN public.chat_messages.cached_tokens IS 'Those of prompt_tokens that the provider read from its cache, as it counts; NULL: unknown';

CREATE FUNCTION public.check_chat_message(message public.chat_messages) RETURNS boolean
    LANGUAGE plpgsql IMMUTABLE
    SET search_path TO 'public', 'pg_temp'
    AS $$
DECLARE
    violated CONSTANT text := CASE
        WHEN message.role NOT IN ('user', 'assistant', 'system') THEN 'chk_message_role'
        -- The most that MAX_MESSAGE_CHARS may allow.
        WHEN message.role = 'user' AND length(message.content) > 100000 THEN 'chk_user_message_length'
        WHEN message.reply_to IS NOT NULL AND message.role <> 'assistant' THEN 'chk_reply_to'
        WHEN
            message.finish_reason NOT IN (
                'stop', 'length', 'content_filter', 'tool_calls', 'other',
                'aborted', 'timeout', 'error', 'interrupted'
            )
            THEN 'chk_finish_reason'
        WHEN message.refusal IS NOT NULL AND message.role <> 'user' THEN 'chk_refusal'
        WHEN
            message.failed_attempts IS NOT NULL AND (message.role <> 'user' OR message.failed_attempts <= 0)
            THEN 'chk_failed_attempts'
        WHEN message.owed_attempt IS NOT NULL AND message.role <> 'user' THEN 'chk_owed_attempt'
        WHEN message.provider_state IS NOT NULL AND message.role <> 'assistant' THEN 'chk_provider_state'
        WHEN message.prompt_tokens < 0 THEN 'chk_prompt_tokens'
        WHEN message.cached_tokens < 0 THEN 'chk_cached_tokens'
        WHEN message.completion_tokens < 0 THEN 'chk_completion_tokens'
        WHEN message.reasoning_tokens < 0 THEN 'chk_reasoning_tokens'
        WHEN message.reasoning_seconds < 0 THEN 'chk_reasoning_seconds'
        WHEN message.confidence NOT BETWEEN 0 AND 1 THEN 'chk_confidence'
        WHEN message.signal_strength NOT BETWEEN 0 AND 1 THEN 'chk_signal_strength'
        WHEN length(message.mistake_note) > 1000 THEN 'chk_mistake_note_length'
    END;
BEGIN
    IF violated IS NOT NULL THEN
        RAISE EXCEPTION USING
            ERRCODE = 'check_violation',
            MESSAGE = format('new row for relation "chat_messages" violates check constraint "%s"', violated),
            TABLE = 'chat_messages',
            CONSTRAINT = violated;
    END IF;
    RETURN TRUE;
END
$$;

COMMENT ON FUNCTION public.check_chat_message(message public.chat_messages) IS 'Parley: the rules of a message, as a CHECK';

CREATE FUNCTION public.count_account_attempt(subjects text[], free_counts integer[], first_delays integer[], longest_delays integer[], known_days integer, counted_at timestamp with time zone, OUT is_known boolean, OUT retry_after_seconds double precision) RETURNS record
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
    AS $$
DECLARE
    counted text[] := subjects;
    counter account_attempts;
BEGIN
    is_known := EXISTS (
        SELECT FROM known_networks
        WHERE
            known_networks.subject = subjects[1]
            AND known_networks.used_at > counted_at - make_interval(days => known_days)
    );
    IF is_known THEN
        counted := subjects[1:1];
    END IF;
    -- Looked at first, so that a flood of refused attempts writes nothing.
    retry_after_seconds := coalesce((
        SELECT max(extract(EPOCH FROM least(waiting.next_attempt_at, waiting.ends_at) - counted_at))
        FROM account_attempts AS waiting
        WHERE
            waiting.subject = any(counted)
            AND waiting.next_attempt_at > counted_at
            AND waiting.ends_at > counted_at
    ), 0);
    -- Always in this order, so that no two attempts wait for each other. An attempt that is overtaken by another of
    -- its network stops before it counts for the address.
    FOR i IN 1..cardinality(counted) LOOP
        EXIT WHEN retry_after_seconds > 0;
        INSERT INTO account_attempts AS already (subject, attempt_count, attempted_at, ends_at)
        VALUES (counted[i], 0, counted_at, counted_at + interval '1 day')
        ON CONFLICT (subject) DO UPDATE SET
            attempt_count = CASE WHEN already.ends_at <= counted_at THEN 0 ELSE already.attempt_count END,
            next_attempt_at = CASE WHEN already.ends_at > counted_at THEN already.next_attempt_at END,
            ends_at = CASE WHEN already.ends_at <= counted_at THEN excluded.ends_at ELSE already.ends_at END
        RETURNING already.* INTO counter;
        IF counter.next_attempt_at > counted_at THEN
            retry_after_seconds := extract(EPOCH FROM least(counter.next_attempt_at, counter.ends_at) - counted_at);
        ELSE
            UPDATE account_attempts
            SET
                attempt_count = counter.attempt_count + 1,
                attempted_at = counted_at,
                next_attempt_at = CASE
                    WHEN counter.attempt_count + 1 >= free_counts[i] THEN
                        counted_at + make_interval(secs => least(
                            first_delays[i] * power(2, least(counter.attempt_count + 1 - free_counts[i], 30)),
                            longest_delays[i]
                        ))
                END
            WHERE account_attempts.subject = counted[i];
        END IF;
    END LOOP;
END
$$;

COMMENT ON FUNCTION public.count_account_attempt(subjects text[], free_counts integer[], first_delays integer[], longest_delays integer[], known_days integer, counted_at timestamp with time zone, OUT is_known boolean, OUT retry_after_seconds double precision) IS 'Parley: counts an attempt to log in or to register, or says how long to wait';

CREATE FUNCTION public.count_bytes(counted_subjects text[], bytes_per_day bigint[], stored_bytes bigint, counted_at timestamp with time zone) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
DECLARE
    counted_now CONSTANT timestamptz := coalesce(counted_at, now());
    day_bytes bigint;
    day_ends timestamptz;
BEGIN
    FOR number IN 1 .. coalesce(cardinality(counted_subjects), 0) LOOP
        INSERT INTO quotas AS already (subject, minute_count, minute_ends_at, day_count, day_ends_at, byte_count)
        VALUES (
            counted_subjects[number],
            0, counted_now + interval '1 minute', 0, counted_now + interval '1 day', stored_bytes
        )
        ON CONFLICT (subject) DO UPDATE SET
            day_count = CASE WHEN already.day_ends_at <= counted_now THEN 0 ELSE already.day_count END,
            day_ends_at = CASE
                WHEN already.day_ends_at <= counted_now THEN excluded.day_ends_at
                ELSE already.day_ends_at
            END,
            token_count = CASE WHEN already.day_ends_at <= counted_now THEN 0 ELSE already.token_count END,
            byte_count = CASE
                WHEN already.day_ends_at <= counted_now THEN stored_bytes
                ELSE already.byte_count + stored_bytes
            END
        RETURNING already.byte_count, already.day_ends_at INTO day_bytes, day_ends;
        IF bytes_per_day[number] > 0 AND day_bytes > bytes_per_day[number] THEN
            RAISE EXCEPTION USING
                ERRCODE = 'PA011',
                MESSAGE = 'the bytes of a day are used up',
                DETAIL = CASE
                    WHEN stored_bytes <= bytes_per_day[number]
                        THEN extract(EPOCH FROM day_ends - counted_now)::text
                    ELSE ''
                END;
        END IF;
    END LOOP;
END
$$;

COMMENT ON FUNCTION public.count_bytes(counted_subjects text[], bytes_per_day bigint[], stored_bytes bigint, counted_at timestamp with time zone) IS 'Parley: adds the bytes of a piece of an upload to the running day of each subject, or raises PA011';

CREATE FUNCTION public.count_guess(client_subject text, is_guess boolean) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
    AS $$
DECLARE
    per_minute CONSTANT integer := 60;
    per_day CONSTANT integer := 1000;
    is_refused boolean;
    waiting_seconds double precision;
BEGIN
    IF is_guess THEN
        SELECT NOT counted.is_allowed
        INTO is_refused
        FROM count_use(
            ARRAY[client_subject], ARRAY[per_minute], ARRAY[per_day], '{0}', '{0}', 0, now()
        ) AS counted;
    END IF;
    IF coalesce(is_refused, TRUE) THEN
        SELECT extract(
            EPOCH FROM CASE
                WHEN quotas.day_count >= per_day AND quotas.day_ends_at > now() THEN quotas.day_ends_at
                ELSE quotas.minute_ends_at
            END - now()
        )
        INTO waiting_seconds
        FROM quotas
        WHERE
            quotas.subject = client_subject
            AND (
                (quotas.minute_count >= per_minute AND quotas.minute_ends_at > now())
                OR (quotas.day_count >= per_day AND quotas.day_ends_at > now())
            );
        IF FOUND THEN
            RAISE EXCEPTION USING
                ERRCODE = 'PA005',
                MESSAGE = 'the client has guessed too often',
                DETAIL = waiting_seconds::text;
        END IF;
    END IF;
END
$$;

COMMENT ON FUNCTION public.count_guess(client_subject text, is_guess boolean) IS 'Parley: counts a guess of a client at a conversation; an error once the client has guessed too often';

CREATE FUNCTION public.count_tokens(counted_subjects text[], counted_tokens integer, counted_at timestamp with time zone) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
BEGIN
    IF coalesce(counted_tokens, 0) <= 0 THEN
        RETURN;
    END IF;
    FOR number IN 1 .. coalesce(cardinality(counted_subjects), 0) LOOP
        -- The day may have ended while the answer was made, and the clean-up may have deleted the row.
        INSERT INTO quotas AS already (subject, minute_count, minute_ends_at, day_count, day_ends_at, token_count)
        VALUES (
            counted_subjects[number],
            0, counted_at + interval '1 minute', 0, counted_at + interval '1 day', counted_tokens
        )
        ON CONFLICT (subject) DO UPDATE SET
            day_count = CASE WHEN already.day_ends_at <= counted_at THEN 0 ELSE already.day_count END,
            day_ends_at = CASE
                WHEN already.day_ends_at <= counted_at THEN excluded.day_ends_at
                ELSE already.day_ends_at
            END,
            byte_count = CASE WHEN already.day_ends_at <= counted_at THEN 0 ELSE already.byte_count END,
            token_count = CASE
                WHEN already.day_ends_at <= counted_at THEN counted_tokens
                ELSE already.token_count + counted_tokens
            END;
    END LOOP;
END
$$;

COMMENT ON FUNCTION public.count_tokens(counted_subjects text[], counted_tokens integer, counted_at timestamp with time zone) IS 'Parley: adds the tokens of a request to the model to the running day of each subject';

CREATE FUNCTION public.count_use(counted_subjects text[], per_minute integer[], per_day integer[], bytes_per_day bigint[], tokens_per_day bigint[], stored_bytes bigint, counted_at timestamp with time zone, OUT is_allowed boolean, OUT subject_number integer, OUT refusal text, OUT minute_remaining integer, OUT minute_reset_seconds double precision, OUT day_remaining integer, OUT day_reset_seconds double precision) RETURNS record
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
DECLARE
    minute_limit CONSTANT integer := per_minute[1];
    day_limit CONSTANT integer := per_day[1];
    byte_limit CONSTANT bigint := bytes_per_day[1];
    token_limit CONSTANT bigint := tokens_per_day[1];
    used quotas;
    is_minute_over boolean;
    is_day_over boolean;
    counted record;
    uses_left integer;
    fewest_uses_left integer;
BEGIN
    IF cardinality(counted_subjects) > 1 THEN
        -- A block of its own, because the error at its end takes back what it has counted: also the rows that it has
        -- made, which a caller who is refused could otherwise add without end.
        BEGIN
            FOR number IN 1 .. cardinality(counted_subjects) LOOP
                counted := count_use(
                    counted_subjects[number:number],
                    per_minute[number:number],
                    per_day[number:number],
                    bytes_per_day[number:number],
                    tokens_per_day[number:number],
                    stored_bytes,
                    counted_at
                );
                uses_left := least(
                    CASE WHEN per_minute[number] > 0 THEN counted.minute_remaining END,
                    CASE WHEN per_day[number] > 0 THEN counted.day_remaining END
                );
                IF number = 1 OR NOT counted.is_allowed OR uses_left < coalesce(fewest_uses_left, uses_left + 1) THEN
                    fewest_uses_left := uses_left;
                    is_allowed := counted.is_allowed;
                    subject_number := number;
                    refusal := counted.refusal;
                    minute_remaining := counted.minute_remaining;
                    minute_reset_seconds := counted.minute_reset_seconds;
                    day_remaining := counted.day_remaining;
                    day_reset_seconds := counted.day_reset_seconds;
                END IF;
                IF NOT is_allowed THEN
                    RAISE EXCEPTION USING ERRCODE = 'PA008', MESSAGE = 'a limit is reached';
                END IF;
            END LOOP;
        EXCEPTION
            WHEN SQLSTATE 'PA008' THEN
                NULL;
        END;
        RETURN;
    END IF;

    INSERT INTO quotas AS already (subject, minute_count, minute_ends_at, day_count, day_ends_at, byte_count)
    SELECT
        counted_subjects[1],
        1, counted_at + interval '1 minute', 1, counted_at + interval '1 day', stored_bytes
    WHERE byte_limit = 0 OR stored_bytes <= byte_limit
    ON CONFLICT (subject) DO UPDATE SET
        minute_count = CASE WHEN already.minute_ends_at <= counted_at THEN 1 ELSE already.minute_count + 1 END,
        minute_ends_at = CASE
            WHEN already.minute_ends_at <= counted_at THEN excluded.minute_ends_at
            ELSE already.minute_ends_at
        END,
        day_count = CASE WHEN already.day_ends_at <= counted_at THEN 1 ELSE already.day_count + 1 END,
        day_ends_at = CASE
            WHEN already.day_ends_at <= counted_at THEN excluded.day_ends_at
            ELSE already.day_ends_at
        END,
        token_count = CASE WHEN already.day_ends_at <= counted_at THEN 0 ELSE already.token_count END,
        byte_count = CASE
            WHEN already.day_ends_at <= counted_at THEN stored_bytes
            ELSE already.byte_count + stored_bytes
        END
    WHERE
        (minute_limit = 0 OR already.minute_count < minute_limit OR already.minute_ends_at <= counted_at)
        AND (
            already.day_ends_at <= counted_at
            OR (
                (day_limit = 0 OR already.day_count < day_limit)
                AND (byte_limit = 0 OR stored_bytes = 0 OR already.byte_count + stored_bytes <= byte_limit)
                AND (token_limit = 0 OR already.token_count < token_limit)
            )
        )
    RETURNING already.* INTO used;
    is_allowed := FOUND;
    subject_number := 1;
    IF NOT is_allowed THEN
        -- No row: the first use of the subject is too large.
        SELECT * INTO used FROM quotas WHERE quotas.subject = counted_subjects[1];
    END IF;
    -- The minute may be over where the day refuses, and the day where the minute does.
    is_minute_over := coalesce(used.minute_ends_at <= counted_at, TRUE);
    is_day_over := coalesce(used.day_ends_at <= counted_at, TRUE);
    IF NOT is_allowed THEN
        -- Of several reasons the one that lasts longest.
        refusal := CASE
            WHEN byte_limit > 0 AND stored_bytes > byte_limit THEN 'size'
            WHEN NOT is_day_over AND day_limit > 0 AND used.day_count >= day_limit THEN 'uses'
            WHEN NOT is_day_over AND token_limit > 0 AND used.token_count >= token_limit THEN 'tokens'
            WHEN NOT is_day_over AND byte_limit > 0 AND used.byte_count + stored_bytes > byte_limit THEN 'bytes'
            ELSE 'uses'
        END;
    END IF;
    minute_remaining := CASE
        WHEN is_minute_over THEN minute_limit
        ELSE greatest(minute_limit - used.minute_count, 0)
    END;
    day_remaining := CASE WHEN is_day_over THEN day_limit ELSE greatest(day_limit - used.day_count, 0) END;
    minute_reset_seconds := greatest(extract(EPOCH FROM used.minute_ends_at - counted_at), 0);
    day_reset_seconds := greatest(extract(EPOCH FROM used.day_ends_at - counted_at), 0);
END
$$;

COMMENT ON FUNCTION public.count_use(counted_subjects text[], per_minute integer[], per_day integer[], bytes_per_day bigint[], tokens_per_day bigint[], stored_bytes bigint, counted_at timestamp with time zone, OUT is_allowed boolean, OUT subject_number integer, OUT refusal text, OUT minute_remaining integer, OUT minute_reset_seconds double precision, OUT day_remaining integer, OUT day_reset_seconds double precision) IS 'Parley: counts one use for all of several subjects, or for none; returns the uses left of the tightest';

CREATE FUNCTION public.decide_turn(conversation_id uuid, user_id text, message_id text, content text, files jsonb, file_bytes bigint, steps json, metadata jsonb, replaced_message_id text, regenerates boolean, answer_message_id text, title text, turn_id uuid, lease_seconds double precision, takes_turn boolean, max_messages integer, quota_subjects text[], messages_per_minute integer[], messages_per_day integer[], bytes_per_day bigint[], tokens_per_day bigint[], model text, persona text, tone text, behavior text, retention_days integer, now timestamp with time zone) RETURNS TABLE(quota_number integer, quota_refusal text, minute_remaining integer, minute_reset_seconds double precision, day_remaining integer, day_reset_seconds double precision, held_turn_id uuid, verdict text, may_ask_title boolean, lease_remaining_seconds double precision, current_title character varying)
    LANGUAGE plpgsql
    SET plan_cache_mode TO 'force_generic_plan'
    SET search_path TO 'public', 'pg_temp'
    AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    WITH
    clock AS (
        SELECT
            coalesce(decide_turn.now, now()) AS now,
            coalesce(decide_turn.now, now())
            + make_interval(secs => decide_turn.lease_seconds) AS lease_ends_at
    ),

    conversation AS (
        SELECT
            conversations.id,
            conversations.status,
            conversations.turn_id,
            conversations.turn_message_id,
            conversations.turn_expires_at,
            coalesce(conversations.turn_expires_at > clock.now, FALSE) AS has_running_turn,
            coalesce(conversations.turn_expires_at <= clock.now, FALSE) AS has_lapsed_turn,
            CASE
                WHEN is_kept(conversations.titled_at, decide_turn.retention_days, decide_turn.now)
                    THEN conversations.title
            END AS title,
            -- Not deleted yet, but hidden from all readers: the conversation begins again.
            NOT is_kept(conversations.updated_at, decide_turn.retention_days, decide_turn.now) AS is_expired,
            -- No question since the attempt that created it, or with which it began again.
            conversations.created_at = conversations.updated_at AS is_new
        FROM conversations
        CROSS JOIN clock
        WHERE
            conversations.id = decide_turn.conversation_id
            AND conversations.user_id IS NOT DISTINCT FROM decide_turn.user_id
    ),

    current_messages AS NOT MATERIALIZED (
        SELECT
            chat_messages.id,
            chat_messages.message_id,
            chat_messages.role,
            chat_messages.content,
            chat_messages.files,
            chat_messages.steps,
            chat_messages.reply_to,
            chat_messages.finish_reason,
            chat_messages.failed_attempts,
            chat_messages.owed_attempt
        FROM chat_messages
        WHERE
            chat_messages.conversation_id = decide_turn.conversation_id
            AND chat_messages.user_id IS NOT DISTINCT FROM decide_turn.user_id
            AND chat_messages.superseded_at IS NULL
            AND is_kept(chat_messages.created_at, decide_turn.retention_days, decide_turn.now)
    ),

    -- The message that the request names, of any role.
    named_message AS (
        SELECT
            current_messages.id,
            current_messages.role
        FROM current_messages
        WHERE current_messages.message_id = decide_turn.message_id
    ),

    -- The stored question of the request: the question of the answer to be replaced, else the named message, else
    -- the message to be replaced, else the last question. None: the message is new.
    question AS (
        SELECT
            current_messages.id,
            current_messages.message_id,
            CASE
                WHEN current_messages.message_id = decide_turn.message_id
                    THEN
                        current_messages.content <> decide_turn.content
                        OR coalesce(current_messages.files, '[]') <> coalesce(decide_turn.files, '[]')
                        -- As text where it is the same: a conversion to jsonb costs more.
                        OR (
                            current_messages.steps::text IS DISTINCT FROM decide_turn.steps::text
                            AND current_messages.steps::jsonb IS DISTINCT FROM decide_turn.steps::jsonb
                        )
                -- Another id: the question is the message to be replaced.
                ELSE NOT decide_turn.regenerates
            END AS is_edited,
            coalesce(current_messages.owed_attempt AND current_messages.failed_attempts <= 3, FALSE) AS has_owed_attempt
        FROM current_messages
        WHERE
            current_messages.role = 'user'
            AND current_messages.id = coalesce(
                (
                    SELECT replaced.reply_to
                    FROM current_messages AS replaced
                    WHERE
                        decide_turn.regenerates
                        AND replaced.message_id = decide_turn.answer_message_id
                ),
                (SELECT named_message.id FROM named_message),
                (
                    SELECT replaced.id
                    FROM current_messages AS replaced
                    WHERE replaced.message_id = decide_turn.replaced_message_id
                ),
                (
                    SELECT last_message.id
                    FROM current_messages AS last_message
                    WHERE decide_turn.message_id IS NULL AND last_message.role = 'user'
                    ORDER BY last_message.id DESC
                    LIMIT 1
                )
            )
    ),

    decision AS (
        SELECT
            question.id AS question_id,
            coalesce(question.is_edited, FALSE) AS is_edited,
            coalesce(question.has_owed_attempt AND NOT question.is_edited, FALSE) AS is_owed,
            -- A failed answer has begun, and so has the request for its title.
            answer.id IS NOT NULL AS has_answer,
            question.id IS NULL OR question.is_edited AS stores_message,
            CASE
                WHEN conversation.turn_id = decide_turn.turn_id THEN 'taken'
                WHEN question.id IS NULL AND decide_turn.message_id IS NULL THEN 'nothing_to_answer'
                WHEN conversation.id IS NULL THEN 'new_conversation'
                WHEN conversation.has_lapsed_turn THEN 'lapsed'
                -- Before 'answered', because the old answer stays while a new one is made.
                WHEN
                    NOT question.is_edited
                    AND conversation.has_running_turn
                    AND conversation.turn_message_id = question.message_id
                    THEN 'being_answered'
                WHEN
                    NOT decide_turn.regenerates AND NOT question.is_edited
                    AND answer.id IS NOT NULL
                    AND coalesce(answer.finish_reason, 'stop') NOT IN ('error', 'interrupted')
                    THEN 'answered'
                WHEN
                    NOT decide_turn.regenerates AND NOT question.is_edited
                    AND EXISTS (
                        SELECT FROM current_messages AS later
                        WHERE later.role = 'user' AND later.id > question.id
                    )
                    THEN 'moved_on'
                WHEN conversation.has_running_turn THEN 'turn_in_progress'
                WHEN conversation.status = 'archived' AND NOT conversation.is_expired THEN 'archived'
                WHEN question.id IS NULL AND EXISTS (SELECT FROM named_message) THEN 'message_id_taken'
                WHEN
                    question.id IS NULL
                    AND decide_turn.max_messages <= (
                        SELECT count(*)
                        FROM (
                            SELECT
                            FROM current_messages
                            WHERE current_messages.role <> 'system'
                            LIMIT decide_turn.max_messages
                        ) AS counted
                    )
                    THEN 'full'
                WHEN NOT decide_turn.takes_turn THEN 'unanswered'
                ELSE 'free'
            END AS verdict
        FROM clock
        LEFT JOIN conversation ON TRUE
        LEFT JOIN question ON TRUE
        LEFT JOIN current_messages AS answer ON question.id = answer.reply_to
    ),

    -- Counts only a message that is about to be answered, in the transaction that stores it. (CASE, so that no plan
    -- calls the function before the decision is known.)
    quota AS MATERIALIZED (
        SELECT
            counted.is_allowed,
            counted.subject_number,
            counted.refusal,
            counted.minute_remaining,
            counted.minute_reset_seconds,
            counted.day_remaining,
            counted.day_reset_seconds
        FROM decision
        CROSS JOIN clock
        CROSS JOIN
            LATERAL count_use(
                CASE WHEN NOT decision.is_owed THEN decide_turn.quota_subjects END,
                decide_turn.messages_per_minute,
                decide_turn.messages_per_day,
                decide_turn.bytes_per_day,
                decide_turn.tokens_per_day,
                CASE
                    WHEN decision.stores_message
                        THEN
                            octet_length(decide_turn.content)
                            + decide_turn.file_bytes
                            + coalesce(pg_column_size(decide_turn.files), 0)
                            + coalesce(pg_column_size(decide_turn.steps), 0)
                            + coalesce(pg_column_size(decide_turn.metadata), 0)
                    ELSE 0
                END,
                clock.now
            ) AS counted
        WHERE
            decision.verdict IN ('free', 'new_conversation')
            AND NOT decision.is_owed
            AND cardinality(decide_turn.quota_subjects) > 0
    ),

    answerable AS (
        SELECT
            decision.question_id,
            decision.is_edited,
            decision.is_owed,
            decision.has_answer,
            decision.stores_message,
            decision.verdict
        FROM decision
        LEFT JOIN quota ON TRUE
        WHERE
            decision.verdict IN ('free', 'new_conversation')
            AND coalesce(quota.is_allowed, TRUE)
    ),

    created_conversation AS (
        INSERT INTO conversations (
            id, user_id, key_hash, title, titled_at, turn_id, turn_message_id, turn_expires_at, created_at, updated_at,
            message_count, last_message, model
        )
        SELECT
            decide_turn.conversation_id,
            decide_turn.user_id,
            -- Of act_as_caller; empty without a key, as for every user.
            decode(nullif(current_setting('parley.key_hash', TRUE), ''), 'hex'),
            decide_turn.title,
            clock.now,
            decide_turn.turn_id,
            decide_turn.message_id,
            clock.lease_ends_at,
            clock.now,
            clock.now,
            1,
            left(decide_turn.content, 120),
            decide_turn.model
        FROM answerable
        CROSS JOIN clock
        WHERE answerable.verdict = 'new_conversation'
        RETURNING conversations.id, conversations.title
    ),

    -- An edit replaces the question and all messages after it. (finish_turn replaces an answer, when there is a new
    -- one.)
    -- Another attempt is owed once, so the mark goes. (One UPDATE for both, because a second one would cost every turn.)
    marked_messages AS (
        UPDATE chat_messages
        SET
            superseded_at = CASE WHEN answerable.is_owed THEN chat_messages.superseded_at ELSE clock.now END,
            owed_attempt = NULL
        FROM answerable
        CROSS JOIN clock
        WHERE
            answerable.verdict = 'free'
            AND chat_messages.conversation_id = decide_turn.conversation_id
            AND chat_messages.user_id IS NOT DISTINCT FROM decide_turn.user_id
            AND chat_messages.superseded_at IS NULL
            AND chat_messages.role <> 'system'
            AND (
                (answerable.is_edited AND chat_messages.id >= answerable.question_id)
                OR (answerable.is_owed AND chat_messages.id = answerable.question_id)
                -- A message that has expired but is not deleted yet gives up its id.
                OR (
                    answerable.stores_message
                    AND chat_messages.message_id = decide_turn.message_id
                )
            )
        RETURNING chat_messages.id
    ),

    -- Counted, so that the replaced message gives up its id before the new message takes it.
    marked AS (
        SELECT count(marked_messages.id) AS message_count FROM marked_messages
    ),

    stored_message AS (
        INSERT INTO chat_messages (
            conversation_id, user_id, message_id, role, content, files, steps, metadata, persona, tone, behavior,
            created_at, updated_at
        )
        SELECT
            decide_turn.conversation_id,
            decide_turn.user_id,
            decide_turn.message_id,
            'user',
            decide_turn.content,
            decide_turn.files,
            decide_turn.steps,
            decide_turn.metadata,
            decide_turn.persona,
            decide_turn.tone,
            decide_turn.behavior,
            clock.now,
            clock.now
        FROM answerable
        CROSS JOIN clock
        CROSS JOIN marked
        WHERE
            (answerable.verdict = 'free' AND answerable.stores_message)
            OR EXISTS (SELECT FROM created_conversation)
        RETURNING chat_messages.message_id
    ),

    taken_turn AS (
        UPDATE conversations
        SET
            turn_id = decide_turn.turn_id,
            turn_message_id = coalesce(
                (SELECT stored_message.message_id FROM stored_message),
                (SELECT question.message_id FROM question)
            ),
            turn_expires_at = clock.lease_ends_at,
            title = CASE WHEN new_title.is_taken THEN decide_turn.title ELSE conversations.title END,
            titled_at = CASE WHEN new_title.is_taken THEN clock.now ELSE conversations.titled_at END,
            status = CASE WHEN conversation.is_expired THEN 'active' ELSE conversations.status END,
            created_at = CASE WHEN conversation.is_expired THEN clock.now ELSE conversations.created_at END,
            updated_at = clock.now,
            -- One that begins again has neither its old model nor its old instructions.
            model = coalesce(decide_turn.model, CASE WHEN NOT conversation.is_expired THEN conversations.model END),
            instructions = CASE WHEN NOT conversation.is_expired THEN conversations.instructions END,
            message_count = kept_messages.message_count + answerable.stores_message::integer,
            last_message = CASE
                WHEN answerable.stores_message THEN left(decide_turn.content, 120)
                ELSE (
                    SELECT left(current_messages.content, 120)
                    FROM current_messages
                    WHERE current_messages.id = kept_messages.last_id
                )
            END
        FROM answerable
        CROSS JOIN clock
        CROSS JOIN conversation
        -- Those that an edit leaves.
        CROSS JOIN
            LATERAL (
                SELECT
                    count(*)::integer AS message_count,
                    max(current_messages.id) AS last_id
                FROM current_messages
                WHERE
                    current_messages.role <> 'system'
                    AND NOT (answerable.is_edited AND current_messages.id >= answerable.question_id)
            ) AS kept_messages
        -- A title that has expired gives way to the new message. A message that is stored already cannot be the title
        -- from now on: it expires earlier.
        CROSS JOIN
            LATERAL (
                SELECT
                    conversation.is_expired OR (
                        conversation.title IS NULL
                        AND decide_turn.title <> ''
                        AND EXISTS (SELECT FROM stored_message)
                    ) AS is_taken
            ) AS new_title
        WHERE
            answerable.verdict = 'free'
            AND conversations.id = decide_turn.conversation_id
            AND conversations.user_id IS NOT DISTINCT FROM decide_turn.user_id
        RETURNING CASE WHEN new_title.is_taken THEN conversations.title END AS title
    )

    SELECT
        quota.subject_number AS quota_number,
        quota.refusal AS quota_refusal,
        quota.minute_remaining,
        quota.minute_reset_seconds,
        quota.day_remaining,
        quota.day_reset_seconds,
        conversation.turn_id AS held_turn_id,
        CASE
            WHEN answerable.verdict IS NOT NULL THEN 'taken'
            WHEN decision.verdict IN ('free', 'new_conversation') THEN 'over_quota'
            ELSE decision.verdict
        END AS verdict,
        CASE
            WHEN answerable.verdict IS NOT NULL
                THEN
                    answerable.verdict = 'new_conversation'
                    OR conversation.is_expired
                    OR (answerable.is_owed AND NOT answerable.has_answer)
            -- This attempt's own retry, after a first try that was carried out.
            ELSE coalesce(decision.verdict = 'taken' AND conversation.is_new, FALSE)
        END AS may_ask_title,
        CASE
            WHEN conversation.has_running_turn
                THEN extract(EPOCH FROM conversation.turn_expires_at - clock.now)::double precision
        END AS lease_remaining_seconds,
        coalesce(
            taken_turn.title,
            CASE WHEN NOT conversation.is_expired THEN conversation.title END,
            created_conversation.title
        ) AS title
    FROM decision
    CROSS JOIN clock
    LEFT JOIN answerable ON TRUE
    LEFT JOIN quota ON TRUE
    LEFT JOIN conversation ON TRUE
    LEFT JOIN created_conversation ON TRUE
    -- Joined, so that the turn is taken in every plan.
    LEFT JOIN taken_turn ON TRUE;
END
$$;

COMMENT ON FUNCTION public.decide_turn(conversation_id uuid, user_id text, message_id text, content text, files jsonb, file_bytes bigint, steps json, metadata jsonb, replaced_message_id text, regenerates boolean, answer_message_id text, title text, turn_id uuid, lease_seconds double precision, takes_turn boolean, max_messages integer, quota_subjects text[], messages_per_minute integer[], messages_per_day integer[], bytes_per_day bigint[], tokens_per_day bigint[], model text, persona text, tone text, behavior text, retention_days integer, now timestamp with time zone) IS 'Parley: decides whether a message is answered now; if so, stores it and takes the turn';

CREATE FUNCTION public.delete_files_of_messages() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
DECLARE
    freed_ids uuid[];
BEGIN
    -- Nearly all messages have no file.
    IF NOT EXISTS (
        SELECT FROM deleted_messages
        WHERE deleted_messages.files IS NOT NULL OR deleted_messages.steps IS NOT NULL
    ) THEN
        RETURN NULL;
    END IF;
    WITH freed AS (
        DELETE FROM message_files
        USING deleted_messages
        WHERE
            message_files.conversation_id = deleted_messages.conversation_id
            AND message_files.chat_message_id = deleted_messages.id
        RETURNING message_files.file_id
    )

    SELECT array_agg(DISTINCT freed.file_id) INTO freed_ids FROM freed;
    PERFORM FROM chat_files WHERE chat_files.id = any(freed_ids) ORDER BY chat_files.id FOR UPDATE;
    DELETE FROM chat_files
    WHERE
        chat_files.id = any(freed_ids)
        AND NOT EXISTS (SELECT FROM message_files WHERE message_files.file_id = chat_files.id);
    RETURN NULL;
END
$$;

COMMENT ON FUNCTION public.delete_files_of_messages() IS 'Parley: deletes the files of deleted messages which no other message has';

CREATE FUNCTION public.delete_old_chat_messages(retention interval DEFAULT '30 days'::interval, batch integer DEFAULT NULL::integer) RETURNS bigint
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
    AS $$
DECLARE
    is_one_batch CONSTANT boolean := batch IS NOT NULL;
    batch_size CONSTANT integer := coalesce(batch, 10000);
    deleted_count bigint := 0;
    messages record;
    conversations record;
    titles record;
    since timestamptz := '-infinity';
    refused_count bigint := 0;
    first_refusal text;
BEGIN
    LOOP
        SELECT * INTO messages FROM delete_old_chat_messages(retention, batch_size, since, NULL);
        deleted_count := deleted_count + messages.deleted;
        refused_count := refused_count + messages.refused;
        first_refusal := coalesce(first_refusal, messages.refusal);
        since := messages.resume_at;
        EXIT WHEN is_one_batch OR since IS NULL;
    END LOOP;
    -- Only when no old message is left: until then the conversations that still have one would be read again with
    -- each batch.
    IF since IS NULL THEN
        since := '-infinity';
        LOOP
            SELECT * INTO conversations FROM delete_old_conversations(retention, batch_size, since);
            since := conversations.resume_at;
            refused_count := refused_count + conversations.refused;
            first_refusal := coalesce(first_refusal, conversations.refusal);
            EXIT WHEN is_one_batch OR since IS NULL;
        END LOOP;
        since := '-infinity';
        LOOP
            SELECT * INTO titles FROM replace_old_titles(retention, batch_size, since);
            since := titles.resume_at;
            refused_count := refused_count + titles.refused;
            first_refusal := coalesce(first_refusal, titles.refusal);
            EXIT WHEN is_one_batch OR since IS NULL;
        END LOOP;
    END IF;
    IF refused_count > 0 THEN
        RAISE WARNING '% expired rows were left, because rules that are not Parley''s keep them: %',
            refused_count, first_refusal;
    END IF;
    RETURN deleted_count;
END
$$;

COMMENT ON FUNCTION public.delete_old_chat_messages(retention interval, batch integer) IS 'Parley: deletes chat messages older than the retention period (30 days), and the conversations left empty, and replaces titles as old; all, or one batch; returns the number of messages';

CREATE FUNCTION public.delete_old_chat_messages(retention interval, batch integer, since timestamp with time zone, until timestamp with time zone, OUT deleted integer, OUT resume_at timestamp with time zone, OUT is_incomplete boolean, OUT duration_ms double precision, OUT refused integer, OUT refusal text) RETURNS record
    LANGUAGE plpgsql
    SET lock_timeout TO '50ms'
    SET search_path TO 'public', 'pg_temp'
    AS $$
DECLARE
    started_at CONSTANT timestamptz := clock_timestamp();
    -- least() ignores NULL.
    expired_before CONSTANT timestamptz := least(now() - retention, until);
    expired_ctids tid[];
    expired_ids uuid[];
    locked_ids uuid[];
    held_ids uuid[];
    conversation_ids uuid[];
    question_ids bigint[];
    gone_ids uuid[];
    gone_question_ids bigint[];
    gone_count integer;
    next_item integer := 1;
    chunk_size integer;
BEGIN
    deleted := 0;
    refused := 0;
    SELECT
        array_agg(expired.ctid),
        array_agg(DISTINCT expired.conversation_id),
        CASE WHEN count(*) = batch THEN max(expired.created_at) END
    INTO expired_ctids, expired_ids, resume_at
    FROM (
        SELECT
            chat_messages.ctid,
            chat_messages.conversation_id,
            chat_messages.created_at
        FROM chat_messages
        WHERE
            chat_messages.created_at >= since
            AND chat_messages.created_at < expired_before
        ORDER BY chat_messages.created_at
        LIMIT batch
        FOR UPDATE SKIP LOCKED
    ) AS expired;

    -- A conversation's number of messages, and its last one, become unknown; once for each conversation, until the
    -- next turn in it. Locked also where they are unknown already: a turn may be counting. A conversation that a turn
    -- holds keeps its messages until the next clean-up.
    locked_ids := ARRAY(
        SELECT conversations.id
        FROM conversations
        WHERE conversations.id = ANY(expired_ids)
        FOR NO KEY UPDATE SKIP LOCKED
    );
    UPDATE conversations
    SET
        message_count = NULL,
        last_message = NULL
    WHERE conversations.id = ANY(locked_ids) AND conversations.message_count IS NOT NULL;
    held_ids := ARRAY(
        SELECT unnest(expired_ids)
        EXCEPT
        SELECT unnest(locked_ids)
    );

    -- Then forget_message_counts has nothing left to do.
    PERFORM set_config('parley.are_counts_forgotten', 'true', TRUE);
    -- All at once; where a rule that is not Parley's refuses one of them, such as a foreign key or a trigger of the
    -- application's, one by one, so that the others go. IMMEDIATE: a rule that waits for the end would refuse all.
    SET CONSTRAINTS ALL IMMEDIATE;
    chunk_size := greatest(cardinality(expired_ctids), 1);
    WHILE next_item <= cardinality(expired_ctids) LOOP
        BEGIN
            -- By ctid, so that the rows of the batch are not looked up a second time.
            WITH gone AS (
                DELETE FROM chat_messages
                WHERE
                    -- A subquery, so that each row is read by its place in every plan.
                    chat_messages.ctid = ANY(ARRAY(
                        SELECT unnest(expired_ctids[next_item:next_item + chunk_size - 1])
                    ))
                    AND chat_messages.conversation_id <> ALL(held_ids)
                RETURNING
                    chat_messages.conversation_id, chat_messages.id, chat_messages.role
            )

            SELECT
                count(*),
                array_agg(gone.conversation_id) FILTER (WHERE gone.role = 'user'),
                array_agg(gone.id) FILTER (WHERE gone.role = 'user')
            INTO gone_count, gone_ids, gone_question_ids
            FROM gone;
            deleted := deleted + gone_count;
            conversation_ids := conversation_ids || gone_ids;
            question_ids := question_ids || gone_question_ids;
            next_item := next_item + chunk_size;
        EXCEPTION WHEN OTHERS THEN
            IF rule_refusal(SQLSTATE, SQLERRM) IS NULL THEN
                RAISE;
            END IF;
            IF chunk_size = 1 THEN
                refused := refused + 1;
                refusal := coalesce(refusal, rule_refusal(SQLSTATE, SQLERRM));
                next_item := next_item + 1;
            ELSE
                chunk_size := 1;
            END IF;
        END;
    END LOOP;

    PERFORM set_config('parley.are_counts_forgotten', '', TRUE);

    -- Tool runs of questions that were never answered. (OFFSET 0: each question is looked up by the key in every
    -- plan.)
    DELETE FROM tool_runs
    WHERE tool_runs.ctid = ANY(ARRAY(
        SELECT forgotten.ctid
        FROM unnest(conversation_ids, question_ids) AS question (conversation_id, id)
        CROSS JOIN LATERAL (
            SELECT tool_runs.ctid
            FROM tool_runs
            WHERE
                tool_runs.conversation_id = question.conversation_id
                AND tool_runs.question_id = question.id
            OFFSET 0
        ) AS forgotten
    ));

    -- A tool that ran at the moment in which its question was deleted has no question that could take it along.
    DELETE FROM tool_runs
    WHERE tool_runs.created_at < expired_before;

    -- As many with the time at which this batch began are kept as a batch has: the next one begins behind them.
    IF refused > 0 AND resume_at = since THEN
        resume_at := resume_at + interval '1 microsecond';
    END IF;
    -- A turn holds the rest, or another clean-up, which may still fail.
    is_incomplete := refused < (
        SELECT count(*)
        FROM (
            SELECT FROM chat_messages
            WHERE
                chat_messages.created_at >= since
                AND chat_messages.created_at < coalesce(resume_at, expired_before)
            LIMIT refused + 1
        ) AS rest
    );
    duration_ms := extract(EPOCH FROM clock_timestamp() - started_at) * 1000;
END
$$;

COMMENT ON FUNCTION public.delete_old_chat_messages(retention interval, batch integer, since timestamp with time zone, until timestamp with time zone, OUT deleted integer, OUT resume_at timestamp with time zone, OUT is_incomplete boolean, OUT duration_ms double precision, OUT refused integer, OUT refusal text) IS 'Parley: one batch of delete_old_chat_messages(), of the messages stored between two times; resume_at: where the next batch begins (NULL: nothing is left); is_incomplete: other sessions held some of them';

CREATE FUNCTION public.delete_old_conversations(retention interval, batch integer, since timestamp with time zone, OUT deleted integer, OUT resume_at timestamp with time zone, OUT duration_ms double precision, OUT refused integer, OUT refusal text) RETURNS record
    LANGUAGE plpgsql
    SET lock_timeout TO '50ms'
    SET search_path TO 'public', 'pg_temp'
    AS $$
DECLARE
    started_at CONSTANT timestamptz := clock_timestamp();
    expired_before CONSTANT timestamptz := now() - retention;
    unused_ids uuid[];
    gone_count integer;
    next_item integer := 1;
    chunk_size integer;
BEGIN
    deleted := 0;
    refused := 0;
    -- A scalar subquery: each conversation's message is looked up by an index in every plan.
    WITH unused AS (
        SELECT
            conversations.id,
            conversations.updated_at
        FROM conversations
        WHERE
            conversations.updated_at >= since
            AND conversations.updated_at < expired_before
            AND (
                SELECT chat_messages.id
                FROM chat_messages
                WHERE chat_messages.conversation_id = conversations.id
                LIMIT 1
            ) IS NULL
        ORDER BY conversations.updated_at
        LIMIT batch
        FOR UPDATE SKIP LOCKED
    )

    SELECT
        array_agg(unused.id),
        CASE WHEN count(*) = batch THEN max(unused.updated_at) END
    INTO unused_ids, resume_at
    FROM unused;

    -- All at once; where a rule that is not Parley's refuses one of them, such as a foreign key or a trigger of the
    -- application's, one by one, so that the others go. IMMEDIATE: a rule that waits for the end would refuse all.
    SET CONSTRAINTS ALL IMMEDIATE;
    chunk_size := greatest(cardinality(unused_ids), 1);
    WHILE next_item <= cardinality(unused_ids) LOOP
        BEGIN
            -- Checked again under the lock: a message stored in between would be deleted with the conversation.
            DELETE FROM conversations
            WHERE
                conversations.id = ANY(unused_ids[next_item:next_item + chunk_size - 1])
                AND (
                    SELECT chat_messages.id
                    FROM chat_messages
                    WHERE chat_messages.conversation_id = conversations.id
                    LIMIT 1
                ) IS NULL;
            GET DIAGNOSTICS gone_count = ROW_COUNT;
            deleted := deleted + gone_count;
            next_item := next_item + chunk_size;
        EXCEPTION WHEN OTHERS THEN
            IF rule_refusal(SQLSTATE, SQLERRM) IS NULL THEN
                RAISE;
            END IF;
            IF chunk_size = 1 THEN
                refused := refused + 1;
                refusal := coalesce(refusal, rule_refusal(SQLSTATE, SQLERRM));
                next_item := next_item + 1;
            ELSE
                chunk_size := 1;
            END IF;
        END;
    END LOOP;
    -- As many with the time at which this batch began are kept as a batch has: the next one begins behind them.
    IF refused > 0 AND resume_at = since THEN
        resume_at := resume_at + interval '1 microsecond';
    END IF;
    duration_ms := extract(EPOCH FROM clock_timestamp() - started_at) * 1000;
END
$$;

COMMENT ON FUNCTION public.delete_old_conversations(retention interval, batch integer, since timestamp with time zone, OUT deleted integer, OUT resume_at timestamp with time zone, OUT duration_ms double precision, OUT refused integer, OUT refusal text) IS 'Parley: deletes one batch of the conversations that are empty and unused for longer than the retention period; resume_at: where the next batch begins (NULL: nothing is left)';

CREATE FUNCTION public.delete_own_account() RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
DECLARE
    caller_id CONSTANT text := nullif(current_setting('parley.user_id', TRUE), '');
BEGIN
    -- An application's own `tasks` may lack a foreign key that deletes them with the user.
    DELETE FROM tasks WHERE tasks.user_id = caller_id;
    DELETE FROM conversations WHERE conversations.user_id = caller_id;
    -- Those of messages are gone with them; these are uploads that no message has.
    DELETE FROM chat_files WHERE chat_files.user_id = caller_id;
    IF obj_description(to_regclass('users'), 'pg_class') LIKE 'Parley:%' THEN
        DELETE FROM users WHERE users.id = caller_id;
    END IF;
    -- After the user, whom a log-in at this moment has locked first.
    DELETE FROM known_networks WHERE known_networks.user_id = caller_id;
END
$$;

COMMENT ON FUNCTION public.delete_own_account() IS 'Parley: deletes the caller and all of the caller''s rows, but no row of an application''s own users';

CREATE FUNCTION public.erase_conversation(conversation_id uuid) RETURNS SETOF uuid
    LANGUAGE sql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
    DELETE FROM conversations
    WHERE
        conversations.id = erase_conversation.conversation_id
        AND conversations.key_hash = decode(nullif(current_setting('parley.key_hash', TRUE), ''), 'hex')
    RETURNING conversations.id;
$$;

COMMENT ON FUNCTION public.erase_conversation(conversation_id uuid) IS 'Parley: deletes a conversation by its key, whether or not a user has claimed it';

CREATE FUNCTION public.find_account(account_email text) RETURNS TABLE(id text, name text, hashed_password text, is_active boolean, created_at timestamp with time zone)
    LANGUAGE sql STABLE
    SET search_path TO 'public', 'pg_temp'
    AS $$
            SELECT users.id, users.name, users.hashed_password, users.is_active, users.created_at
            FROM users
            WHERE users.email = account_email;
        $$;

COMMENT ON FUNCTION public.find_account(account_email text) IS 'Parley: the user of an e-mail address, with the hash of its password if it is a local account';

CREATE FUNCTION public.finish_log_in(account_id text, checked_hash text, new_hash text, subjects text[], counted_at timestamp with time zone, networks_kept integer) RETURNS timestamp with time zone
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
    AS $$
DECLARE
    valid_from timestamptz;
BEGIN
    IF new_hash IS NULL THEN
        SELECT users.tokens_valid_from INTO valid_from
        FROM users
        WHERE users.id = account_id AND users.hashed_password = checked_hash
        FOR SHARE;
    ELSE
        -- The password is the same, so the tokens stay.
        UPDATE users
        SET hashed_password = new_hash
        WHERE users.id = account_id AND users.hashed_password = checked_hash
        RETURNING users.tokens_valid_from INTO valid_from;
    END IF;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    DELETE FROM account_attempts WHERE account_attempts.subject = subjects[1];
    UPDATE account_attempts
    SET
        attempt_count = greatest(account_attempts.attempt_count - 1, 0),
        -- Nothing had to wait when this attempt was counted.
        next_attempt_at = CASE
            WHEN account_attempts.attempted_at > counted_at THEN account_attempts.next_attempt_at
        END
    WHERE account_attempts.subject = any(subjects[2:]);
    INSERT INTO known_networks AS already (subject, user_id, used_at)
    VALUES (subjects[1], account_id, counted_at)
    ON CONFLICT (subject) DO UPDATE SET
        user_id = excluded.user_id,
        used_at = greatest(already.used_at, excluded.used_at);
    DELETE FROM known_networks
    WHERE
        known_networks.user_id = account_id
        AND known_networks.subject <> all(array(
            SELECT kept.subject
            FROM known_networks AS kept
            WHERE kept.user_id = account_id
            ORDER BY kept.used_at DESC, kept.subject
            LIMIT networks_kept
        ));
    -- Read after the lock. Not before valid_from, even if the clock was set back.
    RETURN greatest(clock_timestamp(), valid_from);
END
$$;

COMMENT ON FUNCTION public.finish_log_in(account_id text, checked_hash text, new_hash text, subjects text[], counted_at timestamp with time zone, networks_kept integer) IS 'Parley: ends a log-in whose password was right, and returns the time of issue for its token';

CREATE FUNCTION public.finish_turn(caller_id text, reachable_id uuid, needs_account boolean, token_issued_at timestamp with time zone, key_hash bytea, client_subject text, timeout_ms integer, approach text, conversation_id uuid, user_id text, turn_id uuid, answer_message_id text, question_id bigint, content text, finish_reason text, model_name text, model text, requested_model text, prompt_tokens integer, cached_tokens integer, completion_tokens integer, reasoning_tokens integer, reasoning_seconds double precision, tool_calls json, steps json, provider_state json, persona text, tone text, behavior text, context_type text, signal_strength double precision, context_clarity boolean, needs_knowledge boolean, refusal text, has_provider_failed boolean, paid_prompt_tokens integer, paid_completion_tokens integer, quota_subjects text[], title text, first_title text, stored_parts integer, parts text, title_parts text, last_parts text, now timestamp with time zone) RETURNS TABLE(id bigint, created_at timestamp with time zone, current_title character varying)
    LANGUAGE plpgsql
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_seqscan TO 'off'
    SET search_path TO 'public', 'pg_temp'
    AS $$
#variable_conflict use_column
DECLARE
    finished_at CONSTANT timestamptz := coalesce(finish_turn.now, now());
    -- A try that failed for another reason than a refusal, or was cut before it had text, tells nothing of one: it may
    -- have no more than earlier tool calls.
    is_refusal_known CONSTANT boolean := finish_turn.refusal IS NOT NULL
    OR CASE coalesce(finish_turn.finish_reason, 'stop')
        WHEN 'error' THEN FALSE
        WHEN 'interrupted' THEN FALSE
        WHEN 'aborted' THEN finish_turn.content <> ''
        ELSE TRUE
    END;
    existing record;
    superseded_count integer;
    earlier_parts text;
    earlier_count integer;
BEGIN
    IF approach IS NOT NULL THEN
        PERFORM act_as_caller(
            caller_id, reachable_id, needs_account, token_issued_at, key_hash, client_subject, timeout_ms, approach
        );
    END IF;

    -- Locks the conversation until the end. A repeated call that has waited here for its own first try finds the turn
    -- given back.
    UPDATE conversations
    SET
        turn_id = NULL,
        turn_message_id = NULL,
        turn_expires_at = NULL,
        title = CASE
            WHEN conversations.title = finish_turn.first_title
                THEN coalesce(finish_turn.title, conversations.title)
            ELSE conversations.title
        END,
        -- The model's title tells the question, and expires with it.
        titled_at = CASE
            WHEN conversations.title = finish_turn.first_title AND finish_turn.title IS NOT NULL
                THEN coalesce(
                    (
                        SELECT chat_messages.created_at
                        FROM chat_messages
                        WHERE
                            chat_messages.conversation_id = finish_turn.conversation_id
                            AND chat_messages.user_id IS NOT DISTINCT FROM finish_turn.user_id
                            AND chat_messages.id = finish_turn.question_id
                    ),
                    conversations.titled_at
                )
            ELSE conversations.titled_at
        END,
        message_count = conversations.message_count + 1,
        -- Unknown together: then a text that nobody deletes would stay here.
        last_message = CASE WHEN conversations.message_count IS NOT NULL THEN left(finish_turn.content, 120) END
    WHERE
        conversations.id = finish_turn.conversation_id
        AND conversations.user_id IS NOT DISTINCT FROM finish_turn.user_id
        AND conversations.turn_id = finish_turn.turn_id
    RETURNING conversations.title INTO current_title;

    IF NOT FOUND THEN
        -- The answer that an earlier try of this call stored; not the one that another attempt stored under the same id
        -- after the lease ran out.
        RETURN QUERY
        SELECT
            chat_messages.id,
            chat_messages.created_at,
            conversations.title
        FROM chat_messages
        INNER JOIN conversations ON chat_messages.conversation_id = conversations.id
        WHERE
            chat_messages.conversation_id = finish_turn.conversation_id
            AND chat_messages.user_id IS NOT DISTINCT FROM finish_turn.user_id
            AND conversations.user_id IS NOT DISTINCT FROM finish_turn.user_id
            AND chat_messages.message_id = finish_turn.answer_message_id
            AND chat_messages.content = finish_turn.content
            AND chat_messages.finish_reason IS NOT DISTINCT FROM finish_turn.finish_reason
            AND chat_messages.superseded_at IS NULL;
        RETURN;
    END IF;

    -- Nearly every turn finds no more to do than to store its answer. One look at all of it, because each further
    -- statement of this function costs as much as what it finds.
    SELECT
        EXISTS (
            SELECT FROM chat_messages
            WHERE
                chat_messages.conversation_id = finish_turn.conversation_id
                AND chat_messages.user_id IS NOT DISTINCT FROM finish_turn.user_id
                AND chat_messages.id > finish_turn.question_id
                AND chat_messages.superseded_at IS NULL
                AND chat_messages.role <> 'system'
        ) AS has_later_messages,
        EXISTS (
            SELECT FROM chat_messages
            WHERE
                chat_messages.conversation_id = finish_turn.conversation_id
                AND chat_messages.user_id IS NOT DISTINCT FROM finish_turn.user_id
                AND chat_messages.id = finish_turn.question_id
                AND (
                    chat_messages.owed_attempt IS NOT NULL
                    OR (is_refusal_known AND chat_messages.refusal IS DISTINCT FROM finish_turn.refusal)
                )
        ) AS has_marked_question,
        EXISTS (
            SELECT FROM tool_runs
            WHERE
                tool_runs.conversation_id = finish_turn.conversation_id
                AND tool_runs.user_id = finish_turn.user_id
                AND tool_runs.question_id = finish_turn.question_id
        ) AS has_tool_runs,
        EXISTS (
            SELECT FROM stream_batches
            WHERE
                stream_batches.conversation_id = finish_turn.conversation_id
                AND stream_batches.user_id IS NOT DISTINCT FROM finish_turn.user_id
        ) AS has_batches,
        EXISTS (
            SELECT FROM finished_streams
            WHERE
                finished_streams.conversation_id = finish_turn.conversation_id
                AND finished_streams.user_id IS NOT DISTINCT FROM finish_turn.user_id
                AND finished_streams.ended_at < finished_at - interval '1 minute'
        ) AS has_ended_streams
    INTO existing;

    -- The answer that this one replaces, and the messages after it.
    IF existing.has_later_messages THEN
        UPDATE chat_messages
        SET superseded_at = finished_at
        WHERE
            chat_messages.conversation_id = finish_turn.conversation_id
            AND chat_messages.user_id IS NOT DISTINCT FROM finish_turn.user_id
            AND chat_messages.superseded_at IS NULL
            AND chat_messages.role <> 'system'
            AND chat_messages.id > finish_turn.question_id;
        GET DIAGNOSTICS superseded_count = ROW_COUNT;
        UPDATE conversations
        SET message_count = conversations.message_count - superseded_count
        WHERE
            conversations.id = finish_turn.conversation_id
            AND conversations.user_id IS NOT DISTINCT FROM finish_turn.user_id;
    END IF;

    -- Seldom: a question that was refused is answered, or refused after tools were run for it; its attempt failed, or
    -- the attempt before; or the attempt has cost more than its answer, such as a title.
    IF
        existing.has_marked_question
        OR finish_turn.has_provider_failed
        OR finish_turn.paid_prompt_tokens > 0
        OR finish_turn.paid_completion_tokens > 0
    THEN
        UPDATE chat_messages
        SET
            refusal = CASE WHEN is_refusal_known THEN finish_turn.refusal ELSE chat_messages.refusal END,
            failed_attempts = CASE
                WHEN finish_turn.has_provider_failed
                    THEN least(coalesce(chat_messages.failed_attempts, 0) + 1, 32767)
                ELSE chat_messages.failed_attempts
            END,
            -- The first three failures are the provider's to bear; a question that fails on and on is paid for.
            owed_attempt = CASE
                WHEN finish_turn.has_provider_failed AND coalesce(chat_messages.failed_attempts, 0) < 3 THEN TRUE
            END,
            prompt_tokens = nullif(
                least(coalesce(chat_messages.prompt_tokens, 0)::bigint + finish_turn.paid_prompt_tokens, 2147483647), 0
            ),
            completion_tokens = nullif(
                least(
                    coalesce(chat_messages.completion_tokens, 0)::bigint + finish_turn.paid_completion_tokens,
                    2147483647
                ),
                0
            )
        WHERE
            chat_messages.conversation_id = finish_turn.conversation_id
            AND chat_messages.user_id IS NOT DISTINCT FROM finish_turn.user_id
            AND chat_messages.id = finish_turn.question_id;
    END IF;

    -- The answer has the tool calls now. A failed answer is tried again, and must not run its tools again.
    IF existing.has_tool_runs AND finish_turn.finish_reason NOT IN ('error', 'interrupted') THEN
        DELETE FROM tool_runs
        WHERE
            tool_runs.conversation_id = finish_turn.conversation_id
            AND tool_runs.user_id = finish_turn.user_id
            AND tool_runs.question_id = finish_turn.question_id;
    END IF;

    -- The batches of every attempt: the attempt that stores the answer is the last.
    IF existing.has_batches THEN
        WITH removed_batches AS (
            DELETE FROM stream_batches
            WHERE
                stream_batches.conversation_id = finish_turn.conversation_id
                AND stream_batches.user_id IS NOT DISTINCT FROM finish_turn.user_id
            RETURNING
                stream_batches.turn_id, stream_batches.first_part, stream_batches.part_count, stream_batches.parts
        )

        SELECT
            string_agg(removed_batches.parts, '' ORDER BY removed_batches.first_part),
            sum(removed_batches.part_count)
        INTO earlier_parts, earlier_count
        FROM removed_batches
        WHERE
            removed_batches.turn_id = finish_turn.turn_id
            AND removed_batches.first_part < finish_turn.stored_parts;
    END IF;
    IF finish_turn.stored_parts <> coalesce(earlier_count, 0) THEN
        RAISE EXCEPTION USING ERRCODE = 'PA013', MESSAGE = 'stored parts of the answer are missing';
    END IF;

    -- Readers come back within a minute, or not at all.
    IF existing.has_ended_streams THEN
        DELETE FROM finished_streams
        WHERE
            finished_streams.conversation_id = finish_turn.conversation_id
            AND finished_streams.user_id IS NOT DISTINCT FROM finish_turn.user_id
            AND finished_streams.ended_at < finished_at - interval '1 minute';
    END IF;
    INSERT INTO finished_streams (conversation_id, turn_id, user_id, answer_message_id, parts, ended_at)
    VALUES (
        finish_turn.conversation_id,
        finish_turn.turn_id,
        finish_turn.user_id,
        finish_turn.answer_message_id,
        coalesce(earlier_parts, '')
        || finish_turn.parts
        || CASE WHEN current_title = finish_turn.title THEN finish_turn.title_parts ELSE '' END
        || finish_turn.last_parts,
        finished_at
    );

    INSERT INTO chat_messages (
        conversation_id,
        user_id,
        message_id,
        role,
        content,
        reply_to,
        finish_reason,
        model_name,
        model,
        requested_model,
        prompt_tokens,
        cached_tokens,
        completion_tokens,
        reasoning_tokens,
        reasoning_seconds,
        tool_calls,
        steps,
        provider_state,
        persona,
        tone,
        behavior,
        context_type,
        signal_strength,
        context_clarity,
        needs_knowledge,
        created_at,
        updated_at
    )
    VALUES (
        finish_turn.conversation_id,
        finish_turn.user_id,
        finish_turn.answer_message_id,
        'assistant',
        finish_turn.content,
        finish_turn.question_id,
        finish_turn.finish_reason,
        finish_turn.model_name,
        finish_turn.model,
        finish_turn.requested_model,
        finish_turn.prompt_tokens,
        finish_turn.cached_tokens,
        finish_turn.completion_tokens,
        finish_turn.reasoning_tokens,
        finish_turn.reasoning_seconds,
        finish_turn.tool_calls,
        finish_turn.steps,
        finish_turn.provider_state,
        finish_turn.persona,
        finish_turn.tone,
        finish_turn.behavior,
        finish_turn.context_type,
        finish_turn.signal_strength,
        finish_turn.context_clarity,
        coalesce(finish_turn.needs_knowledge, FALSE),
        finished_at,
        finished_at
    )
    RETURNING chat_messages.id, chat_messages.created_at INTO id, created_at;

    IF cardinality(finish_turn.quota_subjects) > 0 THEN
        PERFORM count_tokens(
            finish_turn.quota_subjects,
            least(
                coalesce(finish_turn.prompt_tokens, 0)::bigint
                + coalesce(finish_turn.completion_tokens, 0)
                + finish_turn.paid_prompt_tokens
                + finish_turn.paid_completion_tokens,
                2147483647
            )::integer,
            finished_at
        );
    END IF;
    RETURN NEXT;
END
$$;

COMMENT ON FUNCTION public.finish_turn(caller_id text, reachable_id uuid, needs_account boolean, token_issued_at timestamp with time zone, key_hash bytea, client_subject text, timeout_ms integer, approach text, conversation_id uuid, user_id text, turn_id uuid, answer_message_id text, question_id bigint, content text, finish_reason text, model_name text, model text, requested_model text, prompt_tokens integer, cached_tokens integer, completion_tokens integer, reasoning_tokens integer, reasoning_seconds double precision, tool_calls json, steps json, provider_state json, persona text, tone text, behavior text, context_type text, signal_strength double precision, context_clarity boolean, needs_knowledge boolean, refusal text, has_provider_failed boolean, paid_prompt_tokens integer, paid_completion_tokens integer, quota_subjects text[], title text, first_title text, stored_parts integer, parts text, title_parts text, last_parts text, now timestamp with time zone) IS 'Parley: stores the answer and gives the turn back';

CREATE FUNCTION public.forget_message_counts() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
BEGIN
    IF current_setting('parley.are_counts_forgotten', TRUE) = 'true' THEN
        RETURN NULL;
    END IF;
    UPDATE conversations
    SET
        message_count = NULL,
        last_message = NULL
    -- An array, so that each is looked up by its key in every plan.
    WHERE conversations.id = ANY(ARRAY(SELECT DISTINCT deleted_messages.conversation_id FROM deleted_messages));
    RETURN NULL;
END
$$;

COMMENT ON FUNCTION public.forget_message_counts() IS 'Parley: makes the number and the last of a conversation''s messages unknown when some are deleted';

CREATE FUNCTION public.forget_summaries_of_deleted() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
BEGIN
    DELETE FROM conversation_summaries
    USING (
        SELECT
            deleted_messages.conversation_id,
            min(deleted_messages.id) AS first_id
        FROM deleted_messages
        WHERE deleted_messages.superseded_at IS NULL
        GROUP BY deleted_messages.conversation_id
        -- Each conversation is looked up by its key in every plan.
        OFFSET 0
    ) AS deleted
    WHERE
        conversation_summaries.conversation_id = deleted.conversation_id
        AND conversation_summaries.through_id >= deleted.first_id;
    RETURN NULL;
END
$$;

COMMENT ON FUNCTION public.forget_summaries_of_deleted() IS 'Parley: deletes the summaries of messages that are deleted';

CREATE FUNCTION public.forget_summaries_of_replaced() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
BEGIN
    DELETE FROM conversation_summaries
    WHERE
        conversation_summaries.conversation_id = NEW.conversation_id
        AND conversation_summaries.through_id >= NEW.id;
    RETURN NULL;
END
$$;

COMMENT ON FUNCTION public.forget_summaries_of_replaced() IS 'Parley: deletes the summaries of a message that is replaced, or marked as a mistake';

CREATE FUNCTION public.is_kept(stored_at timestamp with time zone, retention_days integer, now timestamp with time zone) RETURNS boolean
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN ((retention_days = 0) OR (stored_at >= (COALESCE(now, now()) - make_interval(days => retention_days))));

COMMENT ON FUNCTION public.is_kept(stored_at timestamp with time zone, retention_days integer, now timestamp with time zone) IS 'Parley: does a retention period of so many days (0: keep all) still keep a row stored at that time?';

CREATE FUNCTION public.list_conversations(user_id text, shown_status text, retention_days integer, cursor_updated_at timestamp with time zone, cursor_id uuid, page_size integer, now timestamp with time zone) RETURNS TABLE(id uuid, title character varying, status character varying, created_at timestamp with time zone, updated_at timestamp with time zone, model text, message_count integer, last_message text)
    LANGUAGE plpgsql STABLE
    SET plan_cache_mode TO 'force_generic_plan'
    SET search_path TO 'public', 'pg_temp'
    AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    SELECT
        page.id,
        CASE
            WHEN is_kept(page.titled_at, list_conversations.retention_days, list_conversations.now) THEN page.title
        END,
        page.status,
        page.created_at,
        page.updated_at,
        page.model,
        CASE
            WHEN page.is_counted THEN page.message_count
            ELSE (
                SELECT count(*)::integer
                FROM chat_messages
                WHERE
                    chat_messages.conversation_id = page.id
                    AND chat_messages.user_id = list_conversations.user_id
                    AND chat_messages.superseded_at IS NULL
                    AND chat_messages.role <> 'system'
                    AND is_kept(
                        chat_messages.created_at, list_conversations.retention_days, list_conversations.now
                    )
            )
        END,
        CASE
            WHEN page.is_counted THEN page.last_message
            ELSE (
                SELECT left(chat_messages.content, 120)
                FROM chat_messages
                WHERE
                    chat_messages.conversation_id = page.id
                    -- CASE: see the policy own_conversations.
                    AND CASE
                        WHEN chat_messages.user_id = list_conversations.user_id
                            THEN
                                chat_messages.superseded_at IS NULL
                                AND chat_messages.role <> 'system'
                                AND is_kept(
                                    chat_messages.created_at,
                                    list_conversations.retention_days,
                                    list_conversations.now
                                )
                    END
                ORDER BY chat_messages.id DESC
                LIMIT 1
            )
        END
    FROM (
        -- Of one status, or of all: one of the two finds no row without a look. Each has an index for its order.
        (
            SELECT
                conversations.*,
                conversations.message_count IS NOT NULL
                AND is_kept(conversations.created_at, list_conversations.retention_days, list_conversations.now)
                    AS is_counted
            FROM conversations
            WHERE
                conversations.user_id = list_conversations.user_id
                AND conversations.status = list_conversations.shown_status
                -- A row comparison is an index condition in every plan; `cursor IS NULL OR ...` only in custom plans.
                AND (conversations.updated_at, conversations.id) < (
                    coalesce(list_conversations.cursor_updated_at, 'infinity'),
                    coalesce(list_conversations.cursor_id, 'ffffffff-ffff-ffff-ffff-ffffffffffff')
                )
                AND is_kept(conversations.updated_at, list_conversations.retention_days, list_conversations.now)
            ORDER BY conversations.updated_at DESC, conversations.id DESC
            LIMIT list_conversations.page_size
        )
        UNION ALL
        (
            SELECT
                conversations.*,
                conversations.message_count IS NOT NULL
                AND is_kept(conversations.created_at, list_conversations.retention_days, list_conversations.now)
                    AS is_counted
            FROM conversations
            WHERE
                list_conversations.shown_status = 'all'
                AND conversations.user_id = list_conversations.user_id
                AND (conversations.updated_at, conversations.id) < (
                    coalesce(list_conversations.cursor_updated_at, 'infinity'),
                    coalesce(list_conversations.cursor_id, 'ffffffff-ffff-ffff-ffff-ffffffffffff')
                )
                AND is_kept(conversations.updated_at, list_conversations.retention_days, list_conversations.now)
            ORDER BY conversations.updated_at DESC, conversations.id DESC
            LIMIT list_conversations.page_size
        )
    ) AS page
    ORDER BY page.updated_at DESC, page.id DESC;
END
$$;

COMMENT ON FUNCTION public.list_conversations(user_id text, shown_status text, retention_days integer, cursor_updated_at timestamp with time zone, cursor_id uuid, page_size integer, now timestamp with time zone) IS 'Parley: one page of the caller''s conversations';

CREATE FUNCTION public.list_faults() RETURNS TABLE(kind text, description text)
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
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

COMMENT ON FUNCTION public.list_faults() IS 'Parley: what is wrong with the privileges, the sequences, the server, and tables of the application''s';

CREATE FUNCTION public.list_late_sequences(reads_all_rows boolean) RETURNS TABLE(table_name text, sequence_name text, next_number bigint, greatest_number bigint)
    LANGUAGE plpgsql STABLE
    SET search_path TO 'public', 'pg_temp'
    AS $$
BEGIN
    FOREACH table_name IN ARRAY ARRAY['chat_messages', 'tasks'] LOOP
        -- An application's own `tasks` may have changed, number its rows in another way, or belong to another role.
        CONTINUE WHEN NOT EXISTS (
            SELECT FROM pg_attribute
            WHERE
                pg_attribute.attrelid = to_regclass(table_name)
                AND pg_attribute.attname = 'id'
                AND NOT pg_attribute.attisdropped
        );
        sequence_name := pg_get_serial_sequence(table_name, 'id');
        CONTINUE WHEN
            sequence_name IS NULL
            OR NOT has_sequence_privilege(sequence_name, 'SELECT')
            OR NOT has_sequence_privilege(sequence_name, 'UPDATE')
            OR NOT has_table_privilege(table_name, 'SELECT');
        IF table_name = 'tasks' THEN
            SELECT max(tasks.id) INTO greatest_number FROM tasks;
        ELSIF reads_all_rows THEN
            SELECT max(chat_messages.id) INTO greatest_number FROM chat_messages;
        ELSE
            SELECT max(newest.id) INTO greatest_number
            FROM (
                SELECT chat_messages.id FROM chat_messages ORDER BY chat_messages.created_at DESC LIMIT 100
            ) AS newest;
        END IF;
        -- Until it is asked for the first time, a sequence gives its last_value.
        EXECUTE format('SELECT last_value + CASE WHEN is_called THEN 1 ELSE 0 END FROM %s', sequence_name)
        INTO next_number;
        IF next_number <= greatest_number THEN
            RETURN NEXT;
        END IF;
    END LOOP;
END
$$;

COMMENT ON FUNCTION public.list_late_sequences(reads_all_rows boolean) IS 'Parley: sequences whose next number is not above those that are stored already';

CREATE FUNCTION public.list_privilege_faults() RETURNS TABLE(object_name text, grantee text, privilege text, is_missing boolean, cure text)
    LANGUAGE plpgsql STABLE
    SET search_path TO 'public', 'pg_temp'
    AS $$
#variable_conflict use_column
DECLARE
    home CONSTANT oid := current_schema()::regnamespace;
    app CONSTANT oid := to_regrole('parley_app');
BEGIN
    RETURN QUERY
    WITH own_tables AS MATERIALIZED (
        SELECT pg_class.oid, pg_class.relname, pg_class.relowner, pg_class.relacl, pg_class.reltype
        FROM pg_class
        INNER JOIN pg_description
            ON
                pg_class.oid = pg_description.objoid
                AND pg_description.classoid = 'pg_class'::regclass
                AND pg_description.objsubid = 0
        WHERE
            pg_class.relnamespace = home
            AND pg_class.relkind IN ('r', 'p', 'v', 'm', 'f')
            AND pg_description.description LIKE 'Parley:%'
    ),

    own_objects AS MATERIALIZED (
        SELECT
            'table' AS kind, own_tables.oid, own_tables.relowner AS owner,
            coalesce(own_tables.relacl, acldefault('r', own_tables.relowner)) AS acl,
            acldefault('r', own_tables.relowner) AS own_acl
        FROM own_tables
        UNION ALL
        SELECT
            'sequence', pg_class.oid, pg_class.relowner,
            coalesce(pg_class.relacl, acldefault('s', pg_class.relowner)),
            acldefault('s', pg_class.relowner)
        FROM own_tables
        INNER JOIN pg_depend
            ON
                own_tables.oid = pg_depend.refobjid
                AND pg_depend.refclassid = 'pg_class'::regclass
                AND pg_depend.classid = 'pg_class'::regclass
                AND pg_depend.deptype IN ('a', 'i')
        INNER JOIN pg_class ON pg_depend.objid = pg_class.oid
        WHERE pg_class.relkind = 'S'
        UNION ALL
        SELECT
            'type', pg_type.oid, pg_type.typowner,
            coalesce(pg_type.typacl, acldefault('T', pg_type.typowner)),
            acldefault('T', pg_type.typowner)
        FROM own_tables
        INNER JOIN pg_type ON own_tables.reltype = pg_type.oid
        UNION ALL
        SELECT
            'function', pg_proc.oid, pg_proc.proowner,
            coalesce(pg_proc.proacl, acldefault('f', pg_proc.proowner)),
            acldefault('f', pg_proc.proowner)
        FROM pg_proc
        INNER JOIN pg_description
            ON
                pg_proc.oid = pg_description.objoid
                AND pg_description.classoid = 'pg_proc'::regclass
                AND pg_description.objsubid = 0
        WHERE pg_proc.pronamespace = home AND pg_description.description LIKE 'Parley:%'
    ),

    needed AS MATERIALIZED (
        SELECT
            needs.object_kind AS kind, needs.object AS oid, needs.column_name, app AS role, needs.privilege
        FROM needed_privileges() AS needs
    ),

    -- What parley_app needs, and all for each owner: a default may have taken that from it as well.
    expected AS (
        SELECT needed.kind, needed.oid, needed.column_name, needed.role, needed.privilege FROM needed
        UNION ALL
        SELECT own_objects.kind, own_objects.oid, NULL, own_objects.owner, rights.privilege_type
        FROM own_objects
        CROSS JOIN aclexplode(own_objects.own_acl) AS rights
        WHERE rights.grantee = own_objects.owner
    ),

    found AS MATERIALIZED (
        SELECT
            own_objects.kind, own_objects.oid, NULL AS column_name, rights.grantee AS role,
            rights.privilege_type AS privilege, rights.is_grantable, own_objects.owner
        FROM own_objects
        CROSS JOIN aclexplode(own_objects.acl) AS rights
        UNION ALL
        SELECT
            'table', own_tables.oid, pg_attribute.attname::text, rights.grantee,
            rights.privilege_type, rights.is_grantable, own_tables.relowner
        FROM own_tables
        INNER JOIN pg_attribute ON own_tables.oid = pg_attribute.attrelid
        CROSS JOIN aclexplode(pg_attribute.attacl) AS rights
        WHERE pg_attribute.attacl IS NOT NULL
    ),

    faults AS (
        SELECT
            found.kind, found.oid, found.column_name, found.role,
            -- What is needed, but may be passed on.
            CASE WHEN needed.oid IS NOT NULL THEN 'GRANT OPTION FOR ' ELSE '' END || found.privilege AS privilege,
            FALSE AS is_missing
        FROM found
        LEFT JOIN needed
            ON
                found.kind = needed.kind
                AND found.oid = needed.oid
                AND found.role = needed.role
                AND found.privilege = needed.privilege
                AND found.column_name IS NOT DISTINCT FROM needed.column_name
        WHERE found.role <> found.owner AND (found.is_grantable OR needed.oid IS NULL)
        UNION ALL
        SELECT expected.kind, expected.oid, expected.column_name, expected.role, expected.privilege, TRUE
        FROM expected
        INNER JOIN own_objects ON expected.kind = own_objects.kind AND expected.oid = own_objects.oid
        WHERE
            NOT EXISTS (
                SELECT FROM found
                WHERE
                    (found.kind, found.oid, found.role, found.privilege)
                    = (expected.kind, expected.oid, expected.role, expected.privilege)
                    AND (found.column_name IS NULL OR found.column_name = expected.column_name)
            )
        UNION ALL
        SELECT needed.kind, needed.oid, needed.column_name, needed.role, needed.privilege, TRUE
        FROM needed
        WHERE
            NOT EXISTS (
                SELECT FROM own_objects WHERE own_objects.kind = needed.kind AND own_objects.oid = needed.oid
            )
            AND NOT CASE needed.kind
                WHEN 'schema' THEN has_schema_privilege(app, needed.oid, needed.privilege)
                WHEN 'table' THEN has_table_privilege(app, needed.oid, needed.privilege)
                WHEN 'sequence' THEN has_sequence_privilege(app, needed.oid, needed.privilege)
                ELSE has_function_privilege(app, needed.oid, needed.privilege)
            END
    ),

    named AS (
        SELECT
            faults.kind, faults.privilege, faults.is_missing, faults.column_name,
            CASE WHEN faults.role = 0 THEN 'PUBLIC' ELSE coalesce(faults.role::regrole::text, 'parley_app') END
            AS role_name,
            CASE faults.kind
                WHEN 'schema' THEN faults.oid::regnamespace::text
                WHEN 'function' THEN (
                    SELECT
                        format(
                            '%s.%I(%s)',
                            pg_proc.pronamespace::regnamespace,
                            pg_proc.proname,
                            array_to_string(
                                ARRAY(SELECT format_type(kind.oid, NULL) FROM unnest(pg_proc.proargtypes) AS kind (oid)), ', '
                            )
                        )
                    FROM pg_proc WHERE pg_proc.oid = faults.oid
                )
                WHEN 'type' THEN (
                    SELECT format('%s.%I', pg_type.typnamespace::regnamespace, pg_type.typname)
                    FROM pg_type WHERE pg_type.oid = faults.oid
                )
                ELSE (
                    SELECT format('%s.%I', pg_class.relnamespace::regnamespace, pg_class.relname)
                    FROM pg_class WHERE pg_class.oid = faults.oid
                )
            END AS place
        FROM faults
    ),

    gathered AS (
        SELECT
            named.kind, named.place, named.role_name, named.is_missing,
            named.privilege
            || coalesce(' (' || string_agg(quote_ident(named.column_name), ', ' ORDER BY named.column_name) || ')', '')
            AS privilege
        FROM named
        GROUP BY
            named.kind, named.place, named.role_name, named.is_missing, named.privilege,
            named.column_name IS NULL
    )

    SELECT
        gathered.kind || ' ' || gathered.place,
        gathered.role_name,
        gathered.privilege,
        gathered.is_missing,
        CASE
            WHEN gathered.is_missing
                THEN format(
                    'GRANT %s ON %s %s TO %s', gathered.privilege, upper(gathered.kind COLLATE "C"), gathered.place, gathered.role_name
                )
            -- CASCADE: a role with the right to grant it may have done so.
            ELSE format(
                'REVOKE %s ON %s %s FROM %s CASCADE',
                gathered.privilege, upper(gathered.kind COLLATE "C"), gathered.place, gathered.role_name
            )
        END
    FROM gathered
    ORDER BY gathered.is_missing, gathered.kind, gathered.place, gathered.role_name, gathered.privilege;
END
$$;

COMMENT ON FUNCTION public.list_privilege_faults() IS 'Parley: privileges on its objects that are missing, or that nobody but their owner should have';

CREATE FUNCTION public.list_slow_statements(most integer) RETURNS TABLE(statement text, calls bigint, total_seconds double precision, mean_seconds double precision, row_count bigint)
    LANGUAGE plpgsql STABLE
    SET search_path TO 'public', 'pg_temp'
    AS $$
BEGIN
    -- The extension is where its owner has put it.
    PERFORM set_config('search_path', quote_ident(pg_namespace.nspname), TRUE)
    FROM pg_extension
    INNER JOIN pg_namespace ON pg_extension.extnamespace = pg_namespace.oid
    WHERE pg_extension.extname = 'pg_stat_statements';
    -- The view may exist without the library that fills it; reading it is then an error.
    IF
        to_regclass('pg_stat_statements') IS NULL
        OR current_setting('pg_stat_statements.max', TRUE) IS NULL
    THEN
        statement := NULL;
        RETURN NEXT;
        RETURN;
    END IF;
    RETURN QUERY
    SELECT
        named.name,
        sum(named.calls)::bigint,
        sum(named.total_exec_time) / 1000,
        sum(named.total_exec_time) / 1000 / greatest(sum(named.calls), 1),
        sum(named.rows)::bigint
    FROM (
        SELECT
            substring(pg_stat_statements.query FROM '^[[:alnum:]_]+ /[*] ([[:alnum:]_]+) [*]/') AS name,
            pg_stat_statements.calls,
            pg_stat_statements.total_exec_time,
            pg_stat_statements.rows
        FROM pg_stat_statements
        WHERE pg_stat_statements.dbid = (
            SELECT pg_database.oid FROM pg_database WHERE pg_database.datname = current_database()
        )
    ) AS named
    WHERE named.name IS NOT NULL
    GROUP BY named.name
    ORDER BY sum(named.total_exec_time) DESC
    LIMIT most;
END
$$;

COMMENT ON FUNCTION public.list_slow_statements(most integer) IS 'Parley: the statements that took the most time, where pg_stat_statements is; else one row of NULLs';

CREATE TABLE public.tool_runs (
    conversation_id uuid NOT NULL,
    question_id bigint NOT NULL,
    run_key character varying(100) NOT NULL,
    user_id character varying(255) NOT NULL,
    turn_id uuid NOT NULL,
    tool_call_id character varying(255) NOT NULL,
    tool_name character varying(64) NOT NULL,
    arguments jsonb NOT NULL,
    output jsonb,
    created_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL
);

COMMENT ON TABLE public.tool_runs IS 'Parley: tools that ran for a question without an answer; finish_turn stores them with the answer instead';

COMMENT ON COLUMN public.tool_runs.conversation_id IS 'The conversation';

COMMENT ON COLUMN public.tool_runs.question_id IS 'chat_messages.id of the question';

COMMENT ON COLUMN public.tool_runs.run_key IS 'Hash of the tool, its arguments, and the number of equal runs before it; the same in each attempt';

COMMENT ON COLUMN public.tool_runs.user_id IS 'The user in whose name it ran';

COMMENT ON COLUMN public.tool_runs.turn_id IS 'The attempt that ran it';

COMMENT ON COLUMN public.tool_runs.tool_call_id IS 'The call''s id, as the model named it';

COMMENT ON COLUMN public.tool_runs.tool_name IS 'The tool';

COMMENT ON COLUMN public.tool_runs.arguments IS 'Its arguments';

COMMENT ON COLUMN public.tool_runs.output IS 'Its result; NULL: the attempt ended before it stored one';

COMMENT ON COLUMN public.tool_runs.created_at IS 'When it ran; orders the runs';

CREATE FUNCTION public.list_tool_runs(conversation_id uuid, user_id text, turn_id uuid) RETURNS SETOF public.tool_runs
    LANGUAGE plpgsql
    SET plan_cache_mode TO 'force_generic_plan'
    SET search_path TO 'public', 'pg_temp'
    AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    SELECT tool_runs.*
    FROM conversations
    INNER JOIN chat_messages
        ON
            conversations.id = chat_messages.conversation_id
            AND conversations.turn_message_id = chat_messages.message_id
            AND chat_messages.superseded_at IS NULL
    INNER JOIN tool_runs
        ON
            chat_messages.conversation_id = tool_runs.conversation_id
            AND chat_messages.id = tool_runs.question_id
    WHERE
        conversations.id = list_tool_runs.conversation_id
        AND conversations.user_id = list_tool_runs.user_id
        AND chat_messages.user_id = list_tool_runs.user_id
        AND tool_runs.user_id = list_tool_runs.user_id
        AND conversations.turn_id = list_tool_runs.turn_id
    ORDER BY tool_runs.created_at, tool_runs.run_key;
END
$$;

COMMENT ON FUNCTION public.list_tool_runs(conversation_id uuid, user_id text, turn_id uuid) IS 'Parley: the tool runs of earlier attempts at the question of a turn';

CREATE FUNCTION public.list_turn_messages(conversation_id uuid, user_id text, turn_id uuid, message_id text, history_messages integer, seen_types text[], max_seen integer, max_bytes bigint, max_text_bytes bigint, max_text_end integer, max_beginning_end integer, reads_summary boolean, retention_days integer, now timestamp with time zone) RETURNS TABLE(id bigint, listed_conversation_id uuid, listed_message_id character varying, role character varying, content text, created_at timestamp with time zone, updated_at timestamp with time zone, reply_to bigint, finish_reason character varying, model_name text, prompt_tokens integer, completion_tokens integer, tool_calls json, metadata jsonb, files json, persona text, tone text, behavior text, context_type text, confidence double precision, signal_strength double precision, context_clarity boolean, needs_knowledge boolean, is_mistake boolean, mistake_note text, superseded_at timestamp with time zone, refusal character varying, steps json, reasoning_tokens integer, reasoning_seconds double precision, model text, requested_model text, cached_tokens integer, provider_state json, summary text, summary_id bigint, summarized_at timestamp with time zone, has_gap boolean)
    LANGUAGE plpgsql
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_seqscan TO 'off'
    SET search_path TO 'public', 'pg_temp'
    AS $$
#variable_conflict use_column
DECLARE
    block_size CONSTANT integer := (history_messages + 1) / 2;
    known_count integer;
    left_out integer;
    first_id bigint;
    other_ids bigint[];
    lowest_id bigint;
    told record;
BEGIN
    -- The newest one of messages before the question; and a turn that is another attempt's asks no model.
    SELECT
        conversation_summaries.through_id,
        conversation_summaries.content,
        conversation_summaries.created_at
    INTO told
    FROM conversations
    INNER JOIN chat_messages AS question ON conversations.id = question.conversation_id
    INNER JOIN conversation_summaries ON conversations.id = conversation_summaries.conversation_id
    WHERE
        list_turn_messages.reads_summary
        AND conversations.id = list_turn_messages.conversation_id
        AND conversations.user_id IS NOT DISTINCT FROM list_turn_messages.user_id
        AND conversations.turn_id = list_turn_messages.turn_id
        AND question.user_id IS NOT DISTINCT FROM list_turn_messages.user_id
        AND question.message_id = conversations.turn_message_id
        AND question.superseded_at IS NULL
        AND conversation_summaries.user_id IS NOT DISTINCT FROM list_turn_messages.user_id
        AND conversation_summaries.through_id < question.id
        AND conversation_summaries.content IS NOT NULL
        AND is_kept(conversation_summaries.oldest_at, list_turn_messages.retention_days, list_turn_messages.now)
    ORDER BY conversation_summaries.through_id DESC
    LIMIT 1;

    -- Known where the turn is this attempt's, no message is later than the question, and all messages are kept.
    SELECT conversations.message_count INTO known_count
    FROM conversations
    CROSS JOIN
        LATERAL (
            SELECT chat_messages.message_id
            FROM chat_messages
            WHERE
                chat_messages.conversation_id = list_turn_messages.conversation_id
                AND CASE WHEN chat_messages.user_id IS NOT DISTINCT FROM list_turn_messages.user_id THEN TRUE END
            ORDER BY chat_messages.id DESC
            LIMIT 1
        ) AS newest
    WHERE
        conversations.id = list_turn_messages.conversation_id
        AND conversations.user_id IS NOT DISTINCT FROM list_turn_messages.user_id
        AND conversations.turn_id = list_turn_messages.turn_id
        AND conversations.turn_message_id = newest.message_id
        AND is_kept(conversations.created_at, list_turn_messages.retention_days, list_turn_messages.now);
    IF known_count IS NOT NULL THEN
        IF told.through_id IS NOT NULL THEN
            known_count := (
                SELECT count(*)
                FROM chat_messages
                WHERE
                    chat_messages.conversation_id = list_turn_messages.conversation_id
                    AND chat_messages.id > told.through_id
                    AND CASE
                        WHEN chat_messages.user_id IS NOT DISTINCT FROM list_turn_messages.user_id
                            THEN chat_messages.superseded_at IS NULL AND chat_messages.role <> 'system'
                    END
            );
        END IF;
        -- The messages before the window are whole blocks: the fewest that leave history_messages or less.
        left_out := block_size * greatest((known_count - history_messages + block_size - 1) / block_size, 0);
        first_id := (
            SELECT chat_messages.id
            FROM chat_messages
            WHERE
                chat_messages.conversation_id = list_turn_messages.conversation_id
                -- CASE, because the planner makes no estimate of it, and so takes the order of the key instead of
                -- sorting.
                AND CASE
                    WHEN chat_messages.user_id IS NOT DISTINCT FROM list_turn_messages.user_id
                        THEN chat_messages.superseded_at IS NULL AND chat_messages.role <> 'system'
                END
            ORDER BY chat_messages.id DESC
            OFFSET greatest(known_count - 1 - left_out, 0)
            LIMIT 1
        );
        other_ids := ARRAY(
            SELECT chat_messages.id
            FROM chat_messages
            WHERE
                chat_messages.conversation_id = list_turn_messages.conversation_id
                AND chat_messages.user_id IS NOT DISTINCT FROM list_turn_messages.user_id
                AND chat_messages.role = 'system'
                AND chat_messages.superseded_at IS NULL
                AND is_kept(chat_messages.created_at, list_turn_messages.retention_days, list_turn_messages.now)
        );
    END IF;
    -- Also where the number is wrong: the question must never be missing for it.
    IF first_id IS NULL THEN
        WITH
        current_messages AS NOT MATERIALIZED (
            SELECT
                chat_messages.id,
                chat_messages.message_id,
                chat_messages.role,
                chat_messages.reply_to
            FROM chat_messages
            WHERE
                chat_messages.conversation_id = list_turn_messages.conversation_id
                AND chat_messages.user_id IS NOT DISTINCT FROM list_turn_messages.user_id
                AND chat_messages.superseded_at IS NULL
                AND is_kept(chat_messages.created_at, list_turn_messages.retention_days, list_turn_messages.now)
        ),

        question AS (
            SELECT current_messages.id
            FROM current_messages
            WHERE
                current_messages.role = 'user'
                AND current_messages.message_id = coalesce(
                    (
                        SELECT conversations.turn_message_id
                        FROM conversations
                        WHERE
                            conversations.id = list_turn_messages.conversation_id
                            AND conversations.user_id IS NOT DISTINCT FROM list_turn_messages.user_id
                            AND (
                                conversations.turn_id = list_turn_messages.turn_id
                                OR list_turn_messages.message_id IS NULL
                            )
                    ),
                    list_turn_messages.message_id
                )
        ),

        -- Read once, from the index alone: to count, and to choose.
        past_messages AS MATERIALIZED (
            SELECT
                current_messages.id,
                current_messages.role
            FROM current_messages
            WHERE
                current_messages.id <= (SELECT question.id FROM question)
                AND (current_messages.role = 'system' OR current_messages.id > coalesce(told.through_id, 0))
        ),

        -- The number of messages that may be told.
        conversation AS (
            SELECT count(*) AS message_count
            FROM past_messages
            WHERE past_messages.role <> 'system'
        ),

        -- The messages before the window are whole blocks: the fewest that leave history_messages or less.
        history AS (
            SELECT
                conversation.message_count - block_size * greatest(
                    (conversation.message_count - history_messages + block_size - 1) / block_size, 0
                ) AS message_count
            FROM conversation
        ),

        wanted AS (
            (
                SELECT past_messages.id
                FROM past_messages
                WHERE past_messages.role <> 'system'
                ORDER BY past_messages.id DESC
                LIMIT (SELECT history.message_count FROM history)
            )
            UNION ALL
            SELECT past_messages.id
            FROM past_messages
            WHERE past_messages.role = 'system'
            UNION ALL
            SELECT current_messages.id
            FROM current_messages
            WHERE current_messages.reply_to = (SELECT question.id FROM question)
        )

        SELECT
            array_agg(wanted.id),
            (SELECT conversation.message_count FROM conversation) - (SELECT history.message_count FROM history)
        INTO other_ids, left_out
        FROM wanted;
    END IF;
    lowest_id := least(first_id, (SELECT min(other.id) FROM unnest(other_ids) AS other (id)));

    RETURN QUERY
    SELECT
        listed.id,
        listed.conversation_id,
        listed.message_id,
        listed.role,
        listed.content,
        listed.created_at,
        listed.updated_at,
        listed.reply_to,
        listed.finish_reason,
        listed.model_name,
        listed.prompt_tokens,
        listed.completion_tokens,
        listed.tool_calls,
        listed.metadata,
        -- A turn without files costs no call.
        CASE
            WHEN listed.files IS NOT NULL
                THEN
                    told_files(
                        list_turn_messages.conversation_id,
                        list_turn_messages.user_id,
                        list_turn_messages.turn_id,
                        listed.id,
                        listed.files,
                        seen_types,
                        max_seen,
                        max_bytes,
                        max_text_bytes,
                        max_text_end,
                        max_beginning_end
                    )
        END AS files,
        listed.persona,
        listed.tone,
        listed.behavior,
        listed.context_type,
        listed.confidence,
        listed.signal_strength,
        listed.context_clarity,
        listed.needs_knowledge,
        listed.is_mistake,
        listed.mistake_note,
        listed.superseded_at,
        listed.refusal,
        listed.steps,
        listed.reasoning_tokens,
        listed.reasoning_seconds,
        listed.model,
        listed.requested_model,
        listed.cached_tokens,
        listed.provider_state,
        CASE WHEN listed.id = lowest_id THEN told.content END AS summary,
        CASE WHEN listed.id = lowest_id THEN told.through_id END AS summary_id,
        CASE WHEN listed.id = lowest_id THEN told.created_at END AS summarized_at,
        CASE WHEN listed.id = lowest_id THEN left_out > 0 END AS has_gap
    FROM chat_messages AS listed
    WHERE
        listed.conversation_id = list_turn_messages.conversation_id
        -- The key gives them in order. From the first system message on, where there is one.
        AND listed.id >= lowest_id
        AND CASE
            WHEN listed.user_id IS NOT DISTINCT FROM list_turn_messages.user_id
                THEN
                    listed.id = any(other_ids)
                    OR (
                        listed.id >= first_id
                        AND listed.superseded_at IS NULL
                        AND listed.role <> 'system'
                        AND is_kept(listed.created_at, list_turn_messages.retention_days, list_turn_messages.now)
                    )
        END
    ORDER BY listed.id;
END
$$;

COMMENT ON FUNCTION public.list_turn_messages(conversation_id uuid, user_id text, turn_id uuid, message_id text, history_messages integer, seen_types text[], max_seen integer, max_bytes bigint, max_text_bytes bigint, max_text_end integer, max_beginning_end integer, reads_summary boolean, retention_days integer, now timestamp with time zone) IS 'Parley: the messages that a turn reads';

CREATE FUNCTION public.needed_privileges() RETURNS TABLE(object_kind text, object oid, privilege text, column_name text)
    LANGUAGE sql STABLE
    SET search_path TO 'public', 'pg_temp'
    AS $$
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
        ('conversation_summaries', ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE'], NULL),
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

COMMENT ON FUNCTION public.needed_privileges() IS 'Parley: what the role parley_app may do';

CREATE FUNCTION public.own_quota(quota_subject text, at timestamp with time zone) RETURNS jsonb
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
    SELECT to_jsonb(quotas)
    FROM quotas
    WHERE quotas.subject = own_quota.quota_subject AND quotas.day_ends_at > own_quota.at;
$$;

COMMENT ON FUNCTION public.own_quota(quota_subject text, at timestamp with time zone) IS 'Parley: the counter of the subject with this keyed hash; NULL: there is none';

CREATE FUNCTION public.own_user() RETURNS jsonb
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
    SELECT jsonb_object_agg(columns.key, columns.value)
    FROM users
    CROSS JOIN LATERAL jsonb_each(to_jsonb(users)) AS columns
    WHERE
        users.id = nullif(current_setting('parley.user_id', TRUE), '')
        AND columns.key IN ('id', 'email', 'name', 'is_active', 'tokens_valid_from', 'created_at', 'updated_at');
$$;

COMMENT ON FUNCTION public.own_user() IS 'Parley: the caller''s row of users without its secrets; NULL: there is none';

CREATE FUNCTION public.reach_conversation(conversation_id uuid, user_id text, key_hash bytea, client_subject text, approach text) RETURNS uuid
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
    AS $$
DECLARE
    is_reached boolean;
    is_known boolean;
BEGIN
    SELECT
        conversations.user_id IS NULL
        AND conversations.key_hash IS NOT DISTINCT FROM reach_conversation.key_hash,
        -- Its owner may repeat the claim, and the holder of its key may delete it: no guess, for they know that it is
        -- there.
        coalesce(conversations.user_id = reach_conversation.user_id, FALSE)
        OR coalesce(conversations.key_hash = reach_conversation.key_hash, FALSE)
    INTO is_reached, is_known
    FROM conversations
    WHERE conversations.id = reach_conversation.conversation_id;
    IF NOT FOUND THEN
        is_reached := approach = 'create';
        is_known := FALSE;
    END IF;
    IF NOT is_reached AND approach IN ('create', 'continue') THEN
        RAISE EXCEPTION USING ERRCODE = 'PA006', MESSAGE = 'the caller does not reach the conversation';
    ELSIF client_subject IS NOT NULL THEN
        PERFORM count_guess(client_subject, NOT is_reached AND NOT is_known);
    END IF;
    RETURN CASE WHEN is_reached THEN conversation_id END;
END
$$;

COMMENT ON FUNCTION public.reach_conversation(conversation_id uuid, user_id text, key_hash bytea, client_subject text, approach text) IS 'Parley: the id of an anonymous conversation if the caller reaches it; NULL: the caller does not';

CREATE FUNCTION public.read_history(conversation_id uuid, user_id text, include_superseded boolean, include_system boolean, retention_days integer, cursor_id bigint, page_size integer, now timestamp with time zone) RETURNS TABLE(id bigint, found_conversation_id uuid, message_id character varying, role character varying, content text, created_at timestamp with time zone, updated_at timestamp with time zone, reply_to bigint, finish_reason character varying, model_name text, prompt_tokens integer, completion_tokens integer, tool_calls json, metadata jsonb, files jsonb, persona text, tone text, behavior text, context_type text, confidence double precision, signal_strength double precision, context_clarity boolean, needs_knowledge boolean, is_mistake boolean, mistake_note text, superseded_at timestamp with time zone, refusal character varying, steps json, reasoning_tokens integer, reasoning_seconds double precision, model text, requested_model text, cached_tokens integer, has_message boolean, title character varying, status character varying, conversation_created_at timestamp with time zone, conversation_updated_at timestamp with time zone, conversation_model text)
    LANGUAGE plpgsql STABLE
    SET plan_cache_mode TO 'force_generic_plan'
    SET search_path TO 'public', 'pg_temp'
    AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    SELECT
        page.id,
        conversations.id,
        page.message_id,
        page.role,
        page.content,
        page.created_at,
        page.updated_at,
        page.reply_to,
        page.finish_reason,
        page.model_name,
        page.prompt_tokens,
        page.completion_tokens,
        page.tool_calls,
        page.metadata,
        page.files,
        page.persona,
        page.tone,
        page.behavior,
        page.context_type,
        page.confidence,
        page.signal_strength,
        page.context_clarity,
        page.needs_knowledge,
        page.is_mistake,
        page.mistake_note,
        page.superseded_at,
        page.refusal,
        page.steps,
        page.reasoning_tokens,
        page.reasoning_seconds,
        page.model,
        page.requested_model,
        page.cached_tokens,
        page.id IS NOT NULL,
        CASE
            WHEN is_kept(conversations.titled_at, read_history.retention_days, read_history.now)
                THEN conversations.title
        END,
        conversations.status,
        conversations.created_at,
        conversations.updated_at,
        conversations.model
    FROM conversations
    LEFT JOIN LATERAL (
        SELECT chat_messages.*
        FROM chat_messages
        WHERE
            chat_messages.conversation_id = read_history.conversation_id
            -- CASE, not coalesce: Postgres takes coalesce for leaky, and so lets no index use it behind the wall.
            AND chat_messages.id
            < CASE WHEN read_history.cursor_id IS NULL THEN 9223372036854775807 ELSE read_history.cursor_id END
            -- Within CASE, which the planner expects to be true of every second message. From the bare conditions it
            -- expects few messages, and so it would sort the whole conversation instead of walking down its key.
            AND CASE
                WHEN chat_messages.user_id IS NOT DISTINCT FROM read_history.user_id
                    THEN
                        (read_history.include_superseded OR chat_messages.superseded_at IS NULL)
                        AND (read_history.include_system OR chat_messages.role <> 'system')
                        AND is_kept(chat_messages.created_at, read_history.retention_days, read_history.now)
            END
        ORDER BY chat_messages.id DESC
        LIMIT read_history.page_size
    ) AS page ON TRUE
    WHERE
        conversations.id = read_history.conversation_id
        AND conversations.user_id IS NOT DISTINCT FROM read_history.user_id
        AND is_kept(conversations.updated_at, read_history.retention_days, read_history.now);
END
$$;

COMMENT ON FUNCTION public.read_history(conversation_id uuid, user_id text, include_superseded boolean, include_system boolean, retention_days integer, cursor_id bigint, page_size integer, now timestamp with time zone) IS 'Parley: a conversation of the caller, and one page of its messages';

CREATE FUNCTION public.register_account(account_id text, account_email text, account_name text, password_hash text) RETURNS void
    LANGUAGE sql
    SET search_path TO 'public', 'pg_temp'
    AS $$
            -- A taken address is written as it is: the write waits for the disk as long as that of a new account, and
            -- DO NOTHING would not.
            INSERT INTO users (id, email, name, hashed_password)
            VALUES (account_id, account_email, account_name, password_hash)
            ON CONFLICT (email) DO UPDATE SET email = excluded.email;
        $$;

COMMENT ON FUNCTION public.register_account(account_id text, account_email text, account_name text, password_hash text) IS 'Parley: makes a local account, unless the address has one; does not tell which';

CREATE FUNCTION public.remember_deleted_users() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
DECLARE
    -- After the rows are locked, so a token that was issued for them is older.
    deleted_at CONSTANT timestamptz := clock_timestamp();
BEGIN
    -- No token of the usual
    -- identity providers lives longer than 30 days (Auth.js; others: minutes to a week).
    INSERT INTO deleted_users (id_hash, deleted_at, ends_at)
    SELECT
        sha256(convert_to(gone_users.id, 'UTF8')),
        deleted_at,
        deleted_at + interval '30 days'
    FROM gone_users
    ON CONFLICT (id_hash) DO UPDATE SET deleted_at = excluded.deleted_at, ends_at = excluded.ends_at;
    RETURN NULL;
END
$$;

COMMENT ON FUNCTION public.remember_deleted_users() IS 'Parley: has the earlier tokens of deleted users refused';

CREATE FUNCTION public.remember_user(user_id text, user_email text, user_name text, token_issued_at timestamp with time zone) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
        #variable_conflict use_variable
        DECLARE
            free_email text;
            deleted_at timestamptz;
        BEGIN
            -- Nearly every turn.
            IF EXISTS (
                SELECT FROM users
                WHERE
                    users.id = remember_user.user_id
                    AND users.email IS NOT DISTINCT FROM coalesce(remember_user.user_email, users.email)
                    AND users.name IS NOT DISTINCT FROM coalesce(remember_user.user_name, users.name)
            ) THEN
                RETURN;
            END IF;
            -- The address of another account is not taken over; the user is stored without it.
            IF NOT EXISTS (
                SELECT FROM users
                WHERE users.email = remember_user.user_email AND users.id <> remember_user.user_id
            ) THEN
                free_email := remember_user.user_email;
            END IF;
            UPDATE users
            SET
                email = coalesce(free_email, users.email),
                name = coalesce(remember_user.user_name, users.name),
                updated_at = now()
            WHERE
                users.id = remember_user.user_id
                AND (users.email, users.name) IS DISTINCT FROM
                (coalesce(free_email, users.email), coalesce(remember_user.user_name, users.name));
            IF EXISTS (SELECT FROM users WHERE users.id = remember_user.user_id) THEN
                RETURN;
            END IF;
            SELECT deleted_users.deleted_at INTO deleted_at
            FROM deleted_users
            WHERE
                deleted_users.id_hash = sha256(convert_to(remember_user.user_id, 'UTF8'))
                AND deleted_users.ends_at > now();
            IF deleted_at > coalesce(token_issued_at, '-infinity') THEN
                RAISE EXCEPTION USING ERRCODE = 'PA014', MESSAGE = 'the account was deleted';
            END IF;
            INSERT INTO users (id, email, name)
            SELECT remember_user.user_id, free_email, remember_user.user_name
            WHERE NOT EXISTS (SELECT FROM users WHERE users.id = remember_user.user_id)
            ON CONFLICT DO NOTHING;
            -- Only if another session stored the address at this moment: the INSERT above then did nothing.
            INSERT INTO users (id, name)
            SELECT remember_user.user_id, remember_user.user_name
            WHERE NOT EXISTS (SELECT FROM users WHERE users.id = remember_user.user_id)
            ON CONFLICT DO NOTHING;
            -- By itself: an application's own table, whose deletions are not marked, may lack the column.
            IF deleted_at IS NOT NULL THEN
                UPDATE users
                SET tokens_valid_from = greatest(users.tokens_valid_from, deleted_at)
                WHERE users.id = remember_user.user_id;
            END IF;
        END
        $$;

COMMENT ON FUNCTION public.remember_user(user_id text, user_email text, user_name text, token_issued_at timestamp with time zone) IS 'Parley: stores a token''s user, or refreshes email and name';

CREATE FUNCTION public.replace_old_titles(retention interval, batch integer, since timestamp with time zone, OUT replaced integer, OUT resume_at timestamp with time zone, OUT duration_ms double precision, OUT refused integer, OUT refusal text) RETURNS record
    LANGUAGE plpgsql
    SET lock_timeout TO '50ms'
    SET search_path TO 'public', 'pg_temp'
    AS $$
DECLARE
    started_at CONSTANT timestamptz := clock_timestamp();
    expired_before CONSTANT timestamptz := now() - retention;
    -- As TITLE_CHARS in lib/conversations/conversation.py.
    title_chars CONSTANT integer := 60;
    expired_ids uuid[];
    replaced_count integer;
    next_item integer := 1;
    chunk_size integer;
BEGIN
    replaced := 0;
    refused := 0;
    WITH expired AS (
        SELECT
            conversations.id,
            conversations.titled_at
        FROM conversations
        WHERE
            conversations.title IS NOT NULL
            AND conversations.titled_at >= since
            AND conversations.titled_at < expired_before
        ORDER BY conversations.titled_at
        LIMIT batch
        FOR NO KEY UPDATE SKIP LOCKED
    )

    SELECT
        array_agg(expired.id),
        CASE WHEN count(*) = batch THEN max(expired.titled_at) END
    INTO expired_ids, resume_at
    FROM expired;

    -- All at once; where a rule that is not Parley's refuses one of them, such as a foreign key or a trigger of the
    -- application's, one by one, so that the others go. IMMEDIATE: a rule that waits for the end would refuse all.
    SET CONSTRAINTS ALL IMMEDIATE;
    chunk_size := greatest(cardinality(expired_ids), 1);
    WHILE next_item <= cardinality(expired_ids) LOOP
        BEGIN
            -- By an array, so that each conversation is found by its key in every plan.
            UPDATE conversations
            SET (title, titled_at) = (
                SELECT
                    CASE
                        WHEN length(oldest_message.content) <= title_chars THEN oldest_message.content
                        ELSE rtrim(left(oldest_message.content, title_chars - 1)) || '…'
                    END,
                    coalesce(oldest_message.created_at, conversations.titled_at)
                FROM (SELECT) AS always
                LEFT JOIN (
                    SELECT
                        chat_messages.created_at,
                        btrim(regexp_replace(chat_messages.content, '[[:space:]]+', ' ', 'g')) AS content
                    FROM chat_messages
                    WHERE
                        chat_messages.conversation_id = conversations.id
                        AND chat_messages.role = 'user'
                        AND chat_messages.superseded_at IS NULL
                        AND chat_messages.created_at >= expired_before
                        AND chat_messages.content ~ '[^[:space:]]'
                    ORDER BY chat_messages.id
                    LIMIT 1
                ) AS oldest_message ON TRUE
            )
            WHERE conversations.id = ANY(expired_ids[next_item:next_item + chunk_size - 1]);
            GET DIAGNOSTICS replaced_count = ROW_COUNT;
            replaced := replaced + replaced_count;
            next_item := next_item + chunk_size;
        EXCEPTION WHEN OTHERS THEN
            IF rule_refusal(SQLSTATE, SQLERRM) IS NULL THEN
                RAISE;
            END IF;
            IF chunk_size = 1 THEN
                refused := refused + 1;
                refusal := coalesce(refusal, rule_refusal(SQLSTATE, SQLERRM));
                next_item := next_item + 1;
            ELSE
                chunk_size := 1;
            END IF;
        END;
    END LOOP;
    -- As many with the time at which this batch began are kept as a batch has: the next one begins behind them.
    IF refused > 0 AND resume_at = since THEN
        resume_at := resume_at + interval '1 microsecond';
    END IF;
    duration_ms := extract(EPOCH FROM clock_timestamp() - started_at) * 1000;
END
$$;

COMMENT ON FUNCTION public.replace_old_titles(retention interval, batch integer, since timestamp with time zone, OUT replaced integer, OUT resume_at timestamp with time zone, OUT duration_ms double precision, OUT refused integer, OUT refusal text) IS 'Parley: replaces one batch of the titles older than the retention period by the beginning of the oldest kept message; resume_at: where the next batch begins (NULL: nothing is left)';

CREATE FUNCTION public.reserve_message_ids(wanted bigint) RETURNS bigint[]
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
DECLARE
    numbers CONSTANT regclass := pg_get_serial_sequence('chat_messages', 'id')::regclass;
BEGIN
    RETURN ARRAY(SELECT nextval(numbers) FROM generate_series(1, wanted));
END
$$;

COMMENT ON FUNCTION public.reserve_message_ids(wanted bigint) IS 'Parley: reserves numbers for messages that are stored together';

CREATE FUNCTION public.rule_refusal(code text, words text) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE WHEN ("left"(code, 2) = ANY (ARRAY['08'::text, '25'::text, '40'::text, '53'::text, '54'::text, '55'::text, '57'::text, '58'::text, 'F0'::text, 'XX'::text])) THEN NULL::text WHEN ("left"(code, 2) = '22'::text) THEN code ELSE ((code || ' '::text) || words) END;

COMMENT ON FUNCTION public.rule_refusal(code text, words text) IS 'Parley: the code and words of an error, if it is the refusal of a row';

CREATE FUNCTION public.search_class(kind text) RETURNS text
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
    SET search_path TO 'public', 'pg_temp'
    SET standard_conforming_strings TO 'on'
    AS $$
DECLARE
    -- Spaces and punctuation.
    apart CONSTANT text :=
        '[\u0001-\u002F\u003A-\u0040\u005B-\u0060\u007B-\u00A1\u00A6\u00A8\u00AA-\u00AF\u00B2-\u00BF'
        '\u00D7\u00F7\u055A-\u055F\u0589\u058A\u05BE\u05C0\u05C3\u05C6\u05F3\u05F4\u0600-\u060D'
        '\u061B-\u061F\u066A-\u066D\u06D4\u0964\u0965\u0970\u0E2F\u0E4F\u0E5A\u0E5B\u0F04-\u0F14'
        '\u104A-\u104F\u10FB\u1360-\u1368\u1680\u17D4-\u17D6\u17D8-\u17DB\u1800-\u180A\u2000-\u206F'
        '\u2E00-\u2E7F\u2FF0-\u3004\u3008-\u3020\u3030\u303D-\u303F\u30A0\u30FB\uA4FE\uA4FF\uE000-\uF8FF'
        '\uFE10-\uFE6F\uFFF0-\uFFFF]';
    -- Each is a word: symbols, emoji, and the characters of Chinese and Korean, of which there are many thousand. (Two
    -- of them as one word would be rare words: a text of random ones made the index twelve times as large as itself.)
    single CONSTANT text :=
        '[\u00A2-\u00A5\u00A7\u00A9\u00AE\u00B0\u00B1\u20A0-\u20CF\u2100-\u214F\u2190-\u2BFF'
        '\U0001F000-\U0001FAFF\u2E80-\u2FDF\u3005-\u3007\u3021-\u3029\u3400-\u4DBF\u4E00-\u9FFF'
        '\uA000-\uA4CF\uAC00-\uD7A3\uF900-\uFAFF\U00020000-\U0003FFFF]';
    -- Each is a word with the one after it: letters of scripts that have few of them, and no spaces between words.
    paired CONSTANT text :=
        '[\u0E01-\u0E2E\u0E30-\u0E4E\u0E50-\u0E59\u0E80-\u0EFF\u1000-\u1049\u1050-\u109F\u1780-\u17D3'
        '\u17DC-\u17E9\u1950-\u19DF\u1A20-\u1AAF\u1B00-\u1B4F\u3040-\u309F\u30A1-\u30FA\u30FC-\u312F'
        '\u31F0-\u31FF\uA980-\uA9C0\uA9E0-\uA9FF\uAA60-\uAA7F]';
BEGIN
    RETURN CASE kind WHEN 'apart' THEN apart WHEN 'single' THEN single WHEN 'paired' THEN paired END;
END
$$;

COMMENT ON FUNCTION public.search_class(kind text) IS 'Parley: characters between words (apart), of one word each (single), of a word with the next (paired)';

CREATE FUNCTION public.search_conversations(query text, wanted_status text, oldest timestamp with time zone, page_size integer, by_index boolean) RETURNS TABLE(conversation_id uuid, chat_message_id bigint, score double precision)
    LANGUAGE plpgsql STABLE SECURITY DEFINER ROWS 20
    SET search_path TO 'public', 'pg_temp'
    SET plan_cache_mode TO 'force_generic_plan'
    AS $$
DECLARE
    caller_id CONSTANT text := nullif(current_setting('parley.user_id', TRUE), '');
    asked record;
    owned_words tsquery;
    -- Only the newest messages are ranked, because ranking reads each of them.
    most_ranked CONSTANT integer := 500;
    is_indexed CONSTANT boolean := by_index AND (
        SELECT count(*) = 2
        FROM pg_index
        WHERE
            pg_index.indexrelid
            = any(ARRAY[to_regclass('idx_chat_messages_search'), to_regclass('idx_conversations_search')])
            AND pg_index.indisvalid
    );
    -- Comparing patterns costs a tenth of taking a text apart, which then only few texts need. The index finds single
    -- words without either.
    needed text[];
BEGIN
    SELECT
        read_query.words,
        read_query.coarse,
        read_query.is_exact,
        read_query.needed
    INTO asked
    FROM search_query(query) AS read_query;
    IF caller_id IS NULL OR numnode(asked.words) = 0 THEN
        RETURN;
    END IF;
    needed := CASE WHEN is_indexed AND asked.is_exact THEN '{}' ELSE asked.needed END;
    -- Quoted as tsquery quotes a word. (quote_literal puts an E before a text with a backslash; in a tsquery that E
    -- would be a word, and the text after it operators.)
    owned_words := asked.coarse
        && format('''%s''', replace(replace(chr(1) || caller_id, E'\\', E'\\\\'), '''', ''''''))::tsquery;
    RETURN QUERY
    WITH
    found_messages AS (
        -- From the newest on, and no further than most_ranked need it.
        SELECT
            candidates.conversation_id,
            candidates.id,
            texts.words
        FROM (
            SELECT
                matches.conversation_id,
                matches.id,
                matches.content
            FROM (
                SELECT
                    chat_messages.conversation_id,
                    chat_messages.id,
                    chat_messages.content,
                    chat_messages.role,
                    chat_messages.created_at
                FROM chat_messages
                WHERE
                    is_indexed
                    AND search_vector(chat_messages.user_id, chat_messages.content) @@ owned_words
                    -- Not `=`, and time and order outside of OFFSET, so that no other index serves.
                    AND chat_messages.user_id IS NOT DISTINCT FROM caller_id
                    AND chat_messages.user_id IS NOT NULL
                    AND chat_messages.superseded_at IS NULL
                UNION ALL
                SELECT
                    chat_messages.conversation_id,
                    chat_messages.id,
                    chat_messages.content,
                    chat_messages.role,
                    chat_messages.created_at
                FROM chat_messages
                WHERE
                    NOT is_indexed
                    AND chat_messages.user_id = caller_id
                    AND chat_messages.superseded_at IS NULL
                    AND chat_messages.created_at >= oldest
                OFFSET 0
            ) AS matches
            WHERE
                matches.role <> 'system'
                AND matches.created_at >= oldest
                AND (
                    needed = '{}'
                    OR lower(translate(search_fold(matches.content), '-''.,', '') COLLATE "C") LIKE ALL (needed)
                )
            ORDER BY matches.created_at DESC, matches.id DESC
            OFFSET 0
        ) AS candidates
        CROSS JOIN LATERAL (SELECT search_words(candidates.content) AS words OFFSET 0) AS texts
        WHERE texts.words @@ asked.words
        LIMIT most_ranked
    ),

    found_titles AS (
        SELECT
            titles.id,
            titles.titled_at,
            texts.words
        FROM (
            SELECT
                conversations.id,
                conversations.title,
                conversations.titled_at
            FROM conversations
            WHERE
                is_indexed
                AND search_vector(conversations.user_id, conversations.title) @@ owned_words
                AND conversations.user_id IS NOT DISTINCT FROM caller_id
                AND conversations.user_id IS NOT NULL
            UNION ALL
            SELECT
                conversations.id,
                conversations.title,
                conversations.titled_at
            FROM conversations
            WHERE
                NOT is_indexed
                AND conversations.user_id = caller_id
            OFFSET 0
        ) AS titles
        CROSS JOIN LATERAL (SELECT search_words(titles.title) AS words OFFSET 0) AS texts
        WHERE titles.title IS NOT NULL AND texts.words @@ asked.words
    ),

    ranked AS (
        SELECT
            found_messages.conversation_id,
            found_messages.id AS chat_message_id,
            ts_rank(found_messages.words, asked.words) AS score
        FROM found_messages
        UNION ALL
        -- A title counts twice as much as a message.
        SELECT
            found_titles.id,
            NULL,
            2 * ts_rank(found_titles.words, asked.words)
        FROM found_titles
        WHERE found_titles.titled_at >= oldest
    ),

    best AS (
        SELECT DISTINCT ON (ranked.conversation_id)
            ranked.conversation_id,
            ranked.chat_message_id,
            sum(ranked.score) OVER (PARTITION BY ranked.conversation_id) AS score
        FROM ranked
        ORDER BY ranked.conversation_id, ranked.score DESC, ranked.chat_message_id DESC
    )

    SELECT
        best.conversation_id,
        best.chat_message_id,
        best.score
    FROM best
    INNER JOIN conversations ON best.conversation_id = conversations.id
    WHERE
        conversations.user_id IS NOT DISTINCT FROM caller_id
        AND (wanted_status = 'all' OR conversations.status = wanted_status)
        AND conversations.updated_at >= oldest
    ORDER BY best.score DESC, conversations.updated_at DESC, conversations.id DESC
    LIMIT page_size;
END
$$;

COMMENT ON FUNCTION public.search_conversations(query text, wanted_status text, oldest timestamp with time zone, page_size integer, by_index boolean) IS 'Parley: the caller''s conversations that hold these words, each with the best message (NULL: the title)';

CREATE FUNCTION public.search_excerpt(content text, marked text[]) RETURNS text
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
    SET search_path TO 'public', 'pg_temp'
    SET standard_conforming_strings TO 'on'
    AS $_$
DECLARE
    -- Between pieces of the text, which has none itself.
    border CONSTANT text := chr(1);
    shown CONSTANT text COLLATE "C" := translate(left(content, 100000), chr(1) || chr(2) || chr(3), '');
    folded CONSTANT text COLLATE "C" := lower(search_fold(shown) COLLATE "C");
    unspaced CONSTANT text COLLATE "C" := format('(?:%s|%s)', search_class('single'), search_class('paired'));
    letter CONSTANT text := '[a-z0-9\u00B5-\u0DFF\u1E00-\u1FFF]';
    -- A letter with the accents after it.
    unit CONSTANT text := '[^\u0300-\u036F\u0483-\u0487\u0591-\u05C7\u0610-\u061A\u064B-\u0670\u06D6-\u06ED'
    '\u200B-\u200F\u3099\u309A\uFE00-\uFE0F][\u0300-\u036F\u0483-\u0487\u0591-\u05C7\u0610-\u061A\u064B-\u0670'
    '\u06D6-\u06ED\u200B-\u200F\u3099\u309A\uFE00-\uFE0F]*';
    -- The text in pieces, to find the place that belongs to one of the folded text.
    pieced CONSTANT text := regexp_replace(shown, '.{200}', '\&' || border, 'g');
    -- The text is shown from so far before the first word to so far behind.
    letters_before CONSTANT integer := 60;
    letters_after CONSTANT integer := 150;
    -- Occurrences that are compared, to show the one with the most words around it.
    most_compared CONSTANT integer := 20;
    patterns text[];
    any_word text COLLATE "C";
    place integer := 0;
    best_place integer := 1;
    best_count integer := 0;
    word_count integer;
    part text COLLATE "C";
BEGIN
    -- A word with its ends, a begun one to its end. Marks may stand within: don't is found by dont.
    patterns := array(
        SELECT
            CASE
                WHEN words.word COLLATE "C" ~ unspaced THEN spelt.letters
                WHEN words.word LIKE '%*' THEN format('(?<!%s)%s%s*', letter, spelt.letters, letter)
                WHEN words.word ~ '[+#]$' THEN format('(?<!%s)%s', letter, spelt.letters)
                WHEN words.word LIKE '.%' THEN format('%s(?!%s)', spelt.letters, letter)
                ELSE format('(?<!%s)%s(?!%s)', letter, spelt.letters, letter)
            END
        FROM unnest(marked) AS words (word)
        CROSS JOIN
            LATERAL (
                SELECT string_agg(regexp_replace(letters.letter, '[+.]', '\\\&'), '[''.,-]?') AS letters
                FROM unnest(string_to_array(rtrim(words.word, '*'), NULL)) AS letters (letter)
            ) AS spelt
    );
    any_word := array_to_string(patterns, '|');
    -- Within a word: name in userName.
    IF folded !~ any_word THEN
        patterns := array(
            SELECT regexp_replace(rtrim(words.word, '*'), '[+.]', '\\\&', 'g') FROM unnest(marked) AS words (word)
        );
        any_word := array_to_string(patterns, '|');
    END IF;
    IF any_word <> '' THEN
        FOR number IN 1 .. most_compared LOOP
            place := regexp_instr(folded, any_word, place + 1);
            EXIT WHEN place = 0;
            SELECT count(*) INTO word_count
            FROM unnest(patterns) AS each (pattern)
            WHERE substr(folded, place, letters_after) ~ each.pattern;
            IF word_count > best_count THEN
                best_count := word_count;
                best_place := place;
            END IF;
        END LOOP;
    END IF;
    -- About the same place in the text: pieces have their places in both, and within a piece both are as far.
    IF octet_length(shown) > length(shown) THEN
        SELECT
            1 + pieces.place_after - length(pieces.original)
            + (best_place - 1 - pieces.folded_after + length(pieces.folded)) * length(pieces.original)
            / length(pieces.folded)
        INTO best_place
        FROM (
            SELECT
                each.original,
                each.folded,
                sum(length(each.original)) OVER before_and_this AS place_after,
                sum(length(each.folded)) OVER before_and_this AS folded_after
            FROM unnest(
                string_to_array(pieced, border), string_to_array(search_fold(pieced), border)
            ) WITH ORDINALITY AS each (original, folded, number)
            WINDOW before_and_this AS (ORDER BY each.number)
        ) AS pieces
        WHERE pieces.folded_after >= best_place AND pieces.folded <> ''
        ORDER BY pieces.folded_after
        LIMIT 1;
    END IF;
    -- From a whole word on and to one, where there are spaces.
    best_place := greatest(coalesce(best_place, 1) - letters_before, 1);
    part := substr(shown, best_place, letters_before + letters_after);
    IF best_place > 1 THEN
        part := regexp_replace(part, '^\S{0,30}\s+', '');
    END IF;
    IF best_place + letters_before + letters_after <= length(shown) THEN
        part := regexp_replace(part, '\s+\S{0,30}$', '');
    END IF;
    IF any_word = '' THEN
        RETURN part;
    END IF;
    RETURN (
        WITH
        units AS (
            SELECT
                each.original,
                each.folded,
                each.number,
                sum(length(each.folded)) OVER (ORDER BY each.number) AS last_letter
            FROM (SELECT rtrim(regexp_replace(part, unit, '\&' || border, 'g'), border) AS text) AS bordered
            CROSS JOIN
                LATERAL unnest(
                    string_to_array(bordered.text, border),
                    string_to_array(lower(search_fold(bordered.text) COLLATE "C"), border)
                ) WITH ORDINALITY AS each (original, folded, number)
        ),

        letters AS (
            SELECT
                each.letter,
                each.number,
                sum(CASE each.letter WHEN chr(2) THEN 1 WHEN chr(3) THEN -1 ELSE 0 END)
                    OVER (ORDER BY each.number) AS depth
            FROM unnest(string_to_array(
                (
                    SELECT regexp_replace(
                        string_agg(units.folded, '' ORDER BY units.number) COLLATE "C",
                        any_word,
                        chr(2) || '\&' || chr(3),
                        'g'
                    )
                    FROM units
                ),
                NULL
            )) WITH ORDINALITY AS each (letter, number)
        ),

        places AS (
            SELECT
                letters.depth = 1 AS is_found,
                row_number() OVER (ORDER BY letters.number) AS place
            FROM letters
            WHERE letters.letter NOT IN (chr(2), chr(3))
        ),

        found_units AS (
            SELECT
                units.number,
                units.original,
                coalesce(bool_or(places.is_found), FALSE) AS is_found
            FROM units
            LEFT JOIN
                places
                ON places.place > units.last_letter - length(units.folded) AND places.place <= units.last_letter
            GROUP BY units.number, units.original
        ),

        bounded AS (
            SELECT
                found_units.number,
                found_units.original,
                found_units.is_found,
                lag(found_units.is_found, 1, FALSE) OVER (ORDER BY found_units.number) AS was_found
            FROM found_units
        )

        SELECT
            string_agg(
                CASE
                    WHEN bounded.is_found AND NOT bounded.was_found THEN chr(2)
                    WHEN bounded.was_found AND NOT bounded.is_found THEN chr(3)
                    ELSE ''
                END || bounded.original,
                ''
                ORDER BY bounded.number
            )
            || CASE WHEN (array_agg(bounded.is_found ORDER BY bounded.number DESC))[1] THEN chr(3) ELSE '' END
        FROM bounded
    );
END
$_$;

COMMENT ON FUNCTION public.search_excerpt(content text, marked text[]) IS 'Parley: the place of a text that a search has found, with marks';

CREATE FUNCTION public.search_fold(content text) RETURNS text
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
    SET search_path TO 'public', 'pg_temp'
    SET standard_conforming_strings TO 'on'
    AS $$
DECLARE
    folded text COLLATE "C" := left(content, 100000);
    -- Accents, vowel points of Hebrew and Arabic, skin tones, and characters without a width.
    marks CONSTANT text :=
        '[\u00AD\u0300-\u036F\u0483-\u0487\u0591-\u05BD\u05BF\u05C1\u05C2\u05C4\u05C5\u05C7\u0610-\u061A'
        '\u0640\u064B-\u065F\u0670\u06D6-\u06DC\u06DF-\u06E4\u06E7\u06E8\u06EA-\u06ED\u0711\u0730-\u074A'
        '\u1AB0-\u1AFF\u1DC0-\u1DFF\u200B-\u200F\u202A-\u202E\u2060-\u206F\u20D0-\u20FF\uFE00-\uFE0F'
        '\uFE20-\uFE2F\uFEFF\U0001F3FB-\U0001F3FF\U000E0000-\U000E0FFF]+';
    -- The capitals that no accent makes, of a script at a time: translate compares each character with each of these.
    greek_capitals CONSTANT text :=
        E'\u0391\u0392\u0393\u0394\u0395\u0396\u0397\u0398\u0399\u039A\u039B\u039C\u039D\u039E\u039F\u03A0'
        '\u03A1\u03A3\u03A4\u03A5\u03A6\u03A7\u03A8\u03A9\u03C2';
    greek_letters CONSTANT text :=
        E'\u03B1\u03B2\u03B3\u03B4\u03B5\u03B6\u03B7\u03B8\u03B9\u03BA\u03BB\u03BC\u03BD\u03BE\u03BF\u03C0'
        '\u03C1\u03C3\u03C4\u03C5\u03C6\u03C7\u03C8\u03C9\u03C3';
    cyrillic_capitals CONSTANT text :=
        E'\u0402\u0404\u0405\u0406\u0408\u0409\u040A\u040B\u040F\u0410\u0411\u0412\u0413\u0414\u0415\u0416'
        '\u0417\u0418\u041A\u041B\u041C\u041D\u041E\u041F\u0420\u0421\u0422\u0423\u0424\u0425\u0426\u0427'
        '\u0428\u0429\u042A\u042B\u042C\u042D\u042E\u042F';
    cyrillic_letters CONSTANT text :=
        E'\u0452\u0454\u0455\u0456\u0458\u0459\u045A\u045B\u045F\u0430\u0431\u0432\u0433\u0434\u0435\u0436'
        '\u0437\u0438\u043A\u043B\u043C\u043D\u043E\u043F\u0440\u0441\u0442\u0443\u0444\u0445\u0446\u0447'
        '\u0448\u0449\u044A\u044B\u044C\u044D\u044E\u044F';
    more_cyrillic_capitals CONSTANT text :=
        E'\u0460\u0462\u0464\u0466\u0468\u046A\u046C\u046E\u0470\u0472\u0474\u0478\u047A\u047C\u047E\u0480'
        '\u048A\u048C\u048E\u0490\u0492\u0494\u0496\u0498\u049A\u049C\u049E\u04A0\u04A2\u04A4\u04A6\u04A8'
        '\u04AA\u04AC\u04AE\u04B0\u04B2\u04B4\u04B6\u04B8\u04BA\u04BC\u04BE\u04C0\u04C3\u04C5\u04C7\u04C9'
        '\u04CB\u04CD\u04D4\u04D8\u04E0\u04E8\u04F6\u04FA\u04FC\u04FE\u0500\u0502\u0504\u0506\u0508\u050A'
        '\u050C\u050E\u0510\u0512\u0514\u0516\u0518\u051A\u051C\u051E\u0520\u0522\u0524\u0526\u0528\u052A'
        '\u052C\u052E';
    more_cyrillic_letters CONSTANT text :=
        E'\u0461\u0463\u0465\u0467\u0469\u046B\u046D\u046F\u0471\u0473\u0475\u0479\u047B\u047D\u047F\u0481'
        '\u048B\u048D\u048F\u0491\u0493\u0495\u0497\u0499\u049B\u049D\u049F\u04A1\u04A3\u04A5\u04A7\u04A9'
        '\u04AB\u04AD\u04AF\u04B1\u04B3\u04B5\u04B7\u04B9\u04BB\u04BD\u04BF\u04CF\u04C4\u04C6\u04C8\u04CA'
        '\u04CC\u04CE\u04D5\u04D9\u04E1\u04E9\u04F7\u04FB\u04FD\u04FF\u0501\u0503\u0505\u0507\u0509\u050B'
        '\u050D\u050F\u0511\u0513\u0515\u0517\u0519\u051B\u051D\u051F\u0521\u0523\u0525\u0527\u0529\u052B'
        '\u052D\u052F';
    armenian_capitals CONSTANT text :=
        E'\u0531\u0532\u0533\u0534\u0535\u0536\u0537\u0538\u0539\u053A\u053B\u053C\u053D\u053E\u053F\u0540'
        '\u0541\u0542\u0543\u0544\u0545\u0546\u0547\u0548\u0549\u054A\u054B\u054C\u054D\u054E\u054F\u0550'
        '\u0551\u0552\u0553\u0554\u0555\u0556';
    armenian_letters CONSTANT text :=
        E'\u0561\u0562\u0563\u0564\u0565\u0566\u0567\u0568\u0569\u056A\u056B\u056C\u056D\u056E\u056F\u0570'
        '\u0571\u0572\u0573\u0574\u0575\u0576\u0577\u0578\u0579\u057A\u057B\u057C\u057D\u057E\u057F\u0580'
        '\u0581\u0582\u0583\u0584\u0585\u0586';
BEGIN
    IF octet_length(folded) = length(folded) THEN
        RETURN folded;
    END IF;
    folded := normalize(regexp_replace(normalize(folded, NFKD), marks, '', 'g'), NFC);
    IF folded ~ '[\u00C6-\u0142\u0152\u0153\u1E9E]' THEN
        folded := replace(replace(folded, E'\u00DF', 'ss'), E'\u1E9E', 'ss');
        folded := replace(replace(folded, E'\u00E6', 'ae'), E'\u00C6', 'ae');
        folded := replace(replace(folded, E'\u0153', 'oe'), E'\u0152', 'oe');
        folded := translate(
            folded, E'\u00D8\u00F8\u0110\u0111\u0141\u0142\u0131\u00D0\u00F0\u0126\u0127', 'ooddlliddhh'
        );
    END IF;
    IF folded ~ '[\u0391-\u03C2]' THEN
        folded := translate(folded, greek_capitals, greek_letters);
    END IF;
    IF folded ~ '[\u0402-\u042F]' THEN
        folded := translate(folded, cyrillic_capitals, cyrillic_letters);
    END IF;
    IF folded ~ '[\u0460-\u052F]' THEN
        folded := translate(folded, more_cyrillic_capitals, more_cyrillic_letters);
    END IF;
    IF folded ~ '[\u0531-\u0556]' THEN
        folded := translate(folded, armenian_capitals, armenian_letters);
    END IF;
    IF folded ~ '[\u0649-\u06F9]' THEN
        folded := translate(
            folded,
            E'\u0649\u06CC\u06A9\u0660\u0661\u0662\u0663\u0664\u0665\u0666\u0667\u0668\u0669'
            '\u06F0\u06F1\u06F2\u06F3\u06F4\u06F5\u06F6\u06F7\u06F8\u06F9',
            E'\u064A\u064A\u064301234567890123456789'
        );
    END IF;
    -- Marks within words, and quotes of a phrase, as a keyboard has them.
    RETURN left(
        translate(
            folded,
            E'\u2018\u2019\u02BC\u2010\u2011\u2012\u2013\u201C\u201D\u201E\u00AB\u00BB',
            '''''''----"""""'
        ),
        100000
    );
END
$$;

COMMENT ON FUNCTION public.search_fold(content text) IS 'Parley: a text without accents, in one Unicode form and in small letters, except for those from A to Z';

CREATE FUNCTION public.search_list(folded text) RETURNS text[]
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
    SET search_path TO 'public', 'pg_temp'
    SET standard_conforming_strings TO 'on'
    AS $$
DECLARE
    spaced text COLLATE "C" := folded;
    apart CONSTANT text COLLATE "C" := search_class('apart') || '+';
    single CONSTANT text COLLATE "C" := search_class('single');
    run CONSTANT text COLLATE "C" := search_class('paired') || '+';
    words text[];
    -- A text of random words costs the disk some 50 bytes each, for ever new ones.
    most_words CONSTANT integer := 2000;
    most_letters CONSTANT integer := 50;
BEGIN
    spaced := regexp_replace(spaced, apart, ' ', 'g');
    IF octet_length(spaced) > length(spaced) THEN
        spaced := regexp_replace(spaced, single, ' \& ', 'g');
    END IF;
    IF octet_length(spaced) = length(spaced) OR spaced !~ run THEN
        words := array_remove(string_to_array(spaced, ' '), '');
    ELSE
        SELECT array_agg(pieces.word ORDER BY pieces.place, pieces.letter_place) INTO words
        FROM (
            SELECT
                whole.place,
                letters.letter_place,
                CASE
                    WHEN whole.word COLLATE "C" !~ run THEN whole.word
                    ELSE letters.letter || coalesce(
                        lead(letters.letter) OVER (PARTITION BY whole.place ORDER BY letters.letter_place), ''
                    )
                END AS word
            FROM
                unnest(array_remove(string_to_array(regexp_replace(spaced, run, ' \& ', 'g'), ' '), ''))
                WITH ORDINALITY AS whole (word, place)
            CROSS JOIN
                LATERAL unnest(
                    CASE
                        WHEN whole.word COLLATE "C" ~ run THEN string_to_array(whole.word, NULL)
                        ELSE ARRAY[whole.word]
                    END
                ) WITH ORDINALITY AS letters (letter, letter_place)
        ) AS pieces;
    END IF;
    -- A longer word is cut, as it is in a search.
    IF spaced ~ '[^ ]{51}' THEN
        words := array(
            SELECT left(each.word, most_letters)
            FROM unnest(words) WITH ORDINALITY AS each (word, place)
            ORDER BY each.place
        );
    END IF;
    IF cardinality(words) > most_words THEN
        words := words[:coalesce(
            (
                SELECT min(each.place) AS first_place
                FROM unnest(words) WITH ORDINALITY AS each (word, place)
                GROUP BY each.word
                ORDER BY first_place
                OFFSET most_words
                LIMIT 1
            ) - 1,
            cardinality(words)
        )];
    END IF;
    RETURN coalesce(words, '{}');
END
$$;

COMMENT ON FUNCTION public.search_list(folded text) IS 'Parley: the words of a folded text in order; of scripts without spaces, their characters or pairs of letters';

CREATE FUNCTION public.search_parts(folded text) RETURNS text
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
    SET search_path TO 'public', 'pg_temp'
    SET standard_conforming_strings TO 'on'
    AS $$
DECLARE
    parts text := '';
    -- Of each kind.
    most_parts CONSTANT integer := 200;
    most_letters CONSTANT integer := 50;
    -- The last place that a tsvector knows.
    last_place CONSTANT integer := 16383;
    is_mixed CONSTANT text COLLATE "C" := '[a-z][A-Z]|[A-Za-z][0-9]|[0-9][A-Za-z]';
    -- Words that are joined by apostrophes and hyphens, and digits that are joined by these, by dots or by commas.
    joined CONSTANT text COLLATE "C" :=
        '[0-9]+(?:[.,''-][0-9]+)+'
        '|[A-Za-z0-9\u00C0-\u0DFF\u1E00-\u1FFF]+(?:[''-][A-Za-z0-9\u00C0-\u0DFF\u1E00-\u1FFF]+)+';
BEGIN
    IF folded COLLATE "C" ~ is_mixed THEN
        parts := concat_ws(' ', parts, (
            SELECT string_agg(
                '''' || lower(part.found[1] COLLATE "C") || ''':' || least(each.place, last_place), ' '
            )
            FROM (
                SELECT
                    listed.word COLLATE "C" AS word,
                    listed.place
                FROM unnest(search_list(folded)) WITH ORDINALITY AS listed (word, place)
                WHERE
                    listed.word COLLATE "C" ~ is_mixed
                    -- A key or a hash has no parts that anybody looks for.
                    AND listed.word COLLATE "C" !~ '([0-9]+[A-Za-z]+){4}'
                ORDER BY listed.place
                LIMIT most_parts
            ) AS each
            CROSS JOIN
                LATERAL regexp_matches(each.word, '[A-Z]+(?![a-z])|[A-Z]?[^A-Z0-9]+|[0-9]+', 'g') AS part (found)
        ));
    END IF;
    IF folded COLLATE "C" ~ '[^ ][-''.,][^ ]' THEN
        parts := concat_ws(' ', parts, (
            SELECT string_agg(
                '''' || lower(left(translate(each.found[1], '-''.,', ''), most_letters) COLLATE "C") || '''', ' '
            )
            FROM (
                SELECT matches.found
                FROM regexp_matches(folded COLLATE "C", joined, 'g') AS matches (found)
                LIMIT most_parts
            ) AS each
        ));
    END IF;
    IF folded COLLATE "C" ~ '[A-Za-z](?:\+\+|#)|\.[A-Za-z]' THEN
        parts := concat_ws(' ', parts, (
            SELECT string_agg('''' || lower(left(each.found[1], most_letters) COLLATE "C") || '''', ' ')
            FROM (
                SELECT matches.found
                FROM regexp_matches(
                    folded COLLATE "C", '[A-Za-z]+(?:\+\+|#)(?![A-Za-z0-9#+])|\.[A-Za-z][A-Za-z0-9]*', 'g'
                ) AS matches (found)
                LIMIT most_parts
            ) AS each
        ));
    END IF;
    RETURN parts;
END
$$;

COMMENT ON FUNCTION public.search_parts(folded text) IS 'Parley: parts of words, words without the marks in them, and words with marks';

CREATE FUNCTION public.search_query(query text) RETURNS TABLE(words tsquery, coarse tsquery, is_exact boolean, needed text[], marked text[])
    LANGUAGE plpgsql IMMUTABLE ROWS 1 PARALLEL SAFE
    SET search_path TO 'public', 'pg_temp'
    SET standard_conforming_strings TO 'on'
    SET client_min_messages TO 'warning'
    AS $_$
DECLARE
    paired CONSTANT text COLLATE "C" := search_class('paired');
    unspaced CONSTANT text COLLATE "C" := format('(?:%s|%s)+', search_class('single'), paired);
    term_pattern CONSTANT text COLLATE "C" := '(-*)(?:"([^"]*)"|([^\s"-][^\s"]*|"))';
    -- The next two as in search_parts.
    joined_pattern CONSTANT text COLLATE "C" := '^[^A-Za-z0-9\u00C0-\u1FFF]*('
    '[0-9]+(?:[.,''-][0-9]+)+'
    '|[A-Za-z0-9\u00C0-\u0DFF\u1E00-\u1FFF]+(?:[''-][A-Za-z0-9\u00C0-\u0DFF\u1E00-\u1FFF]+)+'
    ')[^A-Za-z0-9\u00C0-\u1FFF]*$';
    marked_pattern CONSTANT text COLLATE "C"
    := '[A-Za-z]+(?:\+\+|#)(?![A-Za-z0-9#+])|(?<![A-Za-z0-9])\.[A-Za-z][A-Za-z0-9]*';
    most_letters CONSTANT integer := 50;
    signs text[];
    phrases text[];
    bodies text[];
    last_term integer;
    is_last boolean;
    body text COLLATE "C";
    list text[];
    word text COLLATE "C";
    place integer;
    lexeme tsquery;
    lexeme_count integer;
    -- Of one term, of all since the last "or", and of those before it.
    term_words tsquery;
    term_coarse tsquery;
    group_words tsquery := '';
    group_coarse tsquery := '';
    earlier_words tsquery := '';
    earlier_coarse tsquery := '';
    -- An alternative of which the index knows nothing.
    is_open boolean := FALSE;
    is_plain boolean := TRUE;
BEGIN
    is_exact := TRUE;
    needed := '{}';
    marked := '{}';
    -- A quoted phrase, or anything between spaces. A quote without its pair is a mark like others.
    SELECT
        array_agg(terms.found[1] ORDER BY terms.place),
        array_agg(terms.found[2] ORDER BY terms.place),
        array_agg(terms.found[3] ORDER BY terms.place),
        max(terms.place) FILTER (WHERE search_list(coalesce(terms.found[2], terms.found[3])) <> '{}')
    INTO signs, phrases, bodies, last_term
    FROM regexp_matches(search_fold(query) COLLATE "C", term_pattern, 'g') WITH ORDINALITY AS terms (found, place);

    FOR term IN 1 .. coalesce(last_term, 0) LOOP
        -- OR is an operator between two words, and a word elsewhere.
        IF
            lower(bodies[term] COLLATE "C") = 'or' AND signs[term] = ''
            AND numnode(group_words) > 0 AND term < last_term
        THEN
            earlier_words := earlier_words || group_words;
            is_open := is_open OR numnode(group_coarse) = 0;
            earlier_coarse := earlier_coarse || group_coarse;
            group_words := '';
            group_coarse := '';
            is_plain := FALSE;
            CONTINUE;
        END IF;
        is_last := term = last_term AND signs[term] = '';
        body := coalesce(phrases[term], bodies[term]);
        list := search_list(lower(body COLLATE "C"));
        term_words := '';
        term_coarse := '';
        lexeme_count := 0;
        FOR item IN 1 .. cardinality(list) LOOP
            word := list[item];
            IF length(word) = 1 AND word ~ paired THEN
                -- The last letter of several stands in the pair before.
                CONTINUE WHEN item > 1 AND list[item - 1] LIKE '_' || word AND list[item - 1] COLLATE "C" ~ paired;
                word := word || '*';
            ELSIF is_last AND item = cardinality(list) AND word !~ unspaced THEN
                word := word || '*';
            END IF;
            lexeme := format(CASE WHEN word LIKE '%*' THEN '''%s'':*' ELSE '''%s''' END, rtrim(word, '*'))::tsquery;
            term_words := CASE
                WHEN lexeme_count = 0 THEN lexeme
                ELSE tsquery_phrase(term_words, lexeme, item - place)
            END;
            term_coarse := term_coarse && lexeme;
            lexeme_count := lexeme_count + 1;
            place := item;
            IF signs[term] = '' THEN
                needed := needed || ('%' || rtrim(word, '*') || '%');
                marked := CASE WHEN word ~ unspaced THEN marked ELSE marked || word::text END;
            END IF;
        END LOOP;
        IF signs[term] = '' THEN
            marked := marked || array(
                SELECT found.parts[1] FROM regexp_matches(body, unspaced, 'g') AS found (parts)
            );
        END IF;
        is_exact := is_exact AND lexeme_count < 2;
        -- As search_parts finds them: foo-bar as foobar too.
        word := lower(
            left(translate(substring(bodies[term] FROM joined_pattern), '-''.,', ''), most_letters) COLLATE "C"
        );
        IF word IS NOT NULL THEN
            lexeme := format(CASE WHEN is_last THEN '''%s'':*' ELSE '''%s''' END, word)::tsquery;
            term_words := term_words || lexeme;
            term_coarse := term_coarse || lexeme;
            IF signs[term] = '' THEN
                marked := marked || (word || CASE WHEN is_last THEN '*' ELSE '' END);
            END IF;
        END IF;
        -- C++ as nothing else.
        FOR word IN
            SELECT lower(left(found.parts[1], most_letters) COLLATE "C")
            FROM regexp_matches(body, marked_pattern, 'g') AS found (parts)
        LOOP
            lexeme := format(
                CASE WHEN is_last AND word LIKE '.%' THEN '''%s'':*' ELSE '''%s''' END, word
            )::tsquery;
            term_words := term_words && lexeme;
            term_coarse := term_coarse && lexeme;
            lexeme_count := lexeme_count + 1;
            IF signs[term] = '' THEN
                needed := needed || ('%' || ltrim(word, '.') || '%');
                marked := array_remove(marked, rtrim(ltrim(word, '.'), '+#')) || word::text;
            END IF;
        END LOOP;
        IF signs[term] = '' THEN
            group_words := group_words && term_words;
            group_coarse := group_coarse && term_coarse;
        ELSIF lexeme_count > 0 THEN
            is_plain := FALSE;
            group_words := group_words && !!term_words;
            -- A text may have all words of a phrase, and not the phrase.
            IF lexeme_count = 1 THEN
                group_coarse := group_coarse && !!term_coarse;
            END IF;
        END IF;
    END LOOP;
    words := earlier_words || group_words;
    coarse := CASE
        WHEN is_open OR numnode(group_coarse) = 0 THEN ''::tsquery
        ELSE earlier_coarse || group_coarse
    END;
    IF NOT is_plain THEN
        needed := '{}';
    END IF;
    RETURN NEXT;
END
$_$;

COMMENT ON FUNCTION public.search_query(query text) IS 'Parley: what a text must have that a search finds';

CREATE FUNCTION public.search_vector(owner_id text, content text) RETURNS tsvector
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
    SET search_path TO 'public', 'pg_temp'
    AS $$
DECLARE
    folded CONSTANT text := search_fold(content);
    parts CONSTANT text := search_parts(folded);
    words CONSTANT tsvector := array_to_tsvector(search_list(lower(folded COLLATE "C")) || (chr(1) || owner_id));
BEGIN
    IF parts = '' THEN
        RETURN words;
    END IF;
    RETURN words || parts::tsvector;
END
$$;

COMMENT ON FUNCTION public.search_vector(owner_id text, content text) IS 'Parley: the words of a text, and its owner as one of them';

CREATE FUNCTION public.search_words(content text) RETURNS tsvector
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
    SET search_path TO 'public', 'pg_temp'
    AS $$
DECLARE
    folded CONSTANT text := search_fold(content);
    -- The last place that a tsvector knows.
    last_place CONSTANT integer := 16383;
BEGIN
    RETURN concat_ws(' ', search_parts(folded), (
        SELECT string_agg('''' || each.word || ''':' || least(each.place, last_place), ' ')
        FROM unnest(search_list(lower(folded COLLATE "C"))) WITH ORDINALITY AS each (word, place)
    ))::tsvector;
END
$$;

COMMENT ON FUNCTION public.search_words(content text) IS 'Parley: the words of a text, with their places';

CREATE FUNCTION public.sign_out_everywhere() RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
DECLARE
    caller_id CONSTANT text := nullif(current_setting('parley.user_id', TRUE), '');
BEGIN
    IF NOT EXISTS (
        SELECT FROM pg_attribute
        WHERE
            pg_attribute.attrelid = to_regclass('users')
            AND pg_attribute.attname = 'tokens_valid_from'
            AND pg_attribute.atttypid = 'timestamptz'::regtype
    ) THEN
        RAISE EXCEPTION USING
            ERRCODE = 'PA007',
            MESSAGE = 'the application''s own table "users" has no column tokens_valid_from';
    END IF;
    -- The time is read after the lock, so that it is later than the token of each log-in that had the lock before.
    PERFORM FROM users WHERE users.id = caller_id FOR NO KEY UPDATE;
    UPDATE users
    SET tokens_valid_from = greatest(clock_timestamp(), users.tokens_valid_from + interval '1 microsecond')
    WHERE users.id = caller_id;
END
$$;

COMMENT ON FUNCTION public.sign_out_everywhere() IS 'Parley: ends all tokens of the caller that were issued until now';

CREATE FUNCTION public.store_import(user_id text, given_conversations json, given_messages json, max_messages integer, quota_subjects text[], bytes_per_day bigint[], now timestamp with time zone) RETURNS TABLE(kind text, outcome text, row_count bigint)
    LANGUAGE plpgsql
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_seqscan TO 'off'
    SET search_path TO 'public', 'pg_temp'
    AS $$
#variable_conflict use_column
DECLARE
    nobody CONSTANT uuid := '00000000-0000-0000-0000-000000000000';
    created_count bigint;
    created_bytes bigint;
    setting text;
    -- Of each given conversation: the caller's row that it is (nobody: the id is another caller's), whether it is free,
    -- the end of its messages and their number.
    target_ids uuid[];
    are_free boolean[];
    newest_ids bigint[];
    newest_times timestamptz[];
    current_counts bigint[];
    all_counts bigint[];
    -- The last question of each, a current one and any.
    current_questions bigint[];
    all_questions bigint[];
    -- Of each given message: the row that it is or becomes (0: none), whether it is new.
    row_ids bigint[];
    are_new boolean[];
    outcomes jsonb;
    numbers bigint[];
    changed_ids uuid[];
    stored_bytes bigint;
BEGIN
    -- Each that waits has a connection, which other users need.
    setting := set_config('lock_timeout', '3s', TRUE);
    PERFORM pg_advisory_xact_lock(hashtextextended('parley import ' || store_import.user_id, 0));

    WITH created_conversations AS (
        INSERT INTO conversations (id, user_id, title, titled_at, status, created_at, updated_at, message_count)
        SELECT
            given.id, store_import.user_id, given.title, given.titled_at, given.status, given.created_at,
            given.updated_at, 0
        FROM
            json_to_recordset(given_conversations) AS given (
                id uuid, source_id uuid, title text, titled_at timestamptz, status text, created_at timestamptz,
                updated_at timestamptz
            )
        WHERE
            NOT EXISTS (
                SELECT FROM conversations
                WHERE
                    conversations.id = any(ARRAY[given.id, given.source_id])
                    AND conversations.user_id = store_import.user_id
            )
        ORDER BY given.id
        ON CONFLICT DO NOTHING
        RETURNING 200 + coalesce(octet_length(conversations.title), 0) AS bytes
    )

    SELECT
        count(*),
        sum(created_conversations.bytes)
    INTO created_count, created_bytes
    FROM created_conversations;

    -- In a statement of its own, as in begin_turn: those after it see what was stored before the lock.
    SELECT
        array_agg(coalesce(found.id, nobody) ORDER BY given.position),
        array_agg(locked.id IS NOT NULL AND locked.turn_id IS NULL ORDER BY given.position)
    INTO target_ids, are_free
    FROM json_to_recordset(given_conversations) AS given (position integer, id uuid, source_id uuid)
    LEFT JOIN LATERAL (
        SELECT conversations.id
        FROM conversations
        WHERE
            conversations.id = any(ARRAY[given.id, given.source_id])
            AND conversations.user_id = store_import.user_id
        ORDER BY conversations.id = given.source_id DESC NULLS LAST
        LIMIT 1
    ) AS found ON TRUE
    LEFT JOIN LATERAL (
        SELECT
            conversations.id,
            conversations.turn_id
        FROM conversations
        WHERE
            conversations.id = found.id
            AND conversations.user_id = store_import.user_id
        FOR NO KEY UPDATE SKIP LOCKED
    ) AS locked ON TRUE;

    SELECT
        array_agg(coalesce(newest.id, 0) ORDER BY target.position),
        array_agg(coalesce(newest.created_at, '-infinity') ORDER BY target.position),
        array_agg(
            CASE
                WHEN newest.id IS NULL THEN 0
                ELSE (
                    SELECT count(*)
                    FROM chat_messages
                    WHERE
                        chat_messages.conversation_id = target.id
                        AND chat_messages.user_id = store_import.user_id
                        AND chat_messages.superseded_at IS NULL
                        AND chat_messages.role <> 'system'
                )
            END
            ORDER BY target.position
        )
    INTO newest_ids, newest_times, current_counts
    FROM unnest(target_ids) WITH ORDINALITY AS target (id, position)
    LEFT JOIN LATERAL (
        SELECT
            chat_messages.id,
            chat_messages.created_at
        FROM chat_messages
        WHERE
            chat_messages.conversation_id = target.id
            -- CASE: see list_turn_messages.
            AND CASE WHEN chat_messages.user_id = store_import.user_id THEN chat_messages.role <> 'system' END
        ORDER BY chat_messages.id DESC
        LIMIT 1
    ) AS newest ON TRUE;

    -- Two given conversations may be one that is stored: the second is stored when it is sent again.
    are_free := ARRAY(
        SELECT are_free[target.position] AND target.position = min(target.position) OVER (PARTITION BY target.id)
        FROM unnest(target_ids) WITH ORDINALITY AS target (id, position)
        ORDER BY target.position
    );

    SELECT
        array_agg(coalesce(counted.message_count, 0) ORDER BY target.position),
        array_agg(counted.current_question ORDER BY target.position),
        array_agg(counted.last_question ORDER BY target.position)
    INTO all_counts, current_questions, all_questions
    FROM unnest(target_ids, newest_ids) WITH ORDINALITY AS target (id, newest_id, position)
    LEFT JOIN LATERAL (
        SELECT
            count(*) AS message_count,
            max(chat_messages.id) FILTER (
                WHERE chat_messages.role = 'user' AND chat_messages.superseded_at IS NULL
            ) AS current_question,
            max(chat_messages.id) FILTER (WHERE chat_messages.role = 'user') AS last_question
        FROM chat_messages
        WHERE
            target.newest_id > 0
            AND chat_messages.conversation_id = target.id
            AND chat_messages.user_id = store_import.user_id
    ) AS counted ON TRUE;

    WITH
    given AS (
        SELECT
            given.position,
            given.place,
            given.superseded_at,
            given.created_at,
            coalesce(
                (
                    SELECT chat_messages.id
                    FROM chat_messages
                    WHERE
                        given.superseded_at IS NULL
                        AND chat_messages.conversation_id = target_ids[given.place]
                        AND chat_messages.user_id = store_import.user_id
                        AND chat_messages.message_id = given.message_id
                        AND chat_messages.superseded_at IS NULL
                ),
                (
                    SELECT max(chat_messages.id)
                    FROM chat_messages
                    WHERE
                        chat_messages.conversation_id = target_ids[given.place]
                        AND chat_messages.created_at = given.created_at
                        AND CASE
                            WHEN chat_messages.user_id = store_import.user_id
                                THEN chat_messages.message_id = given.message_id
                        END
                )
            ) AS stored_id
        FROM
            json_to_recordset(given_messages) AS given (
                position integer, place integer, message_id text, superseded_at timestamptz, created_at timestamptz
            )
    ),

    compared AS (
        SELECT
            given.position,
            given.place,
            given.superseded_at,
            given.stored_id,
            max(given.position) FILTER (WHERE given.stored_id IS NOT NULL) OVER whole AS last_stored_position,
            max(given.stored_id) OVER whole AS last_stored_id,
            first_value(given.created_at) OVER (
                PARTITION BY given.place ORDER BY given.stored_id IS NOT NULL, given.position
            ) AS first_new_at,
            count(*) FILTER (WHERE given.stored_id IS NULL AND given.superseded_at IS NULL) OVER so_far AS new_count,
            count(*) FILTER (WHERE given.stored_id IS NULL) OVER so_far AS all_new_count
        FROM given
        WINDOW whole AS (PARTITION BY given.place), so_far AS (PARTITION BY given.place ORDER BY given.position)
    ),

    decided AS MATERIALIZED (
        SELECT
            compared.position,
            compared.stored_id,
            CASE
                WHEN target_ids[compared.place] = nobody THEN 'id_taken'
                WHEN compared.stored_id IS NOT NULL THEN 'already_there'
                WHEN NOT are_free[compared.place] THEN 'turn_in_progress'
                WHEN
                    compared.position < compared.last_stored_position
                    OR newest_ids[compared.place] <> compared.last_stored_id
                    OR (
                        compared.last_stored_id IS NULL
                        AND newest_times[compared.place] > compared.first_new_at
                    )
                    THEN 'later_messages'
                WHEN
                    compared.superseded_at IS NULL
                    AND current_counts[compared.place] + compared.new_count > store_import.max_messages
                    -- Replaced messages, too, have an end.
                    OR all_counts[compared.place] + compared.all_new_count > 4 * store_import.max_messages::bigint
                    THEN 'conversation_full'
                ELSE 'new'
            END AS outcome
        FROM compared
    )

    SELECT
        array_agg(coalesce(decided.stored_id, 0) ORDER BY decided.position),
        array_agg(decided.outcome = 'new' ORDER BY decided.position),
        (
            SELECT jsonb_object_agg(counted.outcome, counted.row_count)
            FROM (
                SELECT
                    each.outcome,
                    count(*) AS row_count
                FROM decided AS each
                GROUP BY each.outcome
            ) AS counted
        )
    INTO row_ids, are_new, outcomes
    FROM decided;

    numbers := reserve_message_ids(coalesce((outcomes ->> 'new')::bigint, 0));
    row_ids := ARRAY(
        SELECT CASE WHEN each.is_new THEN numbers[each.new_count] ELSE each.row_id END
        FROM (
            SELECT
                given.row_id,
                given.is_new,
                given.position,
                count(*) FILTER (WHERE given.is_new) OVER (ORDER BY given.position) AS new_count
            FROM unnest(row_ids, are_new) WITH ORDINALITY AS given (row_id, is_new, position)
        ) AS each
        ORDER BY each.position
    );

    WITH
    answered AS (
        SELECT
            given.*,
            CASE
                WHEN given.answers_stored
                    -- A replaced answer may be that of a replaced question.
                    THEN CASE
                        WHEN given.superseded_at IS NULL THEN current_questions[given.place]
                        ELSE all_questions[given.place]
                    END
                ELSE nullif(row_ids[given.reply_position], 0)
            END AS question_id
        FROM
            json_to_recordset(given_messages) AS given (
                position integer, place integer, reply_position integer, answers_stored boolean, message_id text,
                role text, content text, finish_reason text, model_name text, model text, requested_model text,
                tool_calls json, steps json,
                metadata jsonb, is_mistake boolean, mistake_note text, superseded_at timestamptz,
                created_at timestamptz, updated_at timestamptz
            )
        WHERE are_new[given.position]
    ),

    numbered AS (
        SELECT
            answered.*,
            row_number() OVER (
                PARTITION BY answered.place, answered.question_id, answered.superseded_at IS NULL
                ORDER BY answered.position
            ) AS number
        FROM answered
    ),

    stored_messages AS (
        INSERT INTO chat_messages (
            id, conversation_id, user_id, message_id, role, content, reply_to, finish_reason, model_name, model,
            requested_model, tool_calls, steps, metadata, is_mistake, mistake_note, superseded_at, created_at, updated_at
        )
        OVERRIDING SYSTEM VALUE
        SELECT
            row_ids[answered.position], target_ids[answered.place], store_import.user_id, answered.message_id,
            answered.role, answered.content,
            -- A question has one current answer.
            CASE
                WHEN
                    answered.superseded_at IS NOT NULL
                    OR answered.number = 1 AND NOT EXISTS (
                        SELECT FROM chat_messages
                        WHERE
                            chat_messages.conversation_id = target_ids[answered.place]
                            AND chat_messages.user_id = store_import.user_id
                            AND chat_messages.reply_to = answered.question_id
                            AND chat_messages.superseded_at IS NULL
                    )
                    THEN answered.question_id
            END,
            answered.finish_reason, answered.model_name, answered.model, answered.requested_model, answered.tool_calls,
            answered.steps, answered.metadata, coalesce(answered.is_mistake, FALSE), answered.mistake_note,
            answered.superseded_at, answered.created_at, answered.updated_at
        FROM numbered AS answered
        ORDER BY answered.position
        RETURNING
            chat_messages.conversation_id,
            octet_length(chat_messages.content)
            + coalesce(pg_column_size(chat_messages.tool_calls), 0)
            + coalesce(pg_column_size(chat_messages.steps), 0)
            + coalesce(pg_column_size(chat_messages.metadata), 0) AS bytes
    )

    SELECT
        array_agg(DISTINCT stored_messages.conversation_id),
        sum(stored_messages.bytes)
    INTO changed_ids, stored_bytes
    FROM stored_messages;

    UPDATE conversations
    SET
        updated_at = greatest(conversations.updated_at, counted.asked_at),
        message_count = counted.message_count,
        last_message = counted.last_message
    FROM
        unnest(changed_ids) AS changed (id)
    CROSS JOIN
        LATERAL (
            SELECT
                count(*) AS message_count,
                max(chat_messages.created_at) FILTER (WHERE chat_messages.role = 'user') AS asked_at,
                left((array_agg(chat_messages.content ORDER BY chat_messages.id DESC))[1], 120) AS last_message
            FROM chat_messages
            WHERE
                chat_messages.conversation_id = changed.id
                AND chat_messages.user_id = store_import.user_id
                AND chat_messages.superseded_at IS NULL
                AND chat_messages.role <> 'system'
        ) AS counted
    WHERE
        conversations.id = changed.id
        AND conversations.user_id = store_import.user_id;

    stored_bytes := coalesce(stored_bytes, 0) + coalesce(created_bytes, 0);
    IF stored_bytes > 0 AND cardinality(store_import.quota_subjects) > 0 THEN
        PERFORM count_bytes(
            store_import.quota_subjects, store_import.bytes_per_day, stored_bytes, store_import.now
        );
    END IF;

    RETURN QUERY
    SELECT
        'conversation',
        counted.outcome,
        counted.row_count
    FROM (
        SELECT
            count(*) FILTER (WHERE target.id = nobody) AS taken_count,
            count(*) AS given_count
        FROM unnest(target_ids) AS target (id)
    ) AS all_counts
    CROSS JOIN
        LATERAL (
            VALUES
            ('new', created_count),
            ('already_there', all_counts.given_count - all_counts.taken_count - created_count),
            ('id_taken', all_counts.taken_count)
        ) AS counted (outcome, row_count)
    WHERE counted.row_count > 0;
    RETURN QUERY
    SELECT
        'message',
        counted.key,
        counted.value::bigint
    FROM jsonb_each_text(outcomes) AS counted;
END
$$;

COMMENT ON FUNCTION public.store_import(user_id text, given_conversations json, given_messages json, max_messages integer, quota_subjects text[], bytes_per_day bigint[], now timestamp with time zone) IS 'Parley: stores conversations and messages that a user brings along from elsewhere';

CREATE FUNCTION public.store_message_files(conversation_id uuid, user_id text, message_id text, turn_id uuid, file_ids uuid[], media_types text[], filenames text[], contents bytea[], max_user_bytes bigint, max_message_bytes bigint, now timestamp with time zone) RETURNS integer
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
    AS $$
#variable_conflict use_column
DECLARE
    row_id bigint;
    own_ids uuid[];
    found_count integer;
    message_bytes bigint;
    stored_bytes bigint;
    new_bytes bigint;
BEGIN
    SELECT
        chat_messages.id,
        CASE
            WHEN store_message_files.turn_id IS NULL THEN file_ids
            ELSE
                array(
                    SELECT given.id
                    FROM unnest(file_ids) AS given (id)
                    WHERE
                        given.id IN (
                            SELECT (file.content ->> 'id')::uuid
                            FROM jsonb_array_elements(chat_messages.files) AS file (content)
                        )
                )
        END
    INTO row_id, own_ids
    FROM conversations
    INNER JOIN chat_messages ON conversations.id = chat_messages.conversation_id
    WHERE
        conversations.id = store_message_files.conversation_id
        AND conversations.user_id IS NOT DISTINCT FROM store_message_files.user_id
        AND chat_messages.user_id IS NOT DISTINCT FROM store_message_files.user_id
        AND chat_messages.message_id = store_message_files.message_id
        AND chat_messages.superseded_at IS NULL
        AND CASE
            WHEN store_message_files.turn_id IS NULL THEN chat_messages.role = 'assistant'
            ELSE
                conversations.turn_id = store_message_files.turn_id
                AND conversations.turn_message_id = store_message_files.message_id
                AND chat_messages.role = 'user'
        END;
    IF NOT FOUND THEN
        RETURN 0;
    END IF;

    -- In the order of the ids, as delete_files_of_messages locks them, before any of them is written.
    PERFORM FROM chat_files
    WHERE
        chat_files.id = any(own_ids)
        AND chat_files.user_id IS NOT DISTINCT FROM store_message_files.user_id
    ORDER BY chat_files.id
    FOR UPDATE;

    -- DO UPDATE locks a file that another session stores at this moment. A row without an earlier version (xmax) was made
    -- here.
    WITH given AS (
        SELECT
            file.id,
            file.media_type,
            file.filename,
            file.bytes
        FROM
            unnest(file_ids, media_types, filenames, contents)
            AS file (id, media_type, filename, bytes)
        WHERE file.bytes IS NOT NULL AND file.id = any(own_ids)
        ORDER BY file.id
    ),

    stored AS (
        INSERT INTO chat_files AS already (
            id, user_id, conversation_id, media_type, filename, size, bytes, created_at
        )
        SELECT
            given.id,
            store_message_files.user_id,
            CASE WHEN store_message_files.user_id IS NULL THEN store_message_files.conversation_id END,
            given.media_type,
            given.filename,
            length(given.bytes),
            given.bytes,
            coalesce(store_message_files.now, now())
        FROM given
        ORDER BY given.id
        ON CONFLICT (id) DO UPDATE SET filename = coalesce(already.filename, excluded.filename)
        RETURNING already.size, already.xmax = 0 AS is_new
    )

    SELECT coalesce(sum(stored.size) FILTER (WHERE stored.is_new), 0) INTO new_bytes FROM stored;

    -- A file without bytes must be there, and stay there; a file with bytes is by now.
    PERFORM FROM chat_files
    WHERE
        chat_files.id = any(own_ids)
        AND chat_files.user_id IS NOT DISTINCT FROM store_message_files.user_id
        AND (
            chat_files.user_id IS NOT NULL
            OR chat_files.conversation_id = store_message_files.conversation_id
        )
        AND chat_files.media_type = media_types[array_position(file_ids, chat_files.id)]
        AND NOT chat_files.is_upload
    ORDER BY chat_files.id
    FOR UPDATE;
    GET DIAGNOSTICS found_count = ROW_COUNT;
    -- Of an answer that a killed function has left, a file may be missing: it goes without.
    IF
        store_message_files.turn_id IS NOT NULL
        AND found_count < cardinality(own_ids)
    THEN
        RAISE EXCEPTION USING ERRCODE = 'PA010', MESSAGE = 'a file of the message is not there';
    END IF;

    IF store_message_files.turn_id IS NOT NULL THEN
        -- As the message names them: the model gets a file twice that stands there twice.
        SELECT sum(stored.size) INTO message_bytes
        FROM chat_messages
        CROSS JOIN LATERAL jsonb_array_elements(chat_messages.files) AS file (content)
        -- LIMIT: each file is looked up by its key in every plan.
        CROSS JOIN
            LATERAL (
                SELECT chat_files.size
                FROM chat_files
                WHERE
                    chat_files.id = (file.content ->> 'id')::uuid
                    AND chat_files.user_id IS NOT DISTINCT FROM store_message_files.user_id
                LIMIT 1
            ) AS stored
        WHERE
            chat_messages.conversation_id = store_message_files.conversation_id
            AND chat_messages.id = row_id
            AND chat_messages.user_id IS NOT DISTINCT FROM store_message_files.user_id;
        IF message_bytes > max_message_bytes THEN
            RAISE EXCEPTION USING
                ERRCODE = 'PA012',
                MESSAGE = 'the files of the message are too large together',
                DETAIL = message_bytes::text;
        END IF;
    END IF;

    IF new_bytes > 0 AND max_user_bytes > 0 THEN
        -- Apart, because no index serves IS NOT DISTINCT FROM.
        IF store_message_files.user_id IS NOT NULL THEN
            SELECT sum(chat_files.size) INTO stored_bytes
            FROM chat_files
            WHERE chat_files.user_id = store_message_files.user_id AND chat_files.file_id IS NULL;
        ELSE
            SELECT sum(chat_files.size) INTO stored_bytes
            FROM chat_files
            WHERE
                chat_files.user_id IS NULL
                AND chat_files.conversation_id = store_message_files.conversation_id
                AND chat_files.file_id IS NULL;
        END IF;
        IF stored_bytes > max_user_bytes THEN
            RAISE EXCEPTION USING
                ERRCODE = 'PA009',
                MESSAGE = 'the files of the owner would be too large',
                DETAIL = greatest(max_user_bytes - (stored_bytes - new_bytes), 0)::text;
        END IF;
    END IF;

    INSERT INTO message_files (conversation_id, chat_message_id, file_id, user_id)
    SELECT
        store_message_files.conversation_id,
        row_id,
        chat_files.id,
        store_message_files.user_id
    FROM chat_files
    WHERE
        chat_files.id = any(own_ids)
        AND chat_files.user_id IS NOT DISTINCT FROM store_message_files.user_id
        AND (
            chat_files.user_id IS NOT NULL
            OR chat_files.conversation_id = store_message_files.conversation_id
        )
    ON CONFLICT DO NOTHING;
    -- From now on a user's file goes with the last message that has it, whichever conversation that is in.
    UPDATE chat_files
    SET
        is_used = TRUE,
        conversation_id = CASE WHEN chat_files.user_id IS NULL THEN chat_files.conversation_id END
    WHERE
        chat_files.id = any(own_ids)
        AND chat_files.user_id IS NOT DISTINCT FROM store_message_files.user_id
        AND NOT chat_files.is_used;
    RETURN found_count;
END
$$;

COMMENT ON FUNCTION public.store_message_files(conversation_id uuid, user_id text, message_id text, turn_id uuid, file_ids uuid[], media_types text[], filenames text[], contents bytea[], max_user_bytes bigint, max_message_bytes bigint, now timestamp with time zone) IS 'Parley: stores the files of a message, each once for its owner';

CREATE FUNCTION public.store_stream_batches(conversation_ids uuid[], user_ids text[], turn_ids uuid[], lease_seconds double precision[], first_parts integer[], part_counts integer[], parts text[], now timestamp with time zone) RETURNS TABLE(turn_id uuid, is_held boolean, is_stopped boolean, is_stored boolean, is_followed boolean, lost_from integer)
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    AS $$
#variable_conflict use_column
DECLARE
    at CONSTANT timestamptz := coalesce(store_stream_batches.now, now());
    stopped_id uuid;
    expires_at timestamptz;
    is_locked boolean;
    newest_part integer;
    newest_count integer;
    followed_at timestamptz;
BEGIN
    -- Until the end of the transaction: a SET of the function would be over before the commit.
    PERFORM set_config('synchronous_commit', 'off', TRUE);

    FOR answer IN 1 .. coalesce(cardinality(conversation_ids), 0) LOOP
        turn_id := turn_ids[answer];
        is_stopped := FALSE;
        is_stored := FALSE;
        is_followed := FALSE;
        lost_from := NULL;
        is_locked := FALSE;
        IF part_counts[answer] > 0 THEN
            SELECT
                conversations.stopped_turn_id,
                conversations.turn_expires_at
            INTO stopped_id, expires_at
            FROM conversations
            WHERE
                conversations.id = conversation_ids[answer]
                AND conversations.turn_id = turn_ids[answer]
                AND conversations.user_id IS NOT DISTINCT FROM user_ids[answer]
            FOR NO KEY UPDATE SKIP LOCKED;
            is_locked := FOUND;
        END IF;
        is_held := is_locked;
        IF NOT is_locked THEN
            SELECT
                conversations.stopped_turn_id,
                conversations.turn_expires_at
            INTO stopped_id, expires_at
            FROM conversations
            WHERE
                conversations.id = conversation_ids[answer]
                AND conversations.turn_id = turn_ids[answer]
                AND conversations.user_id IS NOT DISTINCT FROM user_ids[answer];
            is_held := FOUND;
        END IF;
        IF NOT is_held THEN
            RETURN NEXT;
            CONTINUE;
        END IF;
        is_stopped := stopped_id IS NOT DISTINCT FROM turn_ids[answer];

        IF expires_at < at + make_interval(secs => lease_seconds[answer] / 2) THEN
            UPDATE conversations
            SET turn_expires_at = at + make_interval(secs => lease_seconds[answer])
            WHERE
                conversations.id = conversation_ids[answer]
                AND conversations.turn_id = turn_ids[answer]
                AND conversations.user_id IS NOT DISTINCT FROM user_ids[answer]
                AND conversations.id = any(ARRAY(
                    SELECT unlocked.id
                    FROM conversations AS unlocked
                    WHERE
                        unlocked.id = conversation_ids[answer]
                        AND unlocked.turn_id = turn_ids[answer]
                        AND unlocked.user_id IS NOT DISTINCT FROM user_ids[answer]
                    FOR NO KEY UPDATE SKIP LOCKED
                ));
        END IF;

        -- The newest batch: the one before, or an earlier try of this one.
        SELECT
            stream_batches.first_part,
            stream_batches.part_count,
            stream_batches.followed_at
        INTO newest_part, newest_count, followed_at
        FROM stream_batches
        WHERE
            stream_batches.conversation_id = conversation_ids[answer]
            AND stream_batches.turn_id = turn_ids[answer]
            AND stream_batches.user_id IS NOT DISTINCT FROM user_ids[answer]
            AND stream_batches.first_part <= first_parts[answer]
        ORDER BY stream_batches.first_part DESC
        LIMIT 1;
        is_followed := coalesce(followed_at > at - interval '5 seconds', FALSE);
        IF NOT is_locked THEN
            NULL;
        ELSIF newest_part = first_parts[answer] THEN
            UPDATE stream_batches
            SET
                part_count = part_counts[answer],
                parts = store_stream_batches.parts[answer]
            WHERE
                stream_batches.conversation_id = conversation_ids[answer]
                AND stream_batches.turn_id = turn_ids[answer]
                AND stream_batches.user_id IS NOT DISTINCT FROM user_ids[answer]
                AND stream_batches.first_part = first_parts[answer]
                AND stream_batches.part_count <= part_counts[answer];
            is_stored := FOUND;
        ELSIF coalesce(newest_part + newest_count, 0) = first_parts[answer] THEN
            -- Without ON CONFLICT, which costs more: the lock keeps other tries of this batch away.
            INSERT INTO stream_batches (
                conversation_id, turn_id, user_id, first_part, part_count, parts, followed_at
            )
            VALUES (
                conversation_ids[answer],
                turn_ids[answer],
                user_ids[answer],
                first_parts[answer],
                part_counts[answer],
                store_stream_batches.parts[answer],
                followed_at
            );
            is_stored := TRUE;
        ELSE
            lost_from := coalesce(newest_part + newest_count, 0);
        END IF;
        RETURN NEXT;
    END LOOP;
END
$$;

COMMENT ON FUNCTION public.store_stream_batches(conversation_ids uuid[], user_ids text[], turn_ids uuid[], lease_seconds double precision[], first_parts integer[], part_counts integer[], parts text[], now timestamp with time zone) IS 'Parley: stores the new parts of running answers, and prolongs their leases';

CREATE FUNCTION public.told_files(conversation_id uuid, user_id text, turn_id uuid, message_row_id bigint, files jsonb, seen_types text[], max_seen integer, max_bytes bigint, max_text_bytes bigint, max_text_end integer, max_beginning_end integer) RETURNS json
    LANGUAGE plpgsql STABLE
    SET plan_cache_mode TO 'force_generic_plan'
    SET search_path TO 'public', 'pg_temp'
    AS $$
#variable_conflict use_column
DECLARE
    is_newest boolean;
    result json;
BEGIN
    SELECT
        sum(least(sizes.seen_count, max_seen)) <= max_seen
        AND sum(least(sizes.seen_bytes, max_bytes)) <= max_bytes
        AND sum(least(sizes.text_bytes, max_text_bytes)) <= 2 * max_text_bytes
    INTO is_newest
    FROM chat_messages AS later
    CROSS JOIN
        LATERAL (
            SELECT
                count(*) FILTER (WHERE file.content ->> 'mediaType' = any(seen_types)) AS seen_count,
                coalesce(sum(stored.size) FILTER (WHERE file.content ->> 'mediaType' = any(seen_types)), 0)
                    AS seen_bytes,
                coalesce(sum(stored.size) FILTER (WHERE file.content ->> 'mediaType' <> all(seen_types)), 0)
                    AS text_bytes
            FROM jsonb_array_elements(later.files) AS file (content)
            -- LIMIT: each file is looked up by its key in every plan.
            LEFT JOIN
                LATERAL (
                    SELECT chat_files.size
                    FROM chat_files
                    WHERE
                        chat_files.id = (file.content ->> 'id')::uuid
                        AND chat_files.user_id IS NOT DISTINCT FROM told_files.user_id
                    LIMIT 1
                ) AS stored ON TRUE
        ) AS sizes
    WHERE
        later.conversation_id = told_files.conversation_id
        AND later.user_id IS NOT DISTINCT FROM told_files.user_id
        AND later.superseded_at IS NULL
        AND later.files IS NOT NULL
        AND later.id >= told_files.message_row_id
        AND later.id <= (
            SELECT question.id
            FROM conversations
            INNER JOIN chat_messages AS question
                ON
                    conversations.id = question.conversation_id
                    AND conversations.turn_message_id = question.message_id
                    AND question.superseded_at IS NULL
            WHERE
                conversations.id = told_files.conversation_id
                AND conversations.user_id IS NOT DISTINCT FROM told_files.user_id
                AND question.user_id IS NOT DISTINCT FROM told_files.user_id
                AND conversations.turn_id = told_files.turn_id
        );

    SELECT
        json_agg(
            CASE
                WHEN stored.size IS NULL THEN file.content
                -- An attempt without the turn has no question, and so no later message.
                WHEN is_newest IS NULL OR (file.is_seen AND NOT is_newest)
                    THEN file.content || jsonb_build_object('size', stored.size)
                ELSE
                    file.content || jsonb_build_object(
                        'size', stored.size,
                        'url',
                        'data:' || stored.media_type || ';base64,' || translate(
                            encode(
                                CASE
                                    WHEN file.is_seen THEN stored.bytes
                                    ELSE
                                        substring(
                                            stored.bytes
                                            FOR CASE WHEN is_newest THEN max_text_end ELSE max_beginning_end END
                                        )
                                END,
                                'base64'
                            ),
                            E'\n', ''
                        )
                    )
            END
            ORDER BY file.number
        )
    INTO result
    FROM (
        SELECT
            element.content,
            element.number,
            element.content ->> 'mediaType' = any(seen_types) AS is_seen
        FROM jsonb_array_elements(told_files.files) WITH ORDINALITY AS element (content, number)
    ) AS file
    LEFT JOIN
        LATERAL (
            SELECT
                chat_files.media_type,
                chat_files.size,
                chat_files.bytes
            FROM chat_files
            WHERE
                chat_files.id = (file.content ->> 'id')::uuid
                AND chat_files.user_id IS NOT DISTINCT FROM told_files.user_id
            LIMIT 1
        ) AS stored ON TRUE;
    RETURN result;
END
$$;

COMMENT ON FUNCTION public.told_files(conversation_id uuid, user_id text, turn_id uuid, message_row_id bigint, files jsonb, seen_types text[], max_seen integer, max_bytes bigint, max_text_bytes bigint, max_text_end integer, max_beginning_end integer) IS 'Parley: the files of a message with what the model may need of their bytes';

CREATE FUNCTION public.user_state(user_id text, token_issued_at timestamp with time zone) RETURNS text
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
        DECLARE
            stored_user record;
        BEGIN
            SELECT
                users.is_active,
                users.tokens_valid_from
            INTO stored_user
            FROM users
            WHERE users.id = user_state.user_id;
            -- By itself, because an expression with a query in it is slower than one without, also where it is not run.
            IF NOT FOUND THEN
                IF user_id IS NOT NULL AND EXISTS (
                    SELECT FROM deleted_users
                    WHERE
                        deleted_users.id_hash = sha256(convert_to(user_state.user_id, 'UTF8'))
                        AND deleted_users.deleted_at > coalesce(token_issued_at, '-infinity')
                        AND deleted_users.ends_at > now()
                ) THEN
                    RETURN 'deleted';
                END IF;
                RETURN NULL;
            END IF;
            RETURN CASE
                WHEN NOT stored_user.is_active THEN 'inactive'
                WHEN coalesce(token_issued_at, '-infinity') < stored_user.tokens_valid_from THEN 'signed_out'
                ELSE 'active'
            END;
        END
        $$;

COMMENT ON FUNCTION public.user_state(user_id text, token_issued_at timestamp with time zone) IS 'Parley: may this user use the product with a token issued then? NULL: there is no such user';

CREATE TABLE public.account_attempts (
    subject character varying(300) NOT NULL,
    attempt_count integer NOT NULL,
    attempted_at timestamp with time zone NOT NULL,
    next_attempt_at timestamp with time zone,
    ends_at timestamp with time zone NOT NULL
);

COMMENT ON TABLE public.account_attempts IS 'Parley: failed log-ins and all registrations of a day, a row for each subject';

COMMENT ON COLUMN public.account_attempts.subject IS 'The kind of attempt, and the keyed hash of an address, of a client''s network, or of both';

COMMENT ON COLUMN public.account_attempts.attempt_count IS 'Attempts in the day that ends at ends_at; a log-in that succeeds is taken off again';

COMMENT ON COLUMN public.account_attempts.attempted_at IS 'The latest of them';

COMMENT ON COLUMN public.account_attempts.next_attempt_at IS 'Attempts before are refused with 429; NULL: none are';

COMMENT ON COLUMN public.account_attempts.ends_at IS 'A day after the first attempt that it counts';

CREATE TABLE public.chat_files (
    id uuid NOT NULL,
    user_id character varying(255),
    conversation_id uuid,
    media_type character varying(255) NOT NULL,
    filename character varying(255),
    size bigint NOT NULL,
    bytes bytea NOT NULL,
    is_upload boolean DEFAULT false NOT NULL,
    file_id uuid,
    is_used boolean DEFAULT false NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT chk_file_owner CHECK (((user_id IS NOT NULL) OR (conversation_id IS NOT NULL))),
    CONSTRAINT chk_file_size CHECK ((size > 0))
);
ALTER TABLE ONLY public.chat_files ALTER COLUMN bytes SET STORAGE EXTERNAL;

COMMENT ON TABLE public.chat_files IS 'Parley: the bytes of files in messages, each once for its owner; deleted with the last message that has it';

COMMENT ON COLUMN public.chat_files.id IS 'Hash of the owner, the type and the bytes; random for an upload in pieces';

COMMENT ON COLUMN public.chat_files.user_id IS 'Owner; NULL: a guest';

COMMENT ON COLUMN public.chat_files.conversation_id IS 'A guest''s conversation, to which the file belongs; of a user, that of an answer in the making, until it is stored; NULL: none';

COMMENT ON COLUMN public.chat_files.media_type IS 'Its type, which the first bytes have shown';

COMMENT ON COLUMN public.chat_files.filename IS 'The name under which it came first; NULL: none';

COMMENT ON COLUMN public.chat_files.size IS 'Bytes of the whole file';

COMMENT ON COLUMN public.chat_files.bytes IS 'The file; of an upload in pieces, its beginning, and nothing once it is complete';

COMMENT ON COLUMN public.chat_files.is_upload IS 'It is an upload in pieces, and no file: not checked yet, or another row by now';

COMMENT ON COLUMN public.chat_files.file_id IS 'Of an upload that is complete: the file that it became, so that its last piece can be sent again';

COMMENT ON COLUMN public.chat_files.is_used IS 'A message has it, or has had it';

COMMENT ON COLUMN public.chat_files.created_at IS 'When it was stored last; one that no message has had is deleted a day later';

ALTER TABLE public.chat_messages ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.chat_messages_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public.conversation_summaries (
    conversation_id uuid NOT NULL,
    through_id bigint NOT NULL,
    user_id character varying(255),
    content text,
    oldest_at timestamp with time zone,
    model text,
    claim_id uuid,
    claim_expires_at timestamp with time zone,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT chk_summary_is_whole CHECK (((content IS NULL) = (oldest_at IS NULL)))
);

COMMENT ON TABLE public.conversation_summaries IS 'Parley: what the messages before the window of a long conversation say; the model gets it in their place';

COMMENT ON COLUMN public.conversation_summaries.conversation_id IS 'The conversation';

COMMENT ON COLUMN public.conversation_summaries.through_id IS 'chat_messages.id up to which the summary reaches, from the first message on';

COMMENT ON COLUMN public.conversation_summaries.user_id IS 'Owner of the conversation; NULL: anonymous';

COMMENT ON COLUMN public.conversation_summaries.content IS 'The summary; NULL: it is being made';

COMMENT ON COLUMN public.conversation_summaries.oldest_at IS 'created_at of the oldest message that it was made of, also through earlier summaries; retention counts from here';

COMMENT ON COLUMN public.conversation_summaries.model IS 'Model that wrote it, as the configuration names it';

COMMENT ON COLUMN public.conversation_summaries.claim_id IS 'Token of the attempt that makes it; NULL: it is made';

COMMENT ON COLUMN public.conversation_summaries.claim_expires_at IS 'When another attempt may make it instead';

COMMENT ON COLUMN public.conversation_summaries.created_at IS 'When it was stored, or claimed';

CREATE TABLE public.conversations (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    user_id character varying(255),
    title character varying(255),
    titled_at timestamp with time zone DEFAULT now() NOT NULL,
    status character varying(20) DEFAULT 'active'::character varying NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    turn_id uuid,
    turn_message_id character varying(255),
    turn_expires_at timestamp with time zone,
    stopped_turn_id uuid,
    key_hash bytea,
    claimed_at timestamp with time zone,
    message_count integer,
    last_message character varying(120),
    model text,
    instructions text,
    CONSTRAINT chk_conversation_instructions CHECK (((length(instructions) >= 1) AND (length(instructions) <= 4000))),
    CONSTRAINT chk_conversation_status CHECK (((status)::text = ANY ((ARRAY['active'::character varying, 'archived'::character varying])::text[]))),
    CONSTRAINT chk_key_hash CHECK ((length(key_hash) = 32))
)
WITH (autovacuum_vacuum_scale_factor='0.02', fillfactor='50');

COMMENT ON TABLE public.conversations IS 'Parley: a thread of messages';

COMMENT ON COLUMN public.conversations.id IS 'Random, or UUIDv5 of the owner and the client''s own id';

COMMENT ON COLUMN public.conversations.user_id IS 'Owner; NULL: anonymous, reached by its key, or without one by its id';

COMMENT ON COLUMN public.conversations.title IS 'The beginning of the first message until there is a better one';

COMMENT ON COLUMN public.conversations.titled_at IS 'When the message was stored that the title tells, or when the user set the title; retention counts from here';

COMMENT ON COLUMN public.conversations.status IS 'active, or archived: refuses new messages';

COMMENT ON COLUMN public.conversations.created_at IS 'When the first message came';

COMMENT ON COLUMN public.conversations.updated_at IS 'When its last question came; orders the list';

COMMENT ON COLUMN public.conversations.turn_id IS 'Token of the attempt that is answering: only that attempt writes; NULL: the turn is free';

COMMENT ON COLUMN public.conversations.turn_message_id IS 'message_id of the question being answered';

COMMENT ON COLUMN public.conversations.turn_expires_at IS 'When the lease ends by itself unless the attempt prolongs it: seconds from now, by this database''s clock';

COMMENT ON COLUMN public.conversations.stopped_turn_id IS 'Token of the last attempt that was asked to stop: the attempt stops if it is still turn_id';

COMMENT ON COLUMN public.conversations.key_hash IS 'SHA-256 of the key that reaches it while it has no owner, and deletes it afterwards; NULL: it has no key';

COMMENT ON COLUMN public.conversations.claimed_at IS 'When its owner took it over; NULL: it has none, or was made by its owner';

COMMENT ON COLUMN public.conversations.message_count IS 'Current messages, without system messages; NULL: unknown, so readers count: set it to NULL when you write messages by hand';

COMMENT ON COLUMN public.conversations.last_message IS 'The beginning of the last of them; unknown with message_count';

COMMENT ON COLUMN public.conversations.model IS 'The model that its last request with a choice named, as users see the name; NULL: none did';

COMMENT ON COLUMN public.conversations.instructions IS 'What the user wants the model to know or to do in this conversation; NULL: nothing';

CREATE TABLE public.deleted_users (
    id_hash bytea NOT NULL,
    deleted_at timestamp with time zone NOT NULL,
    ends_at timestamp with time zone NOT NULL
);

COMMENT ON TABLE public.deleted_users IS 'Parley: users that were deleted; their earlier tokens are refused until ends_at';

COMMENT ON COLUMN public.deleted_users.id_hash IS 'SHA-256 of the user''s id';

COMMENT ON COLUMN public.deleted_users.deleted_at IS 'Tokens issued before are refused with 403';

COMMENT ON COLUMN public.deleted_users.ends_at IS '30 days after deleted_at: the clean-up deletes the row then';

CREATE TABLE public.finished_streams (
    conversation_id uuid NOT NULL,
    turn_id uuid NOT NULL,
    user_id character varying(255),
    answer_message_id character varying(255) NOT NULL,
    parts text NOT NULL,
    ended_at timestamp with time zone NOT NULL
);

COMMENT ON TABLE public.finished_streams IS 'Parley: the streams of a conversation''s last answers, for readers that come within a minute after the end';

COMMENT ON COLUMN public.finished_streams.conversation_id IS 'The conversation';

COMMENT ON COLUMN public.finished_streams.turn_id IS 'The attempt that made the answer';

COMMENT ON COLUMN public.finished_streams.user_id IS 'Owner of the conversation; NULL: anonymous';

COMMENT ON COLUMN public.finished_streams.answer_message_id IS 'message_id of the answer';

COMMENT ON COLUMN public.finished_streams.parts IS 'All of its parts, in the form of stream_batches.parts';

COMMENT ON COLUMN public.finished_streams.ended_at IS 'When the answer was stored';

CREATE TABLE public.known_networks (
    subject character varying(300) NOT NULL,
    user_id character varying(255) NOT NULL,
    used_at timestamp with time zone NOT NULL
);

COMMENT ON TABLE public.known_networks IS 'Parley: networks from which a local account was used; failures elsewhere do not slow their log-ins down';

COMMENT ON COLUMN public.known_networks.subject IS 'Keyed hash of the account''s address and the client''s network';

COMMENT ON COLUMN public.known_networks.user_id IS 'The account';

COMMENT ON COLUMN public.known_networks.used_at IS 'The latest log-in from there that succeeded';

CREATE TABLE public.message_files (
    conversation_id uuid NOT NULL,
    chat_message_id bigint NOT NULL,
    file_id uuid NOT NULL,
    user_id character varying(255)
);

COMMENT ON TABLE public.message_files IS 'Parley: which message has which file';

COMMENT ON COLUMN public.message_files.conversation_id IS 'The conversation of the message';

COMMENT ON COLUMN public.message_files.chat_message_id IS 'chat_messages.id of the message';

COMMENT ON COLUMN public.message_files.file_id IS 'The file';

COMMENT ON COLUMN public.message_files.user_id IS 'Owner of the conversation; NULL: anonymous';

CREATE TABLE public.metric_counters (
    shard integer NOT NULL,
    metric character varying(100) NOT NULL,
    function character varying(100) NOT NULL,
    label character varying(100) NOT NULL,
    bound double precision NOT NULL,
    count bigint NOT NULL,
    total double precision NOT NULL,
    day date NOT NULL,
    day_count bigint NOT NULL,
    day_total double precision NOT NULL
)
WITH (fillfactor='50');

COMMENT ON TABLE public.metric_counters IS 'Parley: the metrics that all instances have counted; empty it to begin again';

COMMENT ON COLUMN public.metric_counters.shard IS 'One of 16, by chance; the count of a cell is the sum over all of them';

COMMENT ON COLUMN public.metric_counters.metric IS 'The metric, as lib/runtime/counting.py names it';

COMMENT ON COLUMN public.metric_counters.function IS 'The function that counted it: its file, without the suffix';

COMMENT ON COLUMN public.metric_counters.label IS 'The label of the metric: a statement, a code; empty: none';

COMMENT ON COLUMN public.metric_counters.bound IS 'Of a histogram, the upper bound of the bucket, in seconds; Infinity: the last one, or a plain counter';

COMMENT ON COLUMN public.metric_counters.count IS 'How often';

COMMENT ON COLUMN public.metric_counters.total IS 'Sum of the values in the bucket, in seconds';

COMMENT ON COLUMN public.metric_counters.day IS 'The last day, by UTC, with a count';

COMMENT ON COLUMN public.metric_counters.day_count IS 'How often on that day';

COMMENT ON COLUMN public.metric_counters.day_total IS 'Sum of the values on that day';

CREATE TABLE public.quotas (
    subject character varying(300) NOT NULL,
    minute_count integer NOT NULL,
    minute_ends_at timestamp with time zone NOT NULL,
    day_count integer NOT NULL,
    day_ends_at timestamp with time zone NOT NULL,
    token_count bigint DEFAULT 0 NOT NULL,
    byte_count bigint DEFAULT 0 NOT NULL
);

COMMENT ON TABLE public.quotas IS 'Parley: uses in the running minute and day, a row for each subject';

COMMENT ON COLUMN public.quotas.subject IS 'The kind of use, and the keyed hash of the user, of the network address or of the e-mail address that it counts for';

COMMENT ON COLUMN public.quotas.minute_count IS 'Uses in the minute that ends at minute_ends_at';

COMMENT ON COLUMN public.quotas.minute_ends_at IS 'A minute after the first use that it counts';

COMMENT ON COLUMN public.quotas.day_count IS 'Uses in the day that ends at day_ends_at';

COMMENT ON COLUMN public.quotas.day_ends_at IS 'A day after the first use that it counts; then delete_old_quotas deletes the row';

COMMENT ON COLUMN public.quotas.token_count IS 'Tokens in that day, read and written by the model, as the provider counts';

COMMENT ON COLUMN public.quotas.byte_count IS 'Bytes of messages that were stored in that day: text, files and metadata';

CREATE TABLE public.schema_migrations (
    name text NOT NULL,
    applied_at timestamp with time zone DEFAULT now() NOT NULL
);

COMMENT ON TABLE public.schema_migrations IS 'Parley: the migrations of sql/migrations that are applied';

COMMENT ON COLUMN public.schema_migrations.name IS 'Its file''s name, without .sql';

COMMENT ON COLUMN public.schema_migrations.applied_at IS 'When it was applied';

CREATE TABLE public.stream_batches (
    conversation_id uuid NOT NULL,
    turn_id uuid NOT NULL,
    user_id character varying(255),
    first_part integer NOT NULL,
    part_count integer NOT NULL,
    parts text NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    followed_at timestamp with time zone
);

COMMENT ON TABLE public.stream_batches IS 'Parley: the parts of answers that are not stored yet, in batches; finish_turn stores the answer and deletes them';

COMMENT ON COLUMN public.stream_batches.conversation_id IS 'The conversation';

COMMENT ON COLUMN public.stream_batches.turn_id IS 'The attempt that makes the answer';

COMMENT ON COLUMN public.stream_batches.user_id IS 'Owner of the conversation; NULL: anonymous';

COMMENT ON COLUMN public.stream_batches.first_part IS 'Number of the batch''s first part in the answer''s stream, from 0';

COMMENT ON COLUMN public.stream_batches.part_count IS 'Parts in the batch';

COMMENT ON COLUMN public.stream_batches.parts IS 'The parts: server-sent events as they are sent, but one line for a run of pieces of one text, thought or call (lib/streams/compact.py)';

COMMENT ON COLUMN public.stream_batches.created_at IS 'When the batch was stored';

COMMENT ON COLUMN public.stream_batches.followed_at IS 'When another process last said that it follows the answer, as known with this batch; NULL: none has';

CREATE TABLE public.tasks (
    id bigint NOT NULL,
    user_id character varying(255) NOT NULL,
    title character varying(200) NOT NULL,
    description character varying(1000) DEFAULT ''::character varying,
    completed boolean DEFAULT false NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT chk_task_title CHECK ((length((title)::text) >= 1))
);

COMMENT ON TABLE public.tasks IS 'Parley: the users'' tasks';

COMMENT ON COLUMN public.tasks.id IS 'Identifier, in the order of creation';

COMMENT ON COLUMN public.tasks.user_id IS 'Owner';

COMMENT ON COLUMN public.tasks.title IS 'The task in 1 to 200 characters';

COMMENT ON COLUMN public.tasks.description IS 'Details, up to 1,000 characters';

COMMENT ON COLUMN public.tasks.completed IS 'Is it done?';

COMMENT ON COLUMN public.tasks.created_at IS 'When it was added';

COMMENT ON COLUMN public.tasks.updated_at IS 'When it was last changed';

ALTER TABLE public.tasks ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.tasks_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public.user_settings (
    user_id character varying(255) NOT NULL,
    instructions text,
    updated_at timestamp with time zone NOT NULL,
    CONSTRAINT chk_user_instructions CHECK (((length(instructions) >= 1) AND (length(instructions) <= 4000)))
);

COMMENT ON TABLE public.user_settings IS 'Parley: what users have set for all their conversations';

COMMENT ON COLUMN public.user_settings.user_id IS 'The user';

COMMENT ON COLUMN public.user_settings.instructions IS 'What the user wants the model to know or to do in every conversation; NULL: nothing';

COMMENT ON COLUMN public.user_settings.updated_at IS 'When it was last changed';

CREATE TABLE public.users (
    id character varying(255) DEFAULT (gen_random_uuid())::text NOT NULL,
    email character varying(255),
    name character varying(255),
    hashed_password character varying(255),
    is_active boolean DEFAULT true NOT NULL,
    tokens_valid_from timestamp with time zone,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL
);

COMMENT ON TABLE public.users IS 'Parley: users with a turn, and local accounts';

COMMENT ON COLUMN public.users.id IS 'The subject (sub) of the user''s token, or made here for a local account';

COMMENT ON COLUMN public.users.email IS 'Address in small letters; from the token, or given at registration';

COMMENT ON COLUMN public.users.name IS 'Display name';

COMMENT ON COLUMN public.users.hashed_password IS 'bcrypt; NULL unless it is a local account';

COMMENT ON COLUMN public.users.is_active IS 'false: every request is refused with 403';

COMMENT ON COLUMN public.users.tokens_valid_from IS 'Tokens issued before are refused with 401: a new password, or sign_out_everywhere; NULL: none are';

COMMENT ON COLUMN public.users.created_at IS 'First seen';

COMMENT ON COLUMN public.users.updated_at IS 'Last change of email or name';

ALTER TABLE ONLY public.account_attempts
    ADD CONSTRAINT account_attempts_pkey PRIMARY KEY (subject);

ALTER TABLE ONLY public.chat_files
    ADD CONSTRAINT chat_files_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.chat_messages
    ADD CONSTRAINT chat_messages_pkey PRIMARY KEY (conversation_id, id);

ALTER TABLE public.chat_messages
    ADD CONSTRAINT chk_chat_message CHECK (public.check_chat_message(chat_messages.*));

ALTER TABLE ONLY public.conversation_summaries
    ADD CONSTRAINT conversation_summaries_pkey PRIMARY KEY (conversation_id, through_id);

ALTER TABLE ONLY public.conversations
    ADD CONSTRAINT conversations_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.deleted_users
    ADD CONSTRAINT deleted_users_pkey PRIMARY KEY (id_hash);

ALTER TABLE ONLY public.finished_streams
    ADD CONSTRAINT finished_streams_pkey PRIMARY KEY (conversation_id, turn_id);

ALTER TABLE ONLY public.known_networks
    ADD CONSTRAINT known_networks_pkey PRIMARY KEY (subject);

ALTER TABLE ONLY public.message_files
    ADD CONSTRAINT message_files_pkey PRIMARY KEY (conversation_id, chat_message_id, file_id);

ALTER TABLE ONLY public.metric_counters
    ADD CONSTRAINT metric_counters_pkey PRIMARY KEY (shard, metric, function, label, bound);

ALTER TABLE ONLY public.quotas
    ADD CONSTRAINT quotas_pkey PRIMARY KEY (subject);

ALTER TABLE ONLY public.schema_migrations
    ADD CONSTRAINT schema_migrations_pkey PRIMARY KEY (name);

ALTER TABLE ONLY public.stream_batches
    ADD CONSTRAINT stream_batches_pkey PRIMARY KEY (conversation_id, turn_id, first_part);

ALTER TABLE ONLY public.tasks
    ADD CONSTRAINT tasks_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.tool_runs
    ADD CONSTRAINT tool_runs_pkey PRIMARY KEY (conversation_id, question_id, run_key);

ALTER TABLE ONLY public.user_settings
    ADD CONSTRAINT user_settings_pkey PRIMARY KEY (user_id);

ALTER TABLE ONLY public.users
    ADD CONSTRAINT users_pkey PRIMARY KEY (id);

CREATE INDEX idx_account_attempts_ends_at ON public.account_attempts USING btree (ends_at);

CREATE INDEX idx_chat_files_conversation_id ON public.chat_files USING btree (conversation_id, id) INCLUDE (size, file_id) WHERE (conversation_id IS NOT NULL);

CREATE INDEX idx_chat_files_unused ON public.chat_files USING btree (created_at) WHERE (NOT is_used);

CREATE INDEX idx_chat_files_user_id ON public.chat_files USING btree (user_id, id) INCLUDE (size, file_id);

CREATE INDEX idx_chat_messages_conversation_created ON public.chat_messages USING btree (conversation_id, created_at DESC);

CREATE INDEX idx_chat_messages_created_at ON public.chat_messages USING btree (created_at DESC);

CREATE INDEX idx_chat_messages_mistakes ON public.chat_messages USING btree (user_id, created_at DESC, id DESC) WHERE is_mistake;

CREATE INDEX idx_chat_messages_search ON public.chat_messages USING gin (public.search_vector((user_id)::text, content)) WITH (gin_pending_list_limit='128') WHERE ((user_id IS NOT NULL) AND (superseded_at IS NULL));

CREATE INDEX idx_chat_messages_system ON public.chat_messages USING btree (conversation_id) WHERE ((role)::text = 'system'::text);

CREATE INDEX idx_chat_messages_user_id ON public.chat_messages USING btree (user_id, created_at, id);

CREATE INDEX idx_conversations_created_at ON public.conversations USING btree (created_at);

CREATE INDEX idx_conversations_search ON public.conversations USING gin (public.search_vector((user_id)::text, (title)::text)) WITH (gin_pending_list_limit='128') WHERE (user_id IS NOT NULL);

CREATE INDEX idx_conversations_titled_at ON public.conversations USING btree (titled_at) WHERE (title IS NOT NULL);

CREATE INDEX idx_conversations_updated_at ON public.conversations USING btree (updated_at DESC);

CREATE INDEX idx_conversations_user_id ON public.conversations USING btree (user_id, updated_at DESC, id DESC);

CREATE INDEX idx_conversations_user_status ON public.conversations USING btree (user_id, status, updated_at DESC, id DESC);

CREATE INDEX idx_deleted_users_ends_at ON public.deleted_users USING btree (ends_at);

CREATE INDEX idx_finished_streams_ended_at ON public.finished_streams USING btree (ended_at);

CREATE INDEX idx_known_networks_used_at ON public.known_networks USING btree (used_at);

CREATE INDEX idx_known_networks_user_id ON public.known_networks USING btree (user_id);

CREATE INDEX idx_message_files_file_id ON public.message_files USING btree (file_id);

CREATE INDEX idx_quotas_day_ends_at ON public.quotas USING btree (day_ends_at);

CREATE INDEX idx_stream_batches_created_at ON public.stream_batches USING btree (created_at) WHERE (first_part = 0);

CREATE INDEX idx_tasks_title ON public.tasks USING btree (user_id, title);

CREATE INDEX idx_tasks_user_id ON public.tasks USING btree (user_id, id DESC);

CREATE INDEX idx_tool_runs_created_at ON public.tool_runs USING btree (created_at);

CREATE INDEX idx_tool_runs_user_id ON public.tool_runs USING btree (user_id, created_at);

CREATE UNIQUE INDEX ix_users_email ON public.users USING btree (email);

CREATE UNIQUE INDEX uq_chat_messages_message_id ON public.chat_messages USING btree (conversation_id, message_id) WHERE (superseded_at IS NULL);

CREATE UNIQUE INDEX uq_chat_messages_reply_to ON public.chat_messages USING btree (conversation_id, reply_to) WHERE ((superseded_at IS NULL) AND (reply_to IS NOT NULL));

CREATE UNIQUE INDEX uq_conversation_summaries_claim ON public.conversation_summaries USING btree (conversation_id) WHERE (content IS NULL);

CREATE TRIGGER delete_files_of_messages AFTER DELETE ON public.chat_messages REFERENCING OLD TABLE AS deleted_messages FOR EACH STATEMENT EXECUTE FUNCTION public.delete_files_of_messages();

COMMENT ON TRIGGER delete_files_of_messages ON public.chat_messages IS 'Parley: files go with the last message that has them, in the same transaction';

CREATE TRIGGER forget_message_counts AFTER DELETE ON public.chat_messages REFERENCING OLD TABLE AS deleted_messages FOR EACH STATEMENT EXECUTE FUNCTION public.forget_message_counts();

CREATE TRIGGER forget_summaries_of_deleted AFTER DELETE ON public.chat_messages REFERENCING OLD TABLE AS deleted_messages FOR EACH STATEMENT EXECUTE FUNCTION public.forget_summaries_of_deleted();

CREATE TRIGGER forget_summaries_of_replaced AFTER UPDATE OF superseded_at, is_mistake, mistake_note ON public.chat_messages FOR EACH ROW WHEN ((((old.superseded_at IS NULL) AND (new.superseded_at IS NOT NULL)) OR (old.is_mistake IS DISTINCT FROM new.is_mistake) OR (old.mistake_note IS DISTINCT FROM new.mistake_note))) EXECUTE FUNCTION public.forget_summaries_of_replaced();

CREATE TRIGGER remember_deleted_users AFTER DELETE ON public.users REFERENCING OLD TABLE AS gone_users FOR EACH STATEMENT EXECUTE FUNCTION public.remember_deleted_users();

COMMENT ON TRIGGER remember_deleted_users ON public.users IS 'Parley: the tokens of a user end with the user, in the same transaction';

ALTER TABLE ONLY public.chat_files
    ADD CONSTRAINT chat_files_conversation_id_fkey FOREIGN KEY (conversation_id) REFERENCES public.conversations(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.chat_files
    ADD CONSTRAINT chat_files_user_id_fkey FOREIGN KEY (user_id) REFERENCES public.users(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.chat_messages
    ADD CONSTRAINT chat_messages_conversation_id_fkey FOREIGN KEY (conversation_id) REFERENCES public.conversations(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.chat_messages
    ADD CONSTRAINT chat_messages_user_id_fkey FOREIGN KEY (user_id) REFERENCES public.users(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.conversation_summaries
    ADD CONSTRAINT conversation_summaries_conversation_id_fkey FOREIGN KEY (conversation_id) REFERENCES public.conversations(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.conversations
    ADD CONSTRAINT conversations_user_id_fkey FOREIGN KEY (user_id) REFERENCES public.users(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.finished_streams
    ADD CONSTRAINT finished_streams_conversation_id_fkey FOREIGN KEY (conversation_id) REFERENCES public.conversations(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.known_networks
    ADD CONSTRAINT known_networks_user_id_fkey FOREIGN KEY (user_id) REFERENCES public.users(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.message_files
    ADD CONSTRAINT message_files_file_id_fkey FOREIGN KEY (file_id) REFERENCES public.chat_files(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.stream_batches
    ADD CONSTRAINT stream_batches_conversation_id_fkey FOREIGN KEY (conversation_id) REFERENCES public.conversations(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.tasks
    ADD CONSTRAINT tasks_user_id_fkey FOREIGN KEY (user_id) REFERENCES public.users(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.tool_runs
    ADD CONSTRAINT tool_runs_conversation_id_fkey FOREIGN KEY (conversation_id) REFERENCES public.conversations(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.tool_runs
    ADD CONSTRAINT tool_runs_user_id_fkey FOREIGN KEY (user_id) REFERENCES public.users(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.user_settings
    ADD CONSTRAINT user_settings_user_id_fkey FOREIGN KEY (user_id) REFERENCES public.users(id) ON DELETE CASCADE;

ALTER TABLE public.account_attempts ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.chat_files ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.chat_messages ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.conversation_summaries ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.conversations ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.deleted_users ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.finished_streams ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.known_networks ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.message_files ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.metric_counters ENABLE ROW LEVEL SECURITY;

CREATE POLICY own_chat_files ON public.chat_files TO parley_app USING (
CASE
    WHEN (user_id IS NULL) THEN (conversation_id = (NULLIF(current_setting('parley.conversation_id'::text, true), ''::text))::uuid)
    ELSE ((user_id)::text = NULLIF(current_setting('parley.user_id'::text, true), ''::text))
END);

COMMENT ON POLICY own_chat_files ON public.chat_files IS 'The caller''s, and those of the conversation without an owner whose id the caller knows';

CREATE POLICY own_chat_messages ON public.chat_messages TO parley_app USING (
CASE
    WHEN (user_id IS NULL) THEN (conversation_id = (NULLIF(current_setting('parley.conversation_id'::text, true), ''::text))::uuid)
    ELSE ((user_id)::text = NULLIF(current_setting('parley.user_id'::text, true), ''::text))
END);

COMMENT ON POLICY own_chat_messages ON public.chat_messages IS 'The caller''s, and those of the conversation without an owner whose id the caller knows';

CREATE POLICY own_conversation_summaries ON public.conversation_summaries TO parley_app USING (
CASE
    WHEN (user_id IS NULL) THEN (conversation_id = (NULLIF(current_setting('parley.conversation_id'::text, true), ''::text))::uuid)
    ELSE ((user_id)::text = NULLIF(current_setting('parley.user_id'::text, true), ''::text))
END);

COMMENT ON POLICY own_conversation_summaries ON public.conversation_summaries IS 'The caller''s, and those of the conversation without an owner whose id the caller knows';

CREATE POLICY own_conversations ON public.conversations TO parley_app USING (
CASE
    WHEN (user_id IS NULL) THEN ((id = (NULLIF(current_setting('parley.conversation_id'::text, true), ''::text))::uuid) AND (NOT (key_hash IS DISTINCT FROM decode(NULLIF(current_setting('parley.key_hash'::text, true), ''::text), 'hex'::text))))
    ELSE ((user_id)::text = NULLIF(current_setting('parley.user_id'::text, true), ''::text))
END);

COMMENT ON POLICY own_conversations ON public.conversations IS 'The caller''s, and the conversation without an owner that the caller reaches by its key or its id';

CREATE POLICY own_finished_streams ON public.finished_streams TO parley_app USING (
CASE
    WHEN (user_id IS NULL) THEN (conversation_id = (NULLIF(current_setting('parley.conversation_id'::text, true), ''::text))::uuid)
    ELSE ((user_id)::text = NULLIF(current_setting('parley.user_id'::text, true), ''::text))
END);

COMMENT ON POLICY own_finished_streams ON public.finished_streams IS 'The caller''s, and those of the conversation without an owner whose id the caller knows';

CREATE POLICY own_known_networks ON public.known_networks TO parley_app USING (((user_id)::text = NULLIF(current_setting('parley.user_id'::text, true), ''::text)));

COMMENT ON POLICY own_known_networks ON public.known_networks IS 'The caller''s, to read; only the log-in writes';

CREATE POLICY own_message_files ON public.message_files TO parley_app USING (
CASE
    WHEN (user_id IS NULL) THEN (conversation_id = (NULLIF(current_setting('parley.conversation_id'::text, true), ''::text))::uuid)
    ELSE ((user_id)::text = NULLIF(current_setting('parley.user_id'::text, true), ''::text))
END);

COMMENT ON POLICY own_message_files ON public.message_files IS 'The caller''s, and those of the conversation without an owner whose id the caller knows';

CREATE POLICY own_stream_batches ON public.stream_batches TO parley_app USING (
CASE
    WHEN (user_id IS NULL) THEN (conversation_id = (NULLIF(current_setting('parley.conversation_id'::text, true), ''::text))::uuid)
    ELSE ((user_id)::text = NULLIF(current_setting('parley.user_id'::text, true), ''::text))
END);

COMMENT ON POLICY own_stream_batches ON public.stream_batches IS 'The caller''s, and those of the conversation without an owner whose id the caller knows';

CREATE POLICY own_tasks ON public.tasks TO parley_app USING (
CASE
    WHEN true THEN ((user_id)::text = NULLIF(current_setting('parley.user_id'::text, true), ''::text))
    ELSE NULL::boolean
END);

COMMENT ON POLICY own_tasks ON public.tasks IS 'The caller''s';

CREATE POLICY own_tool_runs ON public.tool_runs TO parley_app USING (
CASE
    WHEN true THEN ((user_id)::text = NULLIF(current_setting('parley.user_id'::text, true), ''::text))
    ELSE NULL::boolean
END);

COMMENT ON POLICY own_tool_runs ON public.tool_runs IS 'The caller''s';

CREATE POLICY own_user_settings ON public.user_settings TO parley_app USING (
CASE
    WHEN true THEN ((user_id)::text = NULLIF(current_setting('parley.user_id'::text, true), ''::text))
    ELSE NULL::boolean
END);

COMMENT ON POLICY own_user_settings ON public.user_settings IS 'The caller''s';

ALTER TABLE public.quotas ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.stream_batches ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.tasks ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.tool_runs ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.user_settings ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.users ENABLE ROW LEVEL SECURITY;
