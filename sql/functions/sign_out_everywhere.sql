-- sign_out_everywhere
-- Ends all tokens of the caller that were issued until now.
--
-- It works outside the wall, because parley_app has no access to `users`, and takes the caller from act_as_caller.
-- Raises PA007 where an application's own `users` table has no column tokens_valid_from of type timestamptz: Parley
-- alters no table of an application's. lib/database/_problems.py turns the code into a problem.
--
-- Index users_pkey.
CREATE OR REPLACE FUNCTION sign_out_everywhere()
RETURNS void LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    caller_id CONSTANT text := nullif(current_setting('parley.user_id', TRUE), '');
BEGIN
    IF NOT EXISTS (
        SELECT FROM pg_attribute
        WHERE
            pg_attribute.attrelid = to_regclass('users')
            AND pg_attribute.attname = 'tokens_valid_from'
            AND pg_attribute.atttypid = 'timestamptz'::regtype
    ) THEN
        RAISE EXCEPTION USING
            ERRCODE = 'PA007',
            MESSAGE = 'the application''s own table "users" has no column tokens_valid_from';
    END IF;
    -- The time is read after the lock, so that it is later than the token of each log-in that had the lock before.
    PERFORM FROM users WHERE users.id = caller_id FOR NO KEY UPDATE;
    UPDATE users
    SET tokens_valid_from = greatest(clock_timestamp(), users.tokens_valid_from + interval '1 microsecond')
    WHERE users.id = caller_id;
END
$$;
COMMENT ON FUNCTION sign_out_everywhere()
IS 'Parley: ends all tokens of the caller that were issued until now';
