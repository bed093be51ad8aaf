-- act_as_caller :exec
-- Limit the rest of the round trip to the rows of one caller.
--
-- The function does four things in this order: it checks the account, looks whether the caller reaches the anonymous
-- conversation, says who the caller is, and changes the role.
-- Parameters, result and indexes: sql/functions/act_as_caller.sql.
SELECT
    act_as_caller(
        %(user_id)s::text,
        %(conversation_id)s::uuid,
        %(needs_account)s::boolean,
        %(token_issued_at)s::timestamptz,
        %(key_hash)s::bytea,
        %(client_subject)s::text,
        %(timeout_ms)s::integer,
        %(approach)s::text
    );
