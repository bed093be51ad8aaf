-- finish_turn
-- Stores the answer and gives the turn back, if this attempt still holds it.
--
-- Safe to repeat when it is unknown whether the first call arrived: it then returns the answer that is stored. An
-- earlier answer, and the messages after it, become superseded only here, so that they stay until there is a new
-- answer. The parts of the answer's stream become one row, for readers that still follow it. A function for the
-- reasons of begin_turn.
--
-- Parameters
--   conversation_id         uuid              the conversation
--   user_id                 text              the caller; null: anonymous
--   turn_id                 uuid              token of this attempt
--   answer_message_id       text              id of the answer, as clients see it
--   question_id             bigint            chat_messages.id of the question
--   content                 text              the answer's text; '' if it has nothing but tool calls
--   finish_reason           text              see the column
--   model_name              text              as the provider names it; null: unknown
--   prompt_tokens           integer           null: unknown
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
-- Raises PA013 when the batches do not have all of stored_parts, and stores nothing: a crash of the database may lose
-- batches (store_stream_batches). Call again with stored_parts 0 and all parts.
-- Index conversations_pkey, chat_messages_pkey, uq_chat_messages_message_id, tool_runs_pkey,
-- stream_batches_pkey, finished_streams_pkey.
CREATE OR REPLACE FUNCTION finish_turn(
    conversation_id uuid,
    user_id text,
    turn_id uuid,
    answer_message_id text,
    question_id bigint,
    content text,
    finish_reason text,
    model_name text,
    prompt_tokens integer,
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
LANGUAGE plpgsql VOLATILE SET plan_cache_mode = force_generic_plan AS $$
#variable_conflict use_column
BEGIN
    -- First, as in begin_turn: a repeated call that waited for its own first try within the statement would not see
    -- the answer that the first try stored.
    PERFORM FROM conversations
    WHERE
        conversations.id = finish_turn.conversation_id
        AND conversations.user_id IS NOT DISTINCT FROM finish_turn.user_id
    FOR NO KEY UPDATE;

    -- Not before the lock, which a batch on its way holds. A repeated call finds no batches, and is no longer of this
    -- turn.
    IF
        finish_turn.stored_parts > 0
        AND finish_turn.stored_parts <> (
            SELECT coalesce(sum(stream_batches.part_count), 0)
            FROM stream_batches
            WHERE
                stream_batches.conversation_id = finish_turn.conversation_id
                AND stream_batches.user_id IS NOT DISTINCT FROM finish_turn.user_id
                AND stream_batches.turn_id = finish_turn.turn_id
                AND stream_batches.first_part < finish_turn.stored_parts
        )
        AND EXISTS (
            SELECT FROM conversations
            WHERE
                conversations.id = finish_turn.conversation_id
                AND conversations.user_id IS NOT DISTINCT FROM finish_turn.user_id
                AND conversations.turn_id = finish_turn.turn_id
        )
    THEN
        RAISE EXCEPTION USING ERRCODE = 'PA013', MESSAGE = 'stored parts of the answer are missing';
    END IF;

    RETURN QUERY
    WITH
    released_turn AS (
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
            updated_at = coalesce(finish_turn.now, now())
        WHERE
            conversations.id = finish_turn.conversation_id
            AND conversations.user_id IS NOT DISTINCT FROM finish_turn.user_id
            AND conversations.turn_id = finish_turn.turn_id
        RETURNING
            conversations.id, conversations.user_id, conversations.title, conversations.updated_at
    ),

    superseded_messages AS (
        UPDATE chat_messages
        SET superseded_at = released_turn.updated_at
        FROM released_turn
        WHERE
            chat_messages.conversation_id = finish_turn.conversation_id
            AND chat_messages.user_id IS NOT DISTINCT FROM finish_turn.user_id
            AND chat_messages.superseded_at IS NULL
            AND chat_messages.role <> 'system'
            AND chat_messages.id > finish_turn.question_id
        RETURNING chat_messages.id
    ),

    -- Counted, so that the replaced answer gives up its place before the new answer takes it.
    superseded AS (
        SELECT count(superseded_messages.id) AS message_count FROM superseded_messages
    ),

    -- A try that failed for another reason than a refusal, or was cut before it had text, tells nothing of one: it may
    -- have no more than earlier tool calls.
    refusal AS (
        SELECT
            finish_turn.refusal IS NOT NULL OR CASE coalesce(finish_turn.finish_reason, 'stop')
                WHEN 'error' THEN FALSE
                WHEN 'interrupted' THEN FALSE
                WHEN 'aborted' THEN finish_turn.content <> ''
                ELSE TRUE
            END AS is_known
    ),

    -- Seldom: a question that was refused is answered, or refused after tools were run for it; its attempt failed, or
    -- the attempt before; or the attempt has cost more than its answer, such as a title.
    marked_question AS (
        UPDATE chat_messages
        SET
            refusal = CASE WHEN refusal.is_known THEN finish_turn.refusal ELSE chat_messages.refusal END,
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
        FROM released_turn
        CROSS JOIN refusal
        WHERE
            chat_messages.conversation_id = finish_turn.conversation_id
            AND chat_messages.user_id IS NOT DISTINCT FROM finish_turn.user_id
            AND chat_messages.id = finish_turn.question_id
            AND (
                (refusal.is_known AND chat_messages.refusal IS DISTINCT FROM finish_turn.refusal)
                OR finish_turn.has_provider_failed
                OR chat_messages.owed_attempt IS NOT NULL
                OR finish_turn.paid_prompt_tokens > 0
                OR finish_turn.paid_completion_tokens > 0
            )
        RETURNING chat_messages.id
    ),

    -- The answer has the tool calls now. A failed answer is tried again, and must not run its tools again.
    forgotten_tool_runs AS (
        DELETE FROM tool_runs
        USING released_turn
        WHERE
            tool_runs.conversation_id = released_turn.id
            AND tool_runs.user_id = finish_turn.user_id
            AND tool_runs.question_id = finish_turn.question_id
            AND finish_turn.finish_reason NOT IN ('error', 'interrupted')
        RETURNING tool_runs.run_key
    ),

    -- The batches of every attempt: the attempt that stores the answer is the last.
    removed_batches AS (
        DELETE FROM stream_batches
        USING released_turn
        WHERE
            stream_batches.conversation_id = released_turn.id
            AND stream_batches.user_id IS NOT DISTINCT FROM finish_turn.user_id
        RETURNING stream_batches.turn_id, stream_batches.first_part, stream_batches.parts
    ),

    -- Readers come back within a minute, or not at all.
    removed_streams AS (
        DELETE FROM finished_streams
        USING released_turn
        WHERE
            finished_streams.conversation_id = released_turn.id
            AND finished_streams.user_id IS NOT DISTINCT FROM finish_turn.user_id
            AND finished_streams.ended_at < released_turn.updated_at - interval '1 minute'
        RETURNING finished_streams.turn_id
    ),

    finished_stream AS (
        INSERT INTO finished_streams (
            conversation_id, turn_id, user_id, answer_message_id, parts, ended_at
        )
        SELECT
            released_turn.id,
            finish_turn.turn_id,
            released_turn.user_id,
            finish_turn.answer_message_id,
            coalesce(
                (
                    SELECT string_agg(removed_batches.parts, '' ORDER BY removed_batches.first_part)
                    FROM removed_batches
                    WHERE
                        removed_batches.turn_id = finish_turn.turn_id
                        AND removed_batches.first_part < finish_turn.stored_parts
                ),
                ''
            )
            || finish_turn.parts
            || CASE WHEN released_turn.title = finish_turn.title THEN finish_turn.title_parts ELSE '' END
            || finish_turn.last_parts,
            released_turn.updated_at
        FROM released_turn
        RETURNING finished_streams.conversation_id
    ),

    stored_answer AS (
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
        SELECT
            released_turn.id,
            released_turn.user_id,
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
            released_turn.updated_at,
            released_turn.updated_at
        FROM released_turn
        CROSS JOIN superseded
        RETURNING chat_messages.id, chat_messages.created_at
    )

    SELECT
        stored_answer.id,
        stored_answer.created_at,
        released_turn.title
    FROM stored_answer
    CROSS JOIN released_turn
    -- The call costs a tenth of this function, so it is left out where
    -- no quota counts.
    LEFT JOIN
        LATERAL (
            SELECT
                count_tokens(
                    finish_turn.quota_subjects,
                    least(
                        coalesce(finish_turn.prompt_tokens, 0)::bigint
                        + coalesce(finish_turn.completion_tokens, 0)
                        + finish_turn.paid_prompt_tokens
                        + finish_turn.paid_completion_tokens,
                        2147483647
                    )::integer,
                    released_turn.updated_at
                )
            WHERE cardinality(finish_turn.quota_subjects) > 0
        ) AS counted
        ON TRUE
    UNION ALL
    -- The answer that an earlier try of this call stored; not the one that another attempt stored under the same id
    -- after the lease ran out.
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
END
$$;
COMMENT ON FUNCTION finish_turn(
    uuid, text, uuid, text, bigint, text, text, text, integer, integer, integer, double precision, json, json, json,
    text, text, text, text, double precision, boolean, boolean, text, boolean, integer, integer, text[], text, text,
    integer, text, text, text, timestamptz
)
IS 'Parley: stores the answer and gives the turn back';
REVOKE EXECUTE ON FUNCTION finish_turn(
    uuid, text, uuid, text, bigint, text, text, text, integer, integer, integer, double precision, json, json, json,
    text, text, text, text, double precision, boolean, boolean, text, boolean, integer, integer, text[], text, text,
    integer, text, text, text, timestamptz
) FROM public;
GRANT EXECUTE ON FUNCTION finish_turn(
    uuid, text, uuid, text, bigint, text, text, text, integer, integer, integer, double precision, json, json, json,
    text, text, text, text, double precision, boolean, boolean, text, boolean, integer, integer, text[], text, text,
    integer, text, text, text, timestamptz
) TO parley_app;
