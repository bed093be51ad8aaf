-- Takes back 019 finish turn. Lost: nothing stored.

DROP FUNCTION IF EXISTS finish_turn;
