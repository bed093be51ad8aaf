-- Takes back 003 chat messages. Lost: every message.

DROP TABLE IF EXISTS chat_messages;
