-- count_backlog :one
-- The backlog: the oldest message, and the turns that are taken; for the metrics alone.
--
-- Parameters
--   now  timestamptz  the time; null: the database's clock
--
-- Returns 1 row: oldest_message_at (null: no message), turns_running, turns_lapsed (of the last hour: the lease ran
-- out, because the function was ended before it could give the turn back, and no request has taken the turn since), and
-- streams_kept (unfinished answers with parts stored in batches). No function runs for an hour, and a turn begins with a
-- use of its conversation, so an index of the uses serves instead of one of the leases.
-- Index idx_chat_messages_created_at, idx_conversations_updated_at, idx_stream_batches_created_at.
SELECT
    (SELECT min(chat_messages.created_at) FROM chat_messages) AS oldest_message_at,
    (
        SELECT count(*)
        FROM conversations
        WHERE
            conversations.updated_at > coalesce(%(now)s::timestamptz, now()) - interval '1 hour'
            AND conversations.turn_expires_at > coalesce(%(now)s::timestamptz, now())
    ) AS turns_running,
    (
        SELECT count(*)
        FROM conversations
        WHERE
            conversations.updated_at > coalesce(%(now)s::timestamptz, now()) - interval '1 hour'
            AND conversations.turn_expires_at <= coalesce(%(now)s::timestamptz, now())
    ) AS turns_lapsed,
    (
        SELECT count(*)
        FROM stream_batches
        WHERE stream_batches.first_part = 0
    ) AS streams_kept;
