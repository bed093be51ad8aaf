-- user_state
-- Returns whether a user may use the product with a token.
--
-- Reads the row as JSON, because an application's own table may lack the columns is_active and tokens_valid_from.
--
-- Parameters
--   user_id          text         the user
--   token_issued_at  timestamptz  when the token was issued; null: the token does not say, so it counts as old
--
-- Returns 'active', also where there are no such columns; 'inactive': switched off; 'signed_out': the token was issued
-- before tokens_valid_from; null: there is no such user.
-- Index users_pkey.
CREATE OR REPLACE FUNCTION user_state(user_id text, token_issued_at timestamptz)
RETURNS text LANGUAGE sql STABLE SECURITY DEFINER SET search_path FROM CURRENT AS $$
    SELECT
        CASE
            WHEN stored_user.fields ->> 'is_active' <> 'true' THEN 'inactive'
            -- Of an application's own column only a time counts, so that no other value locks the user out.
            WHEN
                coalesce(user_state.token_issued_at, '-infinity') < CASE
                    WHEN stored_user.fields ->> 'tokens_valid_from' ~ '^(infinity$|\d+-\d\d-\d\d)'
                        THEN (stored_user.fields ->> 'tokens_valid_from')::timestamptz
                END
                THEN 'signed_out'
            ELSE 'active'
        END
    FROM (
        -- The parameter with the function's name: the table may have a column `user_id`, which would take precedence.
        -- OFFSET keeps the row from becoming JSON once for each field.
        SELECT to_jsonb(users) AS fields
        FROM users
        WHERE users.id = user_state.user_id
        OFFSET 0
    ) AS stored_user;
$$;
COMMENT ON FUNCTION user_state(text, timestamptz)
IS 'Parley: may this user use the product with a token issued then? NULL: there is no such user';
-- It answers for any user, so only the owner may ask.
REVOKE EXECUTE ON FUNCTION user_state(text, timestamptz) FROM public;
