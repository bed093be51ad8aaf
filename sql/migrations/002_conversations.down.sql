-- Takes back 002 conversations. Lost: every conversation.

DROP TABLE IF EXISTS conversations;
