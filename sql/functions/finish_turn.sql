-- finish_turn
-- Stores the answer and gives the turn back, if this attempt still holds it.
--
-- Safe to repeat when it is unknown whether the first call arrived: it then returns the answer that is stored. An
-- earlier answer, and the messages after it, become superseded only here, so that they stay until there is a new
-- answer. The parts of the answer's stream become one row, for readers that still follow it.
--
-- The whole step in one call, the wall first. One simple statement after the other, each only where there is something
-- for it: the lock of the conversation keeps them together.
--
-- Parameters
--   caller_id               text              user_id of act_as_caller, which also takes the next seven
--   reachable_id            uuid              conversation_id of act_as_caller
--   needs_account           boolean           true: the caller must be in `users` already
--   token_issued_at         timestamptz       when the token was issued
--   key_hash                bytea             of the key that came with the id
--   client_subject          text              of the client, for guesses
--   timeout_ms              integer           of each later statement of the transaction
--   approach                text              null: the wall stands already, or this is the cron, which has none
--   conversation_id         uuid              the conversation
--   user_id                 text              the caller; null: anonymous
--   turn_id                 uuid              token of this attempt
--   answer_message_id       text              id of the answer, as clients see it
--   question_id             bigint            chat_messages.id of the question
--   content                 text              the answer's text; '' if it has nothing but tool calls
--   finish_reason           text              see the column
--   model_name              text              as the provider names it; null: unknown
--   model                   text              as users see its name
--   requested_model         text              the one that was asked for, if another stood in for it; null: none did
--   prompt_tokens           integer           null: unknown
--   cached_tokens           integer           of those, the ones from the provider's cache; null: unknown
--   completion_tokens       integer           null: unknown
--   reasoning_tokens        integer           of those, the thoughts; null: unknown
--   reasoning_seconds       double precision  how long the model has thought; null: it has not, or unknown
--   tool_calls              json              the tool calls with their results; null: none
--   steps                   json              see the column; null: content and tool_calls tell the steps
--   provider_state          json              see the column; null: none
--   persona                 text              as requested; null: none
--   tone                    text              as requested, or from the analysis; null: neither
--   behavior                text              as requested, or from the analysis; null: neither
--   context_type            text              from the analysis, like the next three; null: unknown
--   signal_strength         double precision  0 to 1
--   context_clarity         boolean           was the context clear?
--   needs_knowledge         boolean           did the question need knowledge from elsewhere? null: false
--   refusal                 text              the question's refusal: see the column; null: none
--   has_provider_failed     boolean           true: the provider itself failed the attempt, so the next one may be owed
--   paid_prompt_tokens      integer           tokens that the attempt has cost beyond those of the answer; 0: none
--   paid_completion_tokens  integer           likewise
--   quota_subjects          text[]            the subjects whose quota counts all tokens of the attempt
--   title                   text              title by the model; null: none
--   first_title             text              the automatic title; any other was set by the user, and stays
--   stored_parts            integer           parts of the stream that are known to be stored in batches
--   parts                   text              the parts after those, up to the end of the model's answer
--   title_parts             text              the parts that announce the new title, if the conversation takes it
--   last_parts              text              the parts that end the stream
--   now                     timestamptz       null: the database's clock
--
-- Returns 0 or 1 row: id and created_at of the answer; current_title, the conversation's title. 0 rows: the lease
-- is lost, or the conversation is deleted, and nothing was stored.
-- Raises what act_as_caller raises; PA013 when the batches do not have all of stored_parts, and stores nothing: a crash
-- of the database may lose batches (store_stream_batches). Call again with stored_parts 0 and all parts.
-- Index conversations_pkey, chat_messages_pkey, uq_chat_messages_message_id, tool_runs_pkey,
-- stream_batches_pkey, finished_streams_pkey.
CREATE OR REPLACE FUNCTION finish_turn(
    caller_id text,
    reachable_id uuid,
    needs_account boolean,
    token_issued_at timestamptz,
    key_hash bytea,
    client_subject text,
    timeout_ms integer,
    approach text,
    conversation_id uuid,
    user_id text,
    turn_id uuid,
    answer_message_id text,
    question_id bigint,
    content text,
    finish_reason text,
    model_name text,
    model text,
    requested_model text,
    prompt_tokens integer,
    cached_tokens integer,
    completion_tokens integer,
    reasoning_tokens integer,
    reasoning_seconds double precision,
    tool_calls json,
    steps json,
    provider_state json,
    persona text,
    tone text,
    behavior text,
    context_type text,
    signal_strength double precision,
    context_clarity boolean,
    needs_knowledge boolean,
    refusal text,
    has_provider_failed boolean,
    paid_prompt_tokens integer,
    paid_completion_tokens integer,
    quota_subjects text[],
    title text,
    first_title text,
    stored_parts integer,
    parts text,
    title_parts text,
    last_parts text,
    now timestamptz
)
RETURNS TABLE (id bigint, created_at timestamptz, current_title varchar)
-- enable_seqscan: a plan that is made while a table is empty, and kept, would read it whole when it has grown.
LANGUAGE plpgsql VOLATILE
SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET search_path FROM CURRENT AS $$
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
COMMENT ON FUNCTION finish_turn(
    text, uuid, boolean, timestamptz, bytea, text, integer, text, uuid, text, uuid, text, bigint, text, text, text,
    text, text, integer, integer, integer, integer, double precision, json, json, json, text, text, text, text,
    double precision, boolean, boolean, text, boolean, integer, integer, text[], text, text, integer, text, text, text,
    timestamptz
)
IS 'Parley: stores the answer and gives the turn back';
