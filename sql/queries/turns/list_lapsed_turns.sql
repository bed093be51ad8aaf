-- list_lapsed_turns :many
-- Attempts of all callers whose lease has run out, and that have left parts of an answer; for the cron alone.
--
-- Those without parts have nothing to store: the next message of the conversation takes the turn. So no index of
-- conversations has the lease, which each turn changes twice.
--
-- Parameters
--   batch_size  integer      rows wanted at most
--   now         timestamptz  the time; null: the database's clock
--
-- Returns 0 or more rows, the oldest answer first: conversation_id, user_id, turn_id.
-- Index idx_stream_batches_created_at, conversations_pkey.
SELECT
    conversations.id AS conversation_id,
    conversations.user_id,
    conversations.turn_id
FROM stream_batches
INNER JOIN conversations
    ON stream_batches.conversation_id = conversations.id AND stream_batches.turn_id = conversations.turn_id
WHERE
    stream_batches.first_part = 0
    AND conversations.turn_expires_at <= coalesce(%(now)s::timestamptz, now())
ORDER BY stream_batches.created_at
LIMIT %(batch_size)s::integer;
