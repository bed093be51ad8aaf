CREATE FUNCTION public.act_as_caller(user_id text, conversation_id uuid, needs_account boolean, token_issued_at timestamp with time zone, key_hash bytea, client_subject text, timeout_ms integer, approach text) RETURNS void
    LANGUAGE plpgsql
    AS $$
DECLARE
    state text;
    reached_id uuid;
    setting text;
BEGIN
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
        RAISE EXCEPTION USING ERRCODE = 'PA002', MESSAGE = 'the account was deleted';
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

CREATE FUNCTION public.begin_turn(caller_id text, reachable_id uuid, needs_account boolean, token_issued_at timestamp with time zone, key_hash bytea, client_subject text, timeout_ms integer, approach text, user_email text, user_name text, conversation_id uuid, user_id text, message_id text, content text, files jsonb, file_bytes bigint, steps json, metadata jsonb, replaced_message_id text, regenerates boolean, answer_message_id text, title text, turn_id uuid, lease_seconds double precision, takes_turn boolean, max_messages integer, quota_subjects text[], messages_per_minute integer[], messages_per_day integer[], bytes_per_day bigint[], tokens_per_day bigint[], retention_days integer, now timestamp with time zone) RETURNS TABLE(quota_number integer, quota_refusal text, minute_remaining integer, minute_reset_seconds double precision, day_remaining integer, day_reset_seconds double precision, held_turn_id uuid, verdict text, may_ask_title boolean, lease_remaining_seconds double precision, current_title character varying, tool_runs json)
    LANGUAGE plpgsql
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_seqscan TO 'off'
    AS $$
#variable_conflict use_column
DECLARE
    began_at CONSTANT timestamptz := coalesce(begin_turn.now, now());
    conversation record;
    quota record;
    decision record;
BEGIN
    IF approach IS NOT NULL THEN
        PERFORM act_as_caller(
            caller_id, reachable_id, needs_account, token_issued_at, key_hash, client_subject, timeout_ms, approach
        );
    END IF;
    -- A user with a local account is stored already, or was deleted and must not come back.
    IF caller_id IS NOT NULL AND NOT needs_account THEN
        PERFORM remember_user(caller_id, user_email, user_name);
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
        is_kept(conversations.titled_at, begin_turn.retention_days, begin_turn.now)
        AND is_kept(conversations.updated_at, begin_turn.retention_days, begin_turn.now) AS is_kept
    INTO conversation
    FROM conversations
    WHERE
        conversations.id = begin_turn.conversation_id
        AND conversations.user_id IS NOT DISTINCT FROM begin_turn.user_id
    FOR NO KEY UPDATE;
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
            conversation_id, user_id, message_id, role, content, files, steps, metadata, created_at, updated_at
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
            last_message = left(begin_turn.content, 120)
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
        messages_per_minute, messages_per_day, bytes_per_day, tokens_per_day, retention_days, begin_turn.now
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

COMMENT ON FUNCTION public.begin_turn(caller_id text, reachable_id uuid, needs_account boolean, token_issued_at timestamp with time zone, key_hash bytea, client_subject text, timeout_ms integer, approach text, user_email text, user_name text, conversation_id uuid, user_id text, message_id text, content text, files jsonb, file_bytes bigint, steps json, metadata jsonb, replaced_message_id text, regenerates boolean, answer_message_id text, title text, turn_id uuid, lease_seconds double precision, takes_turn boolean, max_messages integer, quota_subjects text[], messages_per_minute integer[], messages_per_day integer[], bytes_per_day bigint[], tokens_per_day bigint[], retention_days integer, now timestamp with time zone) IS 'Parley: begins a turn: the wall, the decision, the message and the lease';

CREATE FUNCTION public.change_password(account_id text, checked_hash text, password_hash text, network_subject text) RETURNS timestamp with time zone
    LANGUAGE plpgsql
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
    owed_attempt boolean
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

COMMENT ON COLUMN public.chat_messages.persona IS 'Persona used for the answer';

COMMENT ON COLUMN public.chat_messages.tone IS 'Tone of the answer: casual, technical';

COMMENT ON COLUMN public.chat_messages.behavior IS 'Behavior of the answer: normal, cautious';

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

CREATE FUNCTION public.check_chat_message(message public.chat_messages) RETURNS boolean
    LANGUAGE plpgsql IMMUTABLE
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

