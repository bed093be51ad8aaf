-- erase_conversation :one
-- Delete a conversation by its key, also one that a user has claimed since.
--
-- Parameters, result and indexes: sql/functions/erase_conversation.sql.
SELECT erased.id
FROM erase_conversation(%(conversation_id)s::uuid) AS erased (id);
