-- find_left_turn :one
-- The question and the stored parts of an abandoned attempt, from which its answer is recovered.
--
-- Parameters
--   conversation_id  uuid         the conversation
--   user_id          text         the caller; null: anonymous
--   turn_id          uuid         token of the attempt
--   retention_days   integer      an older question counts as deleted; 0: no limit
--   now              timestamptz  the time; null: the database's clock
--
-- Returns 0 or 1 row: question_id, question_content (both null: the question was deleted), and parts, up to
-- the first that is missing ('': none). 0: that attempt has lost the turn.
-- Index conversations_pkey, uq_chat_messages_message_id, stream_batches_pkey.
SELECT
    chat_messages.id AS question_id,
    chat_messages.content AS question_content,
    coalesce(
        (
            SELECT string_agg(batches.parts, '' ORDER BY batches.first_part)
            FROM (
                SELECT
                    stream_batches.first_part,
                    stream_batches.parts,
                    sum(stream_batches.part_count) OVER (
                        ORDER BY stream_batches.first_part
                        ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
                    ) AS parts_before
                FROM stream_batches
                WHERE
                    stream_batches.conversation_id = conversations.id
                    AND stream_batches.turn_id = conversations.turn_id
                    AND stream_batches.user_id IS NOT DISTINCT FROM %(user_id)s::text
            ) AS batches
            -- Up to the first gap: a crash of the database may have lost batches (store_stream_batches).
            WHERE batches.first_part = coalesce(batches.parts_before, 0)
        ),
        ''
    ) AS parts
FROM conversations
LEFT JOIN chat_messages
    ON
        conversations.id = chat_messages.conversation_id
        AND conversations.turn_message_id = chat_messages.message_id
        AND chat_messages.superseded_at IS NULL
        AND chat_messages.user_id IS NOT DISTINCT FROM %(user_id)s::text
        AND is_kept(chat_messages.created_at, %(retention_days)s::integer, %(now)s::timestamptz)
WHERE
    conversations.id = %(conversation_id)s::uuid
    AND conversations.user_id IS NOT DISTINCT FROM %(user_id)s::text
    AND conversations.turn_id = %(turn_id)s::uuid;