CREATE FUNCTION public.decide_turn(conversation_id uuid, user_id text, message_id text, content text, files jsonb, file_bytes bigint, steps json, metadata jsonb, replaced_message_id text, regenerates boolean, answer_message_id text, title text, turn_id uuid, lease_seconds double precision, takes_turn boolean, max_messages integer, quota_subjects text[], messages_per_minute integer[], messages_per_day integer[], bytes_per_day bigint[], tokens_per_day bigint[], retention_days integer, now timestamp with time zone) RETURNS TABLE(quota_number integer, quota_refusal text, minute_remaining integer, minute_reset_seconds double precision, day_remaining integer, day_reset_seconds double precision, held_turn_id uuid, verdict text, may_ask_title boolean, lease_remaining_seconds double precision, current_title character varying)
    LANGUAGE plpgsql
    SET plan_cache_mode TO 'force_generic_plan'
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
            message_count, last_message
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
            left(decide_turn.content, 120)
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
            conversation_id, user_id, message_id, role, content, files, steps, metadata, created_at, updated_at
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

COMMENT ON FUNCTION public.decide_turn(conversation_id uuid, user_id text, message_id text, content text, files jsonb, file_bytes bigint, steps json, metadata jsonb, replaced_message_id text, regenerates boolean, answer_message_id text, title text, turn_id uuid, lease_seconds double precision, takes_turn boolean, max_messages integer, quota_subjects text[], messages_per_minute integer[], messages_per_day integer[], bytes_per_day bigint[], tokens_per_day bigint[], retention_days integer, now timestamp with time zone) IS 'Parley: decides whether a message is answered now; if so, stores it and takes the turn';

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
BEGIN
    LOOP
        SELECT * INTO messages FROM delete_old_chat_messages(retention, batch_size, since, NULL);
        deleted_count := deleted_count + messages.deleted;
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
            EXIT WHEN is_one_batch OR since IS NULL;
        END LOOP;
        since := '-infinity';
        LOOP
            SELECT * INTO titles FROM replace_old_titles(retention, batch_size, since);
            since := titles.resume_at;
            EXIT WHEN is_one_batch OR since IS NULL;
        END LOOP;
    END IF;
    RETURN deleted_count;
END
$$;

COMMENT ON FUNCTION public.delete_old_chat_messages(retention interval, batch integer) IS 'Parley: deletes chat messages older than the retention period (30 days), and the conversations left empty, and replaces titles as old; all, or one batch; returns the number of messages';

CREATE FUNCTION public.delete_old_chat_messages(retention interval, batch integer, since timestamp with time zone, until timestamp with time zone, OUT deleted integer, OUT resume_at timestamp with time zone, OUT is_incomplete boolean, OUT duration_ms double precision) RETURNS record
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
BEGIN
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
    -- By ctid, so that the rows of the batch are not looked up a second time.
    WITH gone AS (
        DELETE FROM chat_messages
        WHERE
            -- A subquery, so that each row is read by its place in every plan.
            chat_messages.ctid = ANY(ARRAY(SELECT unnest(expired_ctids)))
            AND chat_messages.conversation_id <> ALL(held_ids)
        RETURNING
            chat_messages.conversation_id, chat_messages.id, chat_messages.role
    )

    SELECT
        count(*),
        array_agg(gone.conversation_id) FILTER (WHERE gone.role = 'user'),
        array_agg(gone.id) FILTER (WHERE gone.role = 'user')
    INTO deleted, conversation_ids, question_ids
    FROM gone;

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

    -- A turn holds the rest, or another clean-up, which may still fail.
    is_incomplete := EXISTS (
        SELECT FROM chat_messages
        WHERE
            chat_messages.created_at >= since
            AND chat_messages.created_at < coalesce(resume_at, expired_before)
    );
    duration_ms := extract(EPOCH FROM clock_timestamp() - started_at) * 1000;
END
$$;

COMMENT ON FUNCTION public.delete_old_chat_messages(retention interval, batch integer, since timestamp with time zone, until timestamp with time zone, OUT deleted integer, OUT resume_at timestamp with time zone, OUT is_incomplete boolean, OUT duration_ms double precision) IS 'Parley: one batch of delete_old_chat_messages(), of the messages stored between two times; resume_at: where the next batch begins (NULL: nothing is left); is_incomplete: other sessions held some of them';

CREATE FUNCTION public.delete_old_conversations(retention interval, batch integer, since timestamp with time zone, OUT deleted integer, OUT resume_at timestamp with time zone, OUT duration_ms double precision) RETURNS record
    LANGUAGE plpgsql
    SET lock_timeout TO '50ms'
    SET search_path TO 'public', 'pg_temp'
    AS $$
