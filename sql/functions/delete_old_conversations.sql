-- delete_old_conversations
-- Deletes one batch of the conversations that are empty and unused for longer than the retention period.
--
-- Their leases, stream batches and tool runs go with them. A conversation that a turn holds is left to it.
--
-- Parameters
--   retention  interval     the retention period
--   batch      integer      conversations to delete at most
--   since      timestamptz  resume_at of the batch before, or '-infinity'
--
-- Returns 1 row: deleted; resume_at, where the next batch begins (null: nothing is left); duration_ms.
-- Index idx_conversations_updated_at, conversations_pkey; of chat_messages any that begins with the conversation.
CREATE OR REPLACE FUNCTION delete_old_conversations(
    retention interval,
    batch integer,
    since timestamptz,
    OUT deleted integer,
    OUT resume_at timestamptz,
    OUT duration_ms double precision
)
LANGUAGE plpgsql VOLATILE SET lock_timeout = '50ms' SET search_path FROM CURRENT AS $$
DECLARE
    started_at CONSTANT timestamptz := clock_timestamp();
    expired_before CONSTANT timestamptz := now() - retention;
    unused_ids uuid[];
    unused_at timestamptz[];
BEGIN
    -- A scalar subquery: each conversation's message is looked up by an index in every plan.
    WITH unused AS (
        SELECT
            conversations.id,
            conversations.updated_at
        FROM conversations
        WHERE
            conversations.updated_at >= since
            AND conversations.updated_at < expired_before
            AND (
                SELECT chat_messages.id
                FROM chat_messages
                WHERE chat_messages.conversation_id = conversations.id
                LIMIT 1
            ) IS NULL
        ORDER BY conversations.updated_at
        LIMIT batch
        FOR UPDATE SKIP LOCKED
    )

    SELECT
        array_agg(unused.id),
        CASE WHEN count(*) = batch THEN max(unused.updated_at) END
    INTO unused_ids, resume_at
    FROM unused;

    -- Checked again under the lock: a message stored in between would be deleted with the conversation.
    DELETE FROM conversations
    WHERE
        conversations.id = ANY(unused_ids)
        AND (
            SELECT chat_messages.id
            FROM chat_messages
            WHERE chat_messages.conversation_id = conversations.id
            LIMIT 1
        ) IS NULL;
    GET DIAGNOSTICS deleted = ROW_COUNT;
    duration_ms := extract(EPOCH FROM clock_timestamp() - started_at) * 1000;
END
$$;
COMMENT ON FUNCTION delete_old_conversations(interval, integer, timestamptz)
IS 'Parley: deletes one batch of the conversations that are empty and unused for longer than the retention period; resume_at: where the next batch begins (NULL: nothing is left)';
