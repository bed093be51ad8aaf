-- 013 mistake index: the answers that a user has marked as mistakes.
--
-- Locks: none that a turn waits for. Built CONCURRENTLY (sql/apply_indexes.sql).
-- Undo: 013_mistake_index.down.sql.

-- list_mistakes: the order of the page. Few answers are marked, so it is small.
-- squawk-ignore ban-concurrent-index-creation-in-transaction
CREATE INDEX CONCURRENTLY IF NOT EXISTS idx_chat_messages_mistakes
ON chat_messages (user_id, created_at DESC, id DESC) WHERE is_mistake;
