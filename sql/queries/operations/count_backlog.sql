-- count_backlog :one
-- What waits to be done: the oldest message, and the turns that are taken; for the metrics alone.
--
-- Parameters
--   now  timestamptz  null: the database's clock
--
-- Returns 1 row: oldest_message_at (null: there is none), turns_running, turns_lapsed (their lease ran out,
-- and nobody has taken the turn since: their function was ended before it could give it back), streams_kept
-- (answers that are not stored yet, whose parts are kept in batches).
-- Index idx_chat_messages_created_at, idx_conversations_turn_expires_at, idx_stream_batches_created_at.
SELECT
    (SELECT min(chat_messages.created_at) FROM chat_messages) AS oldest_message_at,
    (
        SELECT count(*)
        FROM conversations
        WHERE conversations.turn_expires_at > coalesce(%(now)s::timestamptz, now())
    ) AS turns_running,
    (
        SELECT count(*)
        FROM conversations
        WHERE conversations.turn_expires_at <= coalesce(%(now)s::timestamptz, now())
    ) AS turns_lapsed,
    (
        SELECT count(*)
        FROM stream_batches
        WHERE stream_batches.first_part = 0
    ) AS streams_kept;
