-- Takes back 013 mistake index. Lost: nothing stored.

DROP INDEX IF EXISTS idx_chat_messages_mistakes;
