-- erase_conversation
-- Deletes a conversation by its key, also one that a user has claimed since.
--
-- It works outside the wall, because a claimed conversation belongs to its user. The claim took over words of the
-- holder of the key, so the key deletes them still; it does nothing else then. The key is that of act_as_caller.
--
-- Parameters
--   conversation_id  uuid  the conversation
--
-- Returns 0 or 1 row: id.
-- Index conversations_pkey.
CREATE OR REPLACE FUNCTION erase_conversation(conversation_id uuid)
RETURNS SETOF uuid LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path FROM CURRENT AS $$
    DELETE FROM conversations
    WHERE
        conversations.id = erase_conversation.conversation_id
        AND conversations.key_hash = decode(nullif(current_setting('parley.key_hash', TRUE), ''), 'hex')
    RETURNING conversations.id;
$$;
COMMENT ON FUNCTION erase_conversation(uuid)
IS 'Parley: deletes a conversation by its key, whether or not a user has claimed it';
