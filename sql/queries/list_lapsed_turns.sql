-- list_lapsed_turns :many
-- Attempts whose lease has run out, with parts left behind, whosever they are; for the cron alone.
--
-- Parameters
--   batch_size  integer      rows wanted at most
--   now         timestamptz  null: the database's clock
--
-- Returns 0 or more rows, those that began first before the others: conversation_id, user_id, turn_id.
-- Index idx_stream_batches_created_at, conversations_pkey.
-- Each looked up, in the order of the first index: else the planner would read all conversations.
SELECT
    lapsed.conversation_id,
    lapsed.user_id,
    lapsed.turn_id
FROM stream_batches
CROSS JOIN
    LATERAL (
        SELECT
            conversations.id AS conversation_id,
            conversations.user_id,
            conversations.turn_id
        FROM conversations
        WHERE
            conversations.id = stream_batches.conversation_id
            AND conversations.turn_id = stream_batches.turn_id
            AND conversations.turn_expires_at <= coalesce(%(now)s::timestamptz, now())
        LIMIT 1
    ) AS lapsed
WHERE stream_batches.first_part = 0
ORDER BY stream_batches.created_at
LIMIT %(batch_size)s::integer;
