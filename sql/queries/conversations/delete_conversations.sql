-- delete_conversations :many
-- Delete a batch of the caller's conversations, with their messages.
--
-- Parameters
--   user_id     text     the caller; an anonymous caller has none
--   batch_size  integer  how many at most
--
-- Returns 0 to batch_size rows: id; fewer than batch_size: none is left.
-- Index idx_conversations_user_recent.
-- Locked as they are chosen: one that somebody else is just deleting makes room for the next, where the
-- batch would be short. In the order of the index, so that two who delete at once wait in turn.
WITH
doomed AS (
    SELECT conversations.id
    FROM conversations
    WHERE conversations.user_id = %(user_id)s::text
    ORDER BY conversations.updated_at DESC, conversations.id DESC
    LIMIT %(batch_size)s::integer
    FOR UPDATE
)

DELETE FROM conversations
WHERE
    conversations.user_id = %(user_id)s::text
    AND conversations.id = any(array(SELECT doomed.id FROM doomed))
RETURNING conversations.id;
