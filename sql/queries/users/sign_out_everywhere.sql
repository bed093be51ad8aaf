-- sign_out_everywhere :exec
-- End all tokens of the caller that were issued until now.
--
-- Index users_pkey.
-- The function: sql/functions/sign_out_everywhere.sql.
SELECT sign_out_everywhere();
