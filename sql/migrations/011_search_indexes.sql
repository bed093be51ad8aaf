-- 011 search indexes: full text; and what is looked at of a conversation without reading its messages.
--
-- Locks: none that a turn waits for. Built CONCURRENTLY, outside of a transaction, so one that was
-- interrupted is begun anew (sql/apply_indexes.sql).
-- Undo: 011_search_indexes.down.sql.

-- search_conversations: messages.
-- squawk-ignore ban-concurrent-index-creation-in-transaction
CREATE INDEX CONCURRENTLY IF NOT EXISTS idx_chat_messages_search
ON chat_messages USING gin (search_vector(user_id, content))
WHERE user_id IS NOT NULL AND superseded_at IS NULL;

-- search_conversations: titles.
-- squawk-ignore ban-concurrent-index-creation-in-transaction
CREATE INDEX CONCURRENTLY IF NOT EXISTS idx_conversations_search
ON conversations USING gin (search_vector(user_id, title))
WHERE user_id IS NOT NULL;

-- list_conversations, find_conversation_summary: count messages; list_messages: choose a page of them.
-- squawk-ignore ban-concurrent-index-creation-in-transaction
CREATE INDEX CONCURRENTLY IF NOT EXISTS idx_chat_messages_conversation_order
ON chat_messages (conversation_id, id DESC) INCLUDE (user_id, role, superseded_at, created_at);