DECLARE
    started_at CONSTANT timestamptz := clock_timestamp();
    expired_before CONSTANT timestamptz := now() - retention;
    unused_ids uuid[];
    unused_at timestamptz[];
BEGIN
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

    -- Checked again under the lock: a message stored in between would be deleted with the conversation.
    DELETE FROM conversations
    WHERE
        conversations.id = ANY(unused_ids)
        AND (
            SELECT chat_messages.id
            FROM chat_messages
            WHERE chat_messages.conversation_id = conversations.id
            LIMIT 1
        ) IS NULL;
    GET DIAGNOSTICS deleted = ROW_COUNT;
    duration_ms := extract(EPOCH FROM clock_timestamp() - started_at) * 1000;
END
$$;

COMMENT ON FUNCTION public.delete_old_conversations(retention interval, batch integer, since timestamp with time zone, OUT deleted integer, OUT resume_at timestamp with time zone, OUT duration_ms double precision) IS 'Parley: deletes one batch of the conversations that are empty and unused for longer than the retention period; resume_at: where the next batch begins (NULL: nothing is left)';

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
    AS $$
            SELECT users.id, users.name, users.hashed_password, users.is_active, users.created_at
            FROM users
            WHERE users.email = account_email;
        $$;

COMMENT ON FUNCTION public.find_account(account_email text) IS 'Parley: the user of an e-mail address, with the hash of its password if it is a local account';

CREATE FUNCTION public.finish_log_in(account_id text, checked_hash text, subjects text[], counted_at timestamp with time zone, networks_kept integer) RETURNS timestamp with time zone
    LANGUAGE plpgsql
    AS $$
DECLARE
    valid_from timestamptz;
BEGIN
    SELECT users.tokens_valid_from INTO valid_from
    FROM users
    WHERE users.id = account_id AND users.hashed_password = checked_hash
    FOR SHARE;
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

COMMENT ON FUNCTION public.finish_log_in(account_id text, checked_hash text, subjects text[], counted_at timestamp with time zone, networks_kept integer) IS 'Parley: ends a log-in whose password was right, and returns the time of issue for its token';

CREATE FUNCTION public.finish_turn(caller_id text, reachable_id uuid, needs_account boolean, token_issued_at timestamp with time zone, key_hash bytea, client_subject text, timeout_ms integer, approach text, conversation_id uuid, user_id text, turn_id uuid, answer_message_id text, question_id bigint, content text, finish_reason text, model_name text, prompt_tokens integer, completion_tokens integer, reasoning_tokens integer, reasoning_seconds double precision, tool_calls json, steps json, provider_state json, persona text, tone text, behavior text, context_type text, signal_strength double precision, context_clarity boolean, needs_knowledge boolean, refusal text, has_provider_failed boolean, paid_prompt_tokens integer, paid_completion_tokens integer, quota_subjects text[], title text, first_title text, stored_parts integer, parts text, title_parts text, last_parts text, now timestamp with time zone) RETURNS TABLE(id bigint, created_at timestamp with time zone, current_title character varying)
    LANGUAGE plpgsql
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_seqscan TO 'off'
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
        prompt_tokens,
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
        finish_turn.prompt_tokens,
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

COMMENT ON FUNCTION public.finish_turn(caller_id text, reachable_id uuid, needs_account boolean, token_issued_at timestamp with time zone, key_hash bytea, client_subject text, timeout_ms integer, approach text, conversation_id uuid, user_id text, turn_id uuid, answer_message_id text, question_id bigint, content text, finish_reason text, model_name text, prompt_tokens integer, completion_tokens integer, reasoning_tokens integer, reasoning_seconds double precision, tool_calls json, steps json, provider_state json, persona text, tone text, behavior text, context_type text, signal_strength double precision, context_clarity boolean, needs_knowledge boolean, refusal text, has_provider_failed boolean, paid_prompt_tokens integer, paid_completion_tokens integer, quota_subjects text[], title text, first_title text, stored_parts integer, parts text, title_parts text, last_parts text, now timestamp with time zone) IS 'Parley: stores the answer and gives the turn back';

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

CREATE FUNCTION public.is_kept(stored_at timestamp with time zone, retention_days integer, now timestamp with time zone) RETURNS boolean
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN ((retention_days = 0) OR (stored_at >= (COALESCE(now, now()) - make_interval(days => retention_days))));

