-- export_finished_streams :many
-- The streams of the caller's last answers, until they expire, with every column; for the export.
--
-- Parameters
--   user_id                 text         the caller
--   retention_days          integer      the streams of answers to older questions are not shown; 0: no limit
--   cursor_conversation_id  uuid         conversation_id of the last row seen; null: the first batch
--   cursor_turn_id          uuid         turn_id of that row; null: the first batch
--   batch_size              integer      rows wanted
--   max_bytes               bigint       the batch ends with the row that reaches so many bytes
--   now                     timestamptz  the time; null: the database's clock
--
-- Returns 0 to batch_size rows: conversation_id, turn_id, and content, a JSON object of the row's columns. Fewer: these
-- are the last, or have max_bytes.
-- A scalar subquery: each stream's answer is looked up by an index in every plan.
-- Index idx_conversations_user_id, finished_streams_pkey, uq_chat_messages_message_id.
WITH batch AS (
    SELECT
        finished_streams.conversation_id,
        finished_streams.turn_id,
        to_jsonb(finished_streams)::text AS content
    FROM conversations
    INNER JOIN finished_streams ON conversations.id = finished_streams.conversation_id
    WHERE
        conversations.user_id = %(user_id)s::text
        AND finished_streams.user_id = %(user_id)s::text
        AND (finished_streams.conversation_id, finished_streams.turn_id) > (
            coalesce(%(cursor_conversation_id)s::uuid, '00000000-0000-0000-0000-000000000000'),
            coalesce(%(cursor_turn_id)s::uuid, '00000000-0000-0000-0000-000000000000')
        )
        -- A stream may hold a title, which was made of the question and expires with it. A replaced answer has no readers.
        AND (
            SELECT answer.id
            FROM chat_messages AS answer
            CROSS JOIN
                LATERAL (
                    VALUES (
                        coalesce(
                            (
                                SELECT question.created_at
                                FROM chat_messages AS question
                                WHERE
                                    question.conversation_id = answer.conversation_id
                                    AND question.user_id = %(user_id)s::text
                                    AND question.id = answer.reply_to
                            ),
                            answer.created_at
                        )
                    )
                ) AS oldest (created_at)
            WHERE
                answer.conversation_id = finished_streams.conversation_id
                AND answer.user_id = %(user_id)s::text
                AND answer.message_id = finished_streams.answer_message_id
                AND answer.superseded_at IS NULL
                AND is_kept(oldest.created_at, %(retention_days)s::integer, %(now)s::timestamptz)
        ) IS NOT NULL
    ORDER BY finished_streams.conversation_id, finished_streams.turn_id
    LIMIT %(batch_size)s::integer
),

measured AS (
    SELECT
        batch.conversation_id,
        batch.turn_id,
        batch.content,
        sum(octet_length(batch.content)) OVER (ORDER BY batch.conversation_id, batch.turn_id ROWS UNBOUNDED PRECEDING)
        - octet_length(batch.content) AS earlier_bytes
    FROM batch
)

SELECT
    measured.conversation_id,
    measured.turn_id,
    measured.content
FROM measured
WHERE measured.earlier_bytes < %(max_bytes)s::bigint
ORDER BY measured.conversation_id, measured.turn_id;
