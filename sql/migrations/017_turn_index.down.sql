-- Takes back 017 turn index. Lost: nothing stored.

DROP INDEX IF EXISTS idx_conversations_turn_expires_at;