COMMENT ON FUNCTION public.is_kept(stored_at timestamp with time zone, retention_days integer, now timestamp with time zone) IS 'Parley: does a retention period of so many days (0: keep all) still keep a row stored at that time?';

CREATE FUNCTION public.list_conversations(user_id text, shown_status text, retention_days integer, cursor_updated_at timestamp with time zone, cursor_id uuid, page_size integer, now timestamp with time zone) RETURNS TABLE(id uuid, title character varying, status character varying, created_at timestamp with time zone, updated_at timestamp with time zone, message_count integer, last_message text)
    LANGUAGE plpgsql STABLE
    SET plan_cache_mode TO 'force_generic_plan'
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

CREATE FUNCTION public.list_slow_statements(most integer) RETURNS TABLE(statement text, calls bigint, total_seconds double precision, mean_seconds double precision, row_count bigint)
    LANGUAGE plpgsql STABLE
    SET search_path TO 'public', 'public', 'pg_temp'
    AS $$
BEGIN
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
            substring(pg_stat_statements.query FROM '^\w+ /\* (\w+) \*/') AS name,
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

CREATE FUNCTION public.list_turn_messages(conversation_id uuid, user_id text, turn_id uuid, message_id text, history_messages integer, seen_types text[], max_seen integer, max_bytes bigint, max_text_bytes bigint, max_text_end integer, max_beginning_end integer, retention_days integer, now timestamp with time zone) RETURNS TABLE(id bigint, listed_conversation_id uuid, listed_message_id character varying, role character varying, content text, created_at timestamp with time zone, updated_at timestamp with time zone, reply_to bigint, finish_reason character varying, model_name text, prompt_tokens integer, completion_tokens integer, tool_calls json, metadata jsonb, files json, persona text, tone text, behavior text, context_type text, confidence double precision, signal_strength double precision, context_clarity boolean, needs_knowledge boolean, is_mistake boolean, mistake_note text, superseded_at timestamp with time zone, refusal character varying, steps json, reasoning_tokens integer, reasoning_seconds double precision, provider_state json)
    LANGUAGE plpgsql
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_seqscan TO 'off'
    AS $$
#variable_conflict use_column
DECLARE
    block_size CONSTANT integer := (history_messages + 1) / 2;
    known_count integer;
    first_id bigint;
    other_ids bigint[];
    lowest_id bigint;
BEGIN
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
        -- The messages before the window are whole blocks: the fewest that leave history_messages or less.
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
            OFFSET greatest(
                known_count - 1 - block_size * greatest(
                    (known_count - history_messages + block_size - 1) / block_size, 0
                ),
                0
            )
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
        other_ids := ARRAY(
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
                WHERE current_messages.id <= (SELECT question.id FROM question)
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

            SELECT wanted.id FROM wanted
        );
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
        listed.provider_state
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

COMMENT ON FUNCTION public.list_turn_messages(conversation_id uuid, user_id text, turn_id uuid, message_id text, history_messages integer, seen_types text[], max_seen integer, max_bytes bigint, max_text_bytes bigint, max_text_end integer, max_beginning_end integer, retention_days integer, now timestamp with time zone) IS 'Parley: the messages that a turn reads';

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

CREATE FUNCTION public.read_history(conversation_id uuid, user_id text, include_superseded boolean, include_system boolean, retention_days integer, cursor_id bigint, page_size integer, now timestamp with time zone) RETURNS TABLE(id bigint, found_conversation_id uuid, message_id character varying, role character varying, content text, created_at timestamp with time zone, updated_at timestamp with time zone, reply_to bigint, finish_reason character varying, model_name text, prompt_tokens integer, completion_tokens integer, tool_calls json, metadata jsonb, files jsonb, persona text, tone text, behavior text, context_type text, confidence double precision, signal_strength double precision, context_clarity boolean, needs_knowledge boolean, is_mistake boolean, mistake_note text, superseded_at timestamp with time zone, refusal character varying, steps json, reasoning_tokens integer, reasoning_seconds double precision, has_message boolean, title character varying, status character varying, conversation_created_at timestamp with time zone, conversation_updated_at timestamp with time zone)
    LANGUAGE plpgsql STABLE
    SET plan_cache_mode TO 'force_generic_plan'
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
        page.id IS NOT NULL,
        CASE
            WHEN is_kept(conversations.titled_at, read_history.retention_days, read_history.now)
                THEN conversations.title
        END,
        conversations.status,
        conversations.created_at,
        conversations.updated_at
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
    AS $$
            -- A taken address is written as it is: the write waits for the disk as long as that of a new account, and
            -- DO NOTHING would not.
            INSERT INTO users (id, email, name, hashed_password)
            VALUES (account_id, account_email, account_name, password_hash)
            ON CONFLICT (email) DO UPDATE SET email = excluded.email;
        $$;

