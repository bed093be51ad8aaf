-- Takes back 004 chat messages. Lost: every message.

DROP FUNCTION IF EXISTS delete_old_conversations;
DROP FUNCTION IF EXISTS list_turn_messages;
DROP TABLE IF EXISTS chat_messages;
