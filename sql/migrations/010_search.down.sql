-- Takes back 010 search. Lost: nothing stored.

DROP FUNCTION IF EXISTS search_conversations(text, text, timestamptz, integer);
DROP FUNCTION IF EXISTS search_vector(text, text);
