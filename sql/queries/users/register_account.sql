-- register_account :exec
-- Make a local account, unless the address has one; the caller does not learn which.
--
-- Parameters, result and indexes: sql/functions/register_account.sql.
SELECT register_account(
    %(account_id)s::text, %(account_email)s::text, %(account_name)s::text, %(password_hash)s::text
);
