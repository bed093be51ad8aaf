-- Takes back 003 conversations. Lost: every conversation.

DROP TABLE IF EXISTS conversations;
