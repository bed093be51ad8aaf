-- user_state
-- Returns whether a user may use the product with a token.
--
-- There are two definitions. An application's own table may lack the columns is_active and tokens_valid_from, so its
-- row is read as JSON; the columns of Parley's own table are read as they are, in half the time.
--
-- Parameters
--   user_id          text         the user
--   token_issued_at  timestamptz  when the token was issued; null: the token does not say, so it counts as old
--
-- Returns 'active', also where there are no such columns; 'inactive': switched off; 'signed_out': the token was issued
-- before tokens_valid_from; 'deleted': the user was deleted after the token was issued; null: there is no such user.
-- Index users_pkey; deleted_users_pkey for a user who is not stored.
DO $create$
BEGIN
    IF obj_description('users'::regclass, 'pg_class') LIKE 'Parley:%' THEN
        CREATE OR REPLACE FUNCTION user_state(user_id text, token_issued_at timestamptz)
        RETURNS text LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path FROM CURRENT AS $$
        DECLARE
            stored_user record;
        BEGIN
            SELECT
                users.is_active,
                users.tokens_valid_from
            INTO stored_user
            FROM users
            WHERE users.id = user_state.user_id;
            -- By itself, because an expression with a query in it is slower than one without, also where it is not run.
            IF NOT FOUND THEN
                IF user_id IS NOT NULL AND EXISTS (
                    SELECT FROM deleted_users
                    WHERE
                        deleted_users.id_hash = sha256(convert_to(user_state.user_id, 'UTF8'))
                        AND deleted_users.deleted_at > coalesce(token_issued_at, '-infinity')
                        AND deleted_users.ends_at > now()
                ) THEN
                    RETURN 'deleted';
                END IF;
                RETURN NULL;
            END IF;
            RETURN CASE
                WHEN NOT stored_user.is_active THEN 'inactive'
                WHEN coalesce(token_issued_at, '-infinity') < stored_user.tokens_valid_from THEN 'signed_out'
                ELSE 'active'
            END;
        END
        $$;
    ELSE
        CREATE OR REPLACE FUNCTION user_state(user_id text, token_issued_at timestamptz)
        RETURNS text LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path FROM CURRENT AS $$
        DECLARE
            fields jsonb;
        BEGIN
            -- The parameter with the function's name: the table may have a column `user_id`, which would take
            -- precedence.
            SELECT to_jsonb(users) INTO fields FROM users WHERE users.id = user_state.user_id;
            RETURN CASE
                WHEN NOT FOUND THEN NULL
                WHEN fields ->> 'is_active' <> 'true' THEN 'inactive'
                -- Of an application's own column only a time counts, so that no other value locks the user out.
                WHEN
                    coalesce(token_issued_at, '-infinity') < CASE
                        WHEN fields ->> 'tokens_valid_from' ~ '^(infinity$|[0-9]+-[0-9]{2}-[0-9]{2})'
                            THEN (fields ->> 'tokens_valid_from')::timestamptz
                    END
                    THEN 'signed_out'
                ELSE 'active'
            END;
        END
        $$;
    END IF;
END
$create$;
COMMENT ON FUNCTION user_state(text, timestamptz)
IS 'Parley: may this user use the product with a token issued then? NULL: there is no such user';