COMMENT ON FUNCTION public.register_account(account_id text, account_email text, account_name text, password_hash text) IS 'Parley: makes a local account, unless the address has one; does not tell which';

CREATE FUNCTION public.remember_user(user_id text, user_email text, user_name text) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
        #variable_conflict use_variable
        DECLARE
            free_email text;
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
            INSERT INTO users (id, email, name)
            SELECT remember_user.user_id, free_email, remember_user.user_name
            WHERE NOT EXISTS (SELECT FROM users WHERE users.id = remember_user.user_id)
            ON CONFLICT DO NOTHING;
            -- Only if another session stored the address at this moment: the INSERT above then did nothing.
            INSERT INTO users (id, name)
            SELECT remember_user.user_id, remember_user.user_name
            WHERE NOT EXISTS (SELECT FROM users WHERE users.id = remember_user.user_id)
            ON CONFLICT DO NOTHING;
        END
        $$;

COMMENT ON FUNCTION public.remember_user(user_id text, user_email text, user_name text) IS 'Parley: stores a token''s user, or refreshes email and name';

CREATE FUNCTION public.replace_old_titles(retention interval, batch integer, since timestamp with time zone, OUT replaced integer, OUT resume_at timestamp with time zone, OUT duration_ms double precision) RETURNS record
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
BEGIN
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
                btrim(regexp_replace(chat_messages.content, '\s+', ' ', 'g')) AS content
            FROM chat_messages
            WHERE
                chat_messages.conversation_id = conversations.id
                AND chat_messages.role = 'user'
                AND chat_messages.superseded_at IS NULL
                AND chat_messages.created_at >= expired_before
                AND chat_messages.content ~ '\S'
            ORDER BY chat_messages.id
            LIMIT 1
        ) AS oldest_message ON TRUE
    )
    WHERE conversations.id = ANY(expired_ids);
    GET DIAGNOSTICS replaced = ROW_COUNT;
    duration_ms := extract(EPOCH FROM clock_timestamp() - started_at) * 1000;
END
$$;

COMMENT ON FUNCTION public.replace_old_titles(retention interval, batch integer, since timestamp with time zone, OUT replaced integer, OUT resume_at timestamp with time zone, OUT duration_ms double precision) IS 'Parley: replaces one batch of the titles older than the retention period by the beginning of the oldest kept message; resume_at: where the next batch begins (NULL: nothing is left)';

CREATE FUNCTION public.search_conversations(query text, wanted_status text, oldest timestamp with time zone, page_size integer, by_index boolean) RETURNS TABLE(conversation_id uuid, chat_message_id bigint, found_words tsquery, score double precision)
    LANGUAGE plpgsql STABLE SECURITY DEFINER ROWS 20
    SET search_path TO 'public', 'pg_temp'
    SET plan_cache_mode TO 'force_generic_plan'
    AS $_$
DECLARE
    caller_id CONSTANT text := nullif(current_setting('parley.user_id', TRUE), '');
    words tsquery := websearch_to_tsquery('pg_catalog.simple', query);
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
    -- Patterns that a text certainly matches if it has the words. Comparing them costs a tenth of taking the text
    -- apart, which then only few texts need. They consist of digits and the letters from a to z, and so hold in every
    -- language, with two exceptions (odd_letters): the only other letters of Unicode whose small form is one of these.
    needed text[] := '{}';
    odd_letters CONSTANT text[] := ARRAY['%' || chr(304) || '%', '%' || chr(8490) || '%'];
