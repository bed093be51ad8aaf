-- Takes back 005 retention. Lost: nothing stored.

DROP FUNCTION IF EXISTS delete_old_chat_messages(interval, integer);
