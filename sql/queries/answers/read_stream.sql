-- read_stream :many
-- The stored parts of a running or just finished answer, from a given part on.
--
-- A follower of an answer that another process makes polls with this statement.
--
-- Parameters
--   conversation_id  uuid         the conversation
--   user_id          text         the caller; null: anonymous
--   turn_id          uuid         the attempt to follow; null: the running one, else the one of the last
--                                 answer, if that ended within the last minute and was neither stopped
--                                 nor replaced
--   first_part       integer      number of the first part wanted
--   retention_days   integer      a dead attempt at an older question has no parts; 0: no limit
--   now              timestamptz  the time; null: the database's clock
--
-- Returns 0 or more rows, in order: turn_id; state: `running`, `lapsed` (the lease has run out, so no
-- process makes the answer any more), `ended`, or `stopped` (before its first part); first_part, the number
-- of the first part in the row; and parts. The last two are null when no part is stored. 0 rows: there is
-- no such answer, or the attempt ended without one.
-- Index conversations_pkey, stream_batches_pkey, finished_streams_pkey, uq_chat_messages_message_id.
WITH
conversation AS (
    SELECT
        conversations.id,
        conversations.turn_id,
        conversations.turn_message_id,
        conversations.stopped_turn_id,
        CASE
            WHEN conversations.turn_expires_at > coalesce(%(now)s::timestamptz, now()) THEN 'running'
            ELSE 'lapsed'
        END AS state
    FROM conversations
    WHERE
        conversations.id = %(conversation_id)s::uuid
        AND conversations.user_id IS NOT DISTINCT FROM %(user_id)s::text
),

attempt AS (
    SELECT
        conversation.id AS conversation_id,
        conversation.turn_id,
        conversation.state
    FROM conversation
    WHERE
        conversation.turn_id = coalesce(%(turn_id)s::uuid, conversation.turn_id)
        -- An answer that was left unfinished expires with its question.
        AND (
            conversation.state = 'running'
            OR EXISTS (
                SELECT
                FROM chat_messages
                WHERE
                    chat_messages.conversation_id = conversation.id
                    AND chat_messages.user_id IS NOT DISTINCT FROM %(user_id)s::text
                    AND chat_messages.message_id = conversation.turn_message_id
                    AND chat_messages.superseded_at IS NULL
                    AND is_kept(chat_messages.created_at, %(retention_days)s::integer, %(now)s::timestamptz)
            )
        )
),

last_stream AS (
    SELECT
        finished_streams.turn_id,
        finished_streams.answer_message_id,
        finished_streams.parts,
        finished_streams.ended_at
    FROM conversation
    INNER JOIN finished_streams ON conversation.id = finished_streams.conversation_id
    WHERE
        NOT EXISTS (SELECT FROM attempt)
        AND finished_streams.user_id IS NOT DISTINCT FROM %(user_id)s::text
        AND finished_streams.turn_id = coalesce(%(turn_id)s::uuid, finished_streams.turn_id)
    ORDER BY finished_streams.ended_at DESC
    LIMIT 1
),

finished AS (
    SELECT
        last_stream.turn_id,
        last_stream.parts
    FROM last_stream
    WHERE
        %(turn_id)s::uuid IS NOT NULL
        OR (
            last_stream.ended_at > coalesce(%(now)s::timestamptz, now()) - interval '1 minute'
            AND EXISTS (
                SELECT
                FROM chat_messages
                WHERE
                    chat_messages.conversation_id = %(conversation_id)s::uuid
                    AND chat_messages.user_id IS NOT DISTINCT FROM %(user_id)s::text
                    AND chat_messages.message_id = last_stream.answer_message_id
                    AND chat_messages.superseded_at IS NULL
                    AND coalesce(chat_messages.finish_reason, 'stop') <> 'aborted'
            )
        )
)

SELECT
    attempt.turn_id,
    attempt.state,
    stream_batches.first_part,
    stream_batches.parts
FROM attempt
LEFT JOIN stream_batches
    ON
        attempt.conversation_id = stream_batches.conversation_id
        AND attempt.turn_id = stream_batches.turn_id
        AND stream_batches.user_id IS NOT DISTINCT FROM %(user_id)s::text
        AND stream_batches.first_part + stream_batches.part_count > %(first_part)s::integer
UNION ALL
SELECT
    finished.turn_id,
    'ended' AS state,
    0 AS first_part,
    finished.parts
FROM finished
UNION ALL
SELECT
    conversation.stopped_turn_id AS turn_id,
    'stopped' AS state,
    NULL AS first_part,
    NULL AS parts
FROM conversation
WHERE
    conversation.stopped_turn_id = %(turn_id)s::uuid
    AND NOT EXISTS (SELECT FROM attempt)
    AND NOT EXISTS (SELECT FROM finished)
ORDER BY first_part;
