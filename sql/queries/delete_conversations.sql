-- delete_conversations :many
-- Delete a batch of the caller's conversations, with their messages.
--
-- Parameters
--   user_id     text     the caller; an anonymous caller has none
--   batch_size  integer  how many at most
--
-- Returns 0 to batch_size rows: id; fewer than batch_size: none is left.
-- Index idx_conversations_user_recent.
DELETE FROM conversations
WHERE
    conversations.user_id = %(user_id)s::text
    AND conversations.id = any(array(
        SELECT doomed.id
        FROM conversations AS doomed
        WHERE doomed.user_id = %(user_id)s::text
        LIMIT %(batch_size)s::integer
    ))
RETURNING conversations.id;
