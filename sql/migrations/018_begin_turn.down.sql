-- Takes back 018 begin turn. Lost: nothing stored.

DROP FUNCTION IF EXISTS begin_turn;
