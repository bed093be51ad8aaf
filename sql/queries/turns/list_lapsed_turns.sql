-- list_lapsed_turns :many
-- Attempts of all callers whose lease has run out; for the cron alone.
--
-- Parameters
--   batch_size  integer      rows wanted at most
--   now         timestamptz  the time; null: the database's clock
--
-- Returns 0 or more rows, the oldest lapse first: conversation_id, user_id, turn_id.
-- Index idx_conversations_turn_expires_at.
SELECT
    conversations.id AS conversation_id,
    conversations.user_id,
    conversations.turn_id
FROM conversations
WHERE conversations.turn_expires_at <= coalesce(%(now)s::timestamptz, now())
ORDER BY conversations.turn_expires_at
LIMIT %(batch_size)s::integer;
