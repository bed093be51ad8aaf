-- 017 turn index: the conversations whose turn is taken.
--
-- Locks: none that a turn waits for. Built CONCURRENTLY (sql/apply_indexes.sql).
-- Undo: 017_turn_index.down.sql.

-- count_backlog: turns that run, and those whose lease ran out. Few conversations have one, so it is small.
-- squawk-ignore ban-concurrent-index-creation-in-transaction
CREATE INDEX CONCURRENTLY IF NOT EXISTS idx_conversations_turn_expires_at
ON conversations (turn_expires_at) WHERE turn_expires_at IS NOT NULL;
