-- delete_conversations :many
-- Delete a batch of the caller's conversations, with their messages.
--
-- Parameters
--   user_id     text     the caller; an anonymous caller has none
--   batch_size  integer  rows to delete at most
--
-- Returns 0 to batch_size rows: id. Fewer than batch_size: no conversation is left.
-- Index idx_conversations_user_id.
-- FOR UPDATE while choosing: a row that another session is deleting makes room for the next one instead of
-- shortening the batch. The order of the index lets two deleting sessions wait in turn, without a deadlock.
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
