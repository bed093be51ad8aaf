-- reach_conversation
-- Returns the id of an anonymous conversation if the caller reaches it: by its key, or where it has no key by its id.
--
-- Called by act_as_caller, before the wall stands. A conversation that is missing, has an owner or has another key
-- looks the same from outside, and reading it is a guess, which count_guess counts against the client. Keys are
-- compared as SHA-256 of 256 random bits: how long the comparison takes tells nothing that a client could use.
-- Raises PA005 (count_guess) when the client has guessed too often; PA006 when a step of `create` or `continue` does
-- not reach the conversation.
--
-- Parameters
--   conversation_id  uuid   the conversation
--   user_id          text   the caller, for a claim; null: anonymous
--   key_hash         bytea  SHA-256 of the key that came with the id; null: none came
--   client_subject   text   keyed hash of the caller's network address; null: no guess is counted
--   approach         text   the step: `read`, also to change or delete; `create`: the conversation may be
--                           new; `continue`: it must not be new; `follow`: an earlier step of the request has
--                           reached the conversation, and now it may be gone
--
-- Returns the id; null: the caller does not reach the conversation.
-- Index conversations_pkey; quotas_pkey (within count_guess).
CREATE OR REPLACE FUNCTION reach_conversation(
    conversation_id uuid,
    user_id text,
    key_hash bytea,
    client_subject text,
    approach text
)
RETURNS uuid LANGUAGE plpgsql VOLATILE SET search_path FROM CURRENT AS $$
DECLARE
    is_reached boolean;
    is_known boolean;
BEGIN
    SELECT
        conversations.user_id IS NULL
        AND conversations.key_hash IS NOT DISTINCT FROM reach_conversation.key_hash,
        -- Its owner may repeat the claim, and the holder of its key may delete it: no guess, for they know that it is
        -- there.
        coalesce(conversations.user_id = reach_conversation.user_id, FALSE)
        OR coalesce(conversations.key_hash = reach_conversation.key_hash, FALSE)
    INTO is_reached, is_known
    FROM conversations
    WHERE conversations.id = reach_conversation.conversation_id;
    IF NOT FOUND THEN
        is_reached := approach = 'create';
        is_known := FALSE;
    END IF;
    IF NOT is_reached AND approach IN ('create', 'continue') THEN
        RAISE EXCEPTION USING ERRCODE = 'PA006', MESSAGE = 'the caller does not reach the conversation';
    ELSIF client_subject IS NOT NULL THEN
        PERFORM count_guess(client_subject, NOT is_reached AND NOT is_known);
    END IF;
    RETURN CASE WHEN is_reached THEN conversation_id END;
END
$$;
COMMENT ON FUNCTION reach_conversation(uuid, text, bytea, text, text)
IS 'Parley: the id of an anonymous conversation if the caller reaches it; NULL: the caller does not';
