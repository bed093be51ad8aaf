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
-- Returns 1 row: replaced; resume_at, where the next batch begins (null: nothing is left); duration_ms; refused, the
-- number of conversations that a rule which is not Parley's keeps as they are; refusal, the first such rule in the
-- server's words. A conversation whose user messages have all expired has no title after that.
-- Index idx_conversations_titled_at, conversations_pkey; of chat_messages any that begins with the conversation.
CREATE OR REPLACE FUNCTION replace_old_titles(
    retention interval,
    batch integer,
    since timestamptz,
    OUT replaced integer,
    OUT resume_at timestamptz,
    OUT duration_ms double precision,
    OUT refused integer,
    OUT refusal text
)
LANGUAGE plpgsql VOLATILE SET lock_timeout = '50ms' SET search_path FROM CURRENT AS $$
DECLARE
    started_at CONSTANT timestamptz := clock_timestamp();
    expired_before CONSTANT timestamptz := now() - retention;
    -- As TITLE_CHARS in lib/conversations/conversation.py.
    title_chars CONSTANT integer := 60;
    expired_ids uuid[];
    replaced_count integer;
    next_item integer := 1;
    chunk_size integer;
BEGIN
    replaced := 0;
    refused := 0;
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

    -- All at once; where a rule that is not Parley's refuses one of them, such as a foreign key or a trigger of the
    -- application's, one by one, so that the others go. IMMEDIATE: a rule that waits for the end would refuse all.
    SET CONSTRAINTS ALL IMMEDIATE;
    chunk_size := greatest(cardinality(expired_ids), 1);
    WHILE next_item <= cardinality(expired_ids) LOOP
        BEGIN
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
            WHERE conversations.id = ANY(expired_ids[next_item:next_item + chunk_size - 1]);
            GET DIAGNOSTICS replaced_count = ROW_COUNT;
            replaced := replaced + replaced_count;
            next_item := next_item + chunk_size;
        EXCEPTION WHEN OTHERS THEN
            IF rule_refusal(SQLSTATE, SQLERRM) IS NULL THEN
                RAISE;
            END IF;
            IF chunk_size = 1 THEN
                refused := refused + 1;
                refusal := coalesce(refusal, rule_refusal(SQLSTATE, SQLERRM));
                next_item := next_item + 1;
            ELSE
                chunk_size := 1;
            END IF;
        END;
    END LOOP;
    -- As many with the time at which this batch began are kept as a batch has: the next one begins behind them.
    IF refused > 0 AND resume_at = since THEN
        resume_at := resume_at + interval '1 microsecond';
    END IF;
    duration_ms := extract(EPOCH FROM clock_timestamp() - started_at) * 1000;
END
$$;
COMMENT ON FUNCTION replace_old_titles(interval, integer, timestamptz)
IS 'Parley: replaces one batch of the titles older than the retention period by the beginning of the oldest kept message; resume_at: where the next batch begins (NULL: nothing is left)';