BEGIN
    IF caller_id IS NULL OR numnode(words) = 0 THEN
        RETURN;
    END IF;
    -- The last word may be unfinished, unless it is excluded: -cat does not exclude categories.
    IF words::text LIKE '%''' AND words::text !~ '!''([^'']|'''')*''$' THEN
        words := (words::text || ':*')::tsquery;
    END IF;
    -- Quoted as tsquery quotes a word. (quote_literal puts an E before a text with a backslash; in a tsquery that E
    -- would be a word, and the text after it operators.)
    owned_words := words
        && format('''%s''', replace(replace(chr(1) || caller_id, '\', '\\'), '''', ''''''))::tsquery;
    -- No word is certain where there are alternatives or exclusions. The number in <2> is a distance, not a word.
    IF NOT is_indexed AND words::text !~ '[|!]' THEN
        needed := array(
            SELECT '%' || run[1] || '%'
            FROM regexp_matches(regexp_replace(words::text, '<\d+>', '', 'g'), '[a-z0-9]+', 'g') AS run
        );
    END IF;
    RETURN QUERY
    WITH
    found_messages AS (
        SELECT
            matches.conversation_id,
            matches.id,
            left(matches.content, 100000) AS content
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
                AND (
                    lower(chat_messages.content COLLATE "C") LIKE ALL (needed)
                    OR chat_messages.content LIKE ANY (odd_letters)
                )
                AND to_tsvector('pg_catalog.simple', left(chat_messages.content, 100000)) @@ words
            OFFSET 0
        ) AS matches
        WHERE
            matches.role <> 'system'
            AND matches.created_at >= oldest
        ORDER BY matches.created_at DESC, matches.id DESC
        LIMIT most_ranked
    ),

    found_titles AS (
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
            AND to_tsvector('pg_catalog.simple', left(conversations.title, 100000)) @@ words
        OFFSET 0
    ),

    ranked AS (
        SELECT
            found_messages.conversation_id,
            found_messages.id AS chat_message_id,
            ts_rank(to_tsvector('pg_catalog.simple', found_messages.content), words) AS score
        FROM found_messages
        UNION ALL
        -- A title counts twice as much as a message.
        SELECT
            found_titles.id,
            NULL,
            2 * ts_rank(to_tsvector('pg_catalog.simple', found_titles.title), words)
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
        words,
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
$_$;

COMMENT ON FUNCTION public.search_conversations(query text, wanted_status text, oldest timestamp with time zone, page_size integer, by_index boolean) IS 'Parley: the caller''s conversations that hold these words, each with the best message (NULL: the title)';

CREATE FUNCTION public.search_vector(owner_id text, content text) RETURNS tsvector
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS $$
    SELECT
        to_tsvector('pg_catalog.simple', left(content, 100000))
        || array_to_tsvector(ARRAY[chr(1) || owner_id]);
$$;

COMMENT ON FUNCTION public.search_vector(owner_id text, content text) IS 'Parley: the words of a text, and its owner as one of them';

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

CREATE FUNCTION public.store_message_files(conversation_id uuid, user_id text, message_id text, turn_id uuid, file_ids uuid[], media_types text[], filenames text[], contents bytea[], max_user_bytes bigint, max_message_bytes bigint, now timestamp with time zone) RETURNS integer
    LANGUAGE plpgsql
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
            RETURN CASE
                WHEN NOT FOUND THEN NULL
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

ALTER TABLE ONLY public.conversations
    ADD CONSTRAINT conversations_pkey PRIMARY KEY (id);

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

CREATE TRIGGER delete_files_of_messages AFTER DELETE ON public.chat_messages REFERENCING OLD TABLE AS deleted_messages FOR EACH STATEMENT EXECUTE FUNCTION public.delete_files_of_messages();

COMMENT ON TRIGGER delete_files_of_messages ON public.chat_messages IS 'Parley: files go with the last message that has them, in the same transaction';

CREATE TRIGGER forget_message_counts AFTER DELETE ON public.chat_messages REFERENCING OLD TABLE AS deleted_messages FOR EACH STATEMENT EXECUTE FUNCTION public.forget_message_counts();

ALTER TABLE ONLY public.chat_files
    ADD CONSTRAINT chat_files_conversation_id_fkey FOREIGN KEY (conversation_id) REFERENCES public.conversations(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.chat_files
    ADD CONSTRAINT chat_files_user_id_fkey FOREIGN KEY (user_id) REFERENCES public.users(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.chat_messages
    ADD CONSTRAINT chat_messages_conversation_id_fkey FOREIGN KEY (conversation_id) REFERENCES public.conversations(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.chat_messages
    ADD CONSTRAINT chat_messages_user_id_fkey FOREIGN KEY (user_id) REFERENCES public.users(id) ON DELETE CASCADE;

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

ALTER TABLE public.account_attempts ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.chat_files ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.chat_messages ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.conversations ENABLE ROW LEVEL SECURITY;

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

ALTER TABLE public.quotas ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.stream_batches ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.tasks ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.tool_runs ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.users ENABLE ROW LEVEL SECURITY;
