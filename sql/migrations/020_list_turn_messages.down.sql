-- Takes back 020 list turn messages. Lost: nothing stored.

DROP FUNCTION IF EXISTS list_turn_messages;
