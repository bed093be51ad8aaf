-- Takes back 009 accounts. Lost: nothing stored; local accounts stay in `users`.

DROP FUNCTION IF EXISTS delete_own_account();
DROP FUNCTION IF EXISTS find_account(text);
DROP FUNCTION IF EXISTS register_account(text, text, text, text);
