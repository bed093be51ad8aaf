-- replace_old_titles
-- Replaces one batch of the titles that are older than the retention period by the beginning of the oldest kept message.
--
-- A title tells a message, or is its user's own text, so it expires like a message. A conversation that a turn holds
-- keeps its title until the next clean-up.
--
-- Parameters
--   retention  interval     the retention period
--   batch      integer      titles to replace at most
--   since      timestamptz  resume_at of the batch before, or '-infinity'
--
-- Returns 1 row: replaced; resume_at, where the next batch begins (null: nothing is left); duration_ms. A conversation
-- whose user messages have all expired has no title after that.
-- Index idx_conversations_titled_at, conversations_pkey; of chat_messages any that begins with the conversation.
CREATE OR REPLACE FUNCTION replace_old_titles(
    retention interval,
    batch integer,
    since timestamptz,
    OUT replaced integer,
    OUT resume_at timestamptz,
    OUT duration_ms double precision
)
LANGUAGE plpgsql VOLATILE SET lock_timeout = '50ms' SET search_path FROM CURRENT AS $$
DECLARE
    started_at CONSTANT timestamptz := clock_timestamp();
    expired_before CONSTANT timestamptz := now() - retention;
    -- As TITLE_CHARS in lib/conversations/conversation.py.
    title_chars CONSTANT integer := 60;
    expired_ids uuid[];
BEGIN
    WITH expired AS (
        SELECT
            conversations.id,
            conversations.titled_at
        FROM conversations
        WHERE
            conversations.title IS NOT NULL
            AND conversations.titled_at >= since
            AND conversations.titled_at < expired_before
        ORDER BY conversations.titled_at
        LIMIT batch
        FOR NO KEY UPDATE SKIP LOCKED
    )

    SELECT
        array_agg(expired.id),
        CASE WHEN count(*) = batch THEN max(expired.titled_at) END
    INTO expired_ids, resume_at
    FROM expired;

    -- By an array, so that each conversation is found by its key in every plan.
    UPDATE conversations
    SET (title, titled_at) = (
        SELECT
            CASE
                WHEN length(oldest_message.content) <= title_chars THEN oldest_message.content
                ELSE rtrim(left(oldest_message.content, title_chars - 1)) || '…'
            END,
            coalesce(oldest_message.created_at, conversations.titled_at)
        FROM (SELECT) AS always
        LEFT JOIN (
            SELECT
                chat_messages.created_at,
                btrim(regexp_replace(chat_messages.content, '[[:space:]]+', ' ', 'g')) AS content
            FROM chat_messages
            WHERE
                chat_messages.conversation_id = conversations.id
                AND chat_messages.role = 'user'
                AND chat_messages.superseded_at IS NULL
                AND chat_messages.created_at >= expired_before
                AND chat_messages.content ~ '[^[:space:]]'
            ORDER BY chat_messages.id
            LIMIT 1
        ) AS oldest_message ON TRUE
    )
    WHERE conversations.id = ANY(expired_ids);
    GET DIAGNOSTICS replaced = ROW_COUNT;
    duration_ms := extract(EPOCH FROM clock_timestamp() - started_at) * 1000;
END
$$;
COMMENT ON FUNCTION replace_old_titles(interval, integer, timestamptz)
IS 'Parley: replaces one batch of the titles older than the retention period by the beginning of the oldest kept message; resume_at: where the next batch begins (NULL: nothing is left)';
