-- Takes back 015 retention batches. Lost: nothing stored.

DROP FUNCTION IF EXISTS delete_old_chat_messages(interval, integer, timestamptz, timestamptz);
DROP FUNCTION IF EXISTS delete_old_conversations(interval, integer, timestamptz);

CREATE OR REPLACE FUNCTION delete_old_chat_messages(
    retention interval DEFAULT '30 days',
    batch integer DEFAULT NULL
)
RETURNS bigint LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    expired_before CONSTANT timestamptz := now() - retention;
    deleted_count bigint;
BEGIN
    -- By ctid: the rows that the batch has found are deleted where they lie, not looked up again.
    -- Oldest first, from the index; rows that another cron is deleting are left to it.
    DELETE FROM chat_messages
    WHERE chat_messages.ctid = ANY (ARRAY(
        SELECT expired.ctid
        FROM chat_messages AS expired
        WHERE expired.created_at < expired_before
        ORDER BY expired.created_at
        LIMIT batch
        FOR UPDATE SKIP LOCKED
    ));
    GET DIAGNOSTICS deleted_count = ROW_COUNT;

    -- A conversation that someone is just using is locked by them, and stays.
    DELETE FROM conversations
    WHERE conversations.id = ANY (ARRAY(
        SELECT unused.id
        FROM conversations AS unused
        WHERE
            unused.updated_at < expired_before
            AND NOT EXISTS (
                SELECT FROM chat_messages WHERE chat_messages.conversation_id = unused.id
            )
        LIMIT batch
        FOR UPDATE SKIP LOCKED
    ));

    RETURN deleted_count;
END
$$;
COMMENT ON FUNCTION delete_old_chat_messages(interval, integer)
IS 'Parley: deletes chat messages older than the retention period (30 days), and the conversations left empty; all, or one batch; returns the number of messages';
ALTER FUNCTION delete_old_chat_messages(interval, integer) RESET ALL;
GRANT EXECUTE ON FUNCTION delete_old_chat_messages(interval, integer) TO public;

ALTER TABLE conversations RESET (autovacuum_vacuum_scale_factor);
ALTER TABLE chat_messages RESET (autovacuum_vacuum_scale_factor);
