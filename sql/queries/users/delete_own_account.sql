-- delete_own_account :exec
-- Delete the caller and everything that is theirs.
--
-- Index users_pkey, idx_conversations_user_id, idx_quotas_user_id.
-- A function, since it reaches tables that the caller does not. It takes no id: the caller is whom
-- act_as_caller let in (009_accounts.sql).
SELECT delete_own_account();
