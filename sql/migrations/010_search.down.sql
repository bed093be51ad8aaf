-- Takes back 010 search. Lost: nothing stored.

DROP FUNCTION IF EXISTS search_conversations;
DROP INDEX IF EXISTS idx_conversations_search;
DROP INDEX IF EXISTS idx_chat_messages_search;
DROP FUNCTION IF EXISTS search_vector;
