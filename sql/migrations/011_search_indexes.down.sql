-- Takes back 011 search indexes. Lost: nothing stored.

DROP INDEX IF EXISTS idx_chat_messages_conversation_order;
DROP INDEX IF EXISTS idx_conversations_search;
DROP INDEX IF EXISTS idx_chat_messages_search;
