-- delete_own_account :exec
-- Delete the caller and everything that is theirs, but for the counters of the day, which name nobody.
--
-- Index users_pkey, idx_conversations_user_id.
-- The function: sql/functions/delete_own_account.sql.
SELECT delete_own_account();
