-- delete_own_account
-- Deletes the caller and all of the caller's rows.
--
-- It works outside the wall, because it deletes from tables that parley_app may only read, or not even that. It takes
-- no id, so the caller of act_as_caller is the only one that it can delete. A row of an application's own `users`
-- table stays. So do the counters of the day: `quotas` names them by keyed hashes, so that an account which is deleted
-- and made again gets no second quota, and the clean-up deletes them when their day is over.
--
-- Index users_pkey, idx_conversations_user_id, idx_known_networks_user_id, idx_chat_files_user_id.
CREATE OR REPLACE FUNCTION delete_own_account()
RETURNS void LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    caller_id CONSTANT text := nullif(current_setting('parley.user_id', TRUE), '');
BEGIN
    -- An application's own `tasks` may lack a foreign key that deletes them with the user.
    DELETE FROM tasks WHERE tasks.user_id = caller_id;
    DELETE FROM conversations WHERE conversations.user_id = caller_id;
    -- Those of messages are gone with them; these are uploads that no message has.
    DELETE FROM chat_files WHERE chat_files.user_id = caller_id;
    IF obj_description(to_regclass('users'), 'pg_class') LIKE 'Parley:%' THEN
        DELETE FROM users WHERE users.id = caller_id;
    END IF;
    -- After the user, whom a log-in at this moment has locked first.
    DELETE FROM known_networks WHERE known_networks.user_id = caller_id;
END
$$;
COMMENT ON FUNCTION delete_own_account()
IS 'Parley: deletes the caller and all of the caller''s rows, but no row of an application''s own users';
