-- finish_turn :one
-- Store the answer and give the turn back, if this attempt still holds it.
--
-- Sent after lock_conversation, in the same round trip. May be sent again when it is unknown whether
-- it arrived: it then finds what it stored. What the answer replaces (an earlier answer, and what was
-- said after that) is superseded now, since now there is an answer. The answer's stream becomes one piece,
-- for who still reads it.
--
-- Parameters
--   conversation_id    uuid         which
--   user_id            text         the caller; null: anonymous
--   turn_id            uuid         token of this attempt
--   answer_message_id  text         id of the answer, as clients see it
--   question_id        bigint       chat_messages.id of the question
--   content            text         the answer's text; '' if nothing but tool calls came
--   finish_reason      text         see the column
--   model_name         text         as the provider names it; null: it did not say
--   prompt_tokens      integer      null: the provider did not say
--   completion_tokens  integer      null: the provider did not say
--   tool_calls         jsonb        what tools were called, with what came of it; null: none
--   persona            text         as chosen; null: none was
--   tone               text         as chosen, or as the analysis says; null: neither
--   behavior           text         as chosen, or as the analysis says; null: neither
--   context_type       text         this and the following as the analysis says; null: it does not
--   signal_strength    double precision  0 to 1
--   context_clarity    boolean      was the context clear?
--   needs_knowledge    boolean      did the question need knowledge from elsewhere? null: false
--   title              text         a title by the model; null: none came
--   first_title        text         the automatic one; a title that is another by now is its user's,
--                                   and stays
--   stored_parts       integer      how many parts of its stream are known to be stored in batches
--   parts              text         those after them, up to the end of what the model said
--   title_parts        text         what then tells of the new title, if the conversation takes it
--   last_parts         text         what ends the stream
--   now                timestamptz  null: the database's clock
--
-- Returns 1 row: id, created_at of the answer, and the conversation's title as it is now. 0 rows: the
-- lease was lost, or the conversation is gone, and nothing was stored.
-- Index conversations_pkey, chat_messages_pkey, uq_chat_messages_message_id, tool_runs_pkey,
-- stream_batches_pkey, finished_streams_pkey.
WITH
released_turn AS (
    UPDATE conversations
    SET
        turn_id = NULL,
        turn_message_id = NULL,
        turn_expires_at = NULL,
        title = CASE
            WHEN conversations.title = %(first_title)s::text
                THEN coalesce(%(title)s::text, conversations.title)
            ELSE conversations.title
        END,
        updated_at = coalesce(%(now)s::timestamptz, now())
    WHERE
        conversations.id = %(conversation_id)s::uuid
        AND conversations.user_id IS NOT DISTINCT FROM %(user_id)s::text
        AND conversations.turn_id = %(turn_id)s::uuid
    RETURNING
        conversations.id, conversations.user_id, conversations.title, conversations.updated_at
),

superseded_messages AS (
    UPDATE chat_messages
    SET superseded_at = released_turn.updated_at
    FROM released_turn
    WHERE
        chat_messages.conversation_id = %(conversation_id)s::uuid
        AND chat_messages.user_id IS NOT DISTINCT FROM %(user_id)s::text
        AND chat_messages.superseded_at IS NULL
        AND chat_messages.role <> 'system'
        AND chat_messages.id > %(question_id)s::bigint
    RETURNING chat_messages.id
),

-- Counted, so that the replaced answer has given its place free before the new one takes it.
superseded AS (
    SELECT count(superseded_messages.id) AS message_count FROM superseded_messages
),

-- The answer tells what was run. One that failed is tried again, and must not run it again.
forgotten_tool_runs AS (
    DELETE FROM tool_runs
    USING released_turn
    WHERE
        tool_runs.conversation_id = released_turn.id
        AND tool_runs.user_id = %(user_id)s::text
        AND tool_runs.question_id = %(question_id)s::bigint
        AND %(finish_reason)s::text NOT IN ('error', 'interrupted')
    RETURNING tool_runs.run_key
),

-- Of any attempt: whoever stores an answer is the last.
removed_batches AS (
    DELETE FROM stream_batches
    USING released_turn
    WHERE
        stream_batches.conversation_id = released_turn.id
        AND stream_batches.user_id IS NOT DISTINCT FROM %(user_id)s::text
    RETURNING stream_batches.turn_id, stream_batches.first_part, stream_batches.parts
),

-- Nobody comes back to those.
removed_streams AS (
    DELETE FROM finished_streams
    USING released_turn
    WHERE
        finished_streams.conversation_id = released_turn.id
        AND finished_streams.user_id IS NOT DISTINCT FROM %(user_id)s::text
        AND finished_streams.ended_at < released_turn.updated_at - interval '1 minute'
    RETURNING finished_streams.turn_id
),

finished_stream AS (
    INSERT INTO finished_streams (
        conversation_id, turn_id, user_id, answer_message_id, parts, ended_at
    )
    SELECT
        released_turn.id,
        %(turn_id)s::uuid,
        released_turn.user_id,
        %(answer_message_id)s::text,
        coalesce(
            (
                SELECT string_agg(removed_batches.parts, '' ORDER BY removed_batches.first_part)
                FROM removed_batches
                WHERE
                    removed_batches.turn_id = %(turn_id)s::uuid
                    AND removed_batches.first_part < %(stored_parts)s::integer
            ),
            ''
        )
        || %(parts)s::text
        || CASE WHEN released_turn.title = %(title)s::text THEN %(title_parts)s::text ELSE '' END
        || %(last_parts)s::text,
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
        tool_calls,
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
        %(answer_message_id)s::text,
        'assistant',
        %(content)s::text,
        %(question_id)s::bigint,
        %(finish_reason)s::text,
        %(model_name)s::text,
        %(prompt_tokens)s::integer,
        %(completion_tokens)s::integer,
        %(tool_calls)s::jsonb,
        %(persona)s::text,
        %(tone)s::text,
        %(behavior)s::text,
        %(context_type)s::text,
        %(signal_strength)s::double precision,
        %(context_clarity)s::boolean,
        coalesce(%(needs_knowledge)s::boolean, FALSE),
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
UNION ALL
-- An earlier try of this very statement; not what somebody else has stored of this answer, under its id,
-- when its lease had run out.
SELECT
    chat_messages.id,
    chat_messages.created_at,
    conversations.title
FROM chat_messages
INNER JOIN conversations ON chat_messages.conversation_id = conversations.id
WHERE
    chat_messages.conversation_id = %(conversation_id)s::uuid
    AND chat_messages.user_id IS NOT DISTINCT FROM %(user_id)s::text
    AND conversations.user_id IS NOT DISTINCT FROM %(user_id)s::text
    AND chat_messages.message_id = %(answer_message_id)s::text
    AND chat_messages.content = %(content)s::text
    AND chat_messages.finish_reason IS NOT DISTINCT FROM %(finish_reason)s::text
    AND chat_messages.superseded_at IS NULL;
