-- act_as_caller
-- Limits the rest of the transaction to the rows of one caller.
--
-- Sent first, in the round trip of the caller's statements, or called first by begin_turn and finish_turn, in which its
-- limits of time but lock_timeout hold from the next statement on. Row-level security then shows parley_app the rows of
-- this caller alone. Nothing of it outlives the transaction, so it works through PgBouncer in transaction mode.
-- Raises PA001 when the account is switched off, PA002 when an account is needed and there is none, PA004 when the token
-- was issued before the user signed out everywhere or changed the password, PA014 when it was issued before the user was
-- deleted, serialization_failure when the transaction
-- does not read what others commit meanwhile (default_transaction_isolation), and what reach_conversation raises; each
-- error keeps the statements after it in the round trip from running. lib/database/_problems.py turns the codes into
-- problems.
--
-- Parameters
--   user_id          text         the caller; null: anonymous
--   conversation_id  uuid         the conversation without an owner that the request names; null: none
--   needs_account    boolean      true: the caller must be in `users` already
--   token_issued_at  timestamptz  when the caller's token was issued; null: anonymous, or the token does not say
--   key_hash         bytea        SHA-256 of the key that came with the conversation's id; null: none came
--   client_subject   text         keyed hash of the caller's network address; null: no guess is counted
--   timeout_ms       integer      milliseconds that each later statement of the transaction may take
--   approach         text         `read`, `create`, `continue` or `follow`: see reach_conversation
--
-- Index users_pkey; conversations_pkey, quotas_pkey (within reach_conversation).
CREATE OR REPLACE FUNCTION act_as_caller(
    user_id text,
    conversation_id uuid,
    needs_account boolean,
    token_issued_at timestamptz,
    key_hash bytea,
    client_subject text,
    timeout_ms integer,
    approach text
)
RETURNS void LANGUAGE plpgsql VOLATILE SET search_path FROM CURRENT AS $$
DECLARE
    state text;
    reached_id uuid;
    setting text;
BEGIN
    -- Statements of one transaction must see what others have committed meanwhile, as after the lock of a conversation.
    -- lib/database/client.py sends the step again, with the right isolation.
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        RAISE EXCEPTION USING ERRCODE = 'serialization_failure', MESSAGE = 'the isolation must be read committed';
    END IF;
    -- Off, it would be an error to read what the policies limit.
    IF current_setting('row_security') <> 'on' THEN
        setting := set_config('row_security', 'on', TRUE);
    END IF;
    -- Here, and not as a setting of the session, which PgBouncer would give to other clients. The limits are those of
    -- sql/queries/database/limit_time.sql, which says what each is for.
    -- Assignments, because each PERFORM would be a query of its own.
    setting := set_config('statement_timeout', timeout_ms::text, TRUE);
    setting := set_config('lock_timeout', (timeout_ms * 9 / 10)::text, TRUE);
    setting := set_config('client_connection_check_interval', '2000', TRUE);
    -- After the limits: the lock of a migration holds this one up.
    state := user_state(user_id, token_issued_at);
    IF state = 'inactive' THEN
        RAISE EXCEPTION USING ERRCODE = 'PA001', MESSAGE = 'the account is switched off';
    ELSIF needs_account AND state IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'PA002', MESSAGE = 'there is no such account';
    ELSIF state = 'deleted' THEN
        RAISE EXCEPTION USING ERRCODE = 'PA014', MESSAGE = 'the account was deleted';
    ELSIF state = 'signed_out' THEN
        RAISE EXCEPTION USING ERRCODE = 'PA004', MESSAGE = 'the token was issued before the user signed out';
    END IF;
    IF conversation_id IS NOT NULL THEN
        reached_id := reach_conversation(conversation_id, user_id, key_hash, client_subject, approach);
    END IF;
    setting := set_config('parley.user_id', coalesce(user_id, ''), TRUE);
    setting := set_config('parley.conversation_id', coalesce(reached_id::text, ''), TRUE);
    setting := set_config('parley.key_hash', coalesce(encode(key_hash, 'hex'), ''), TRUE);
    -- Last: from here on the transaction has the rights of parley_app.
    setting := set_config('role', 'parley_app', TRUE);
END
$$;
COMMENT ON FUNCTION act_as_caller(text, uuid, boolean, timestamptz, bytea, text, integer, text)
IS 'Parley: limits the rest of the transaction to the rows of this caller';
