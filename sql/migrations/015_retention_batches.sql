-- 015 retention batches: what is old goes in batches, none of which a turn waits for.
--
-- Locks: SHARE UPDATE EXCLUSIVE on chat_messages and conversations, for a moment; no turn waits for it.
-- Undo: 015_retention_batches.down.sql.

-- Each night a thirtieth of the messages goes: vacuumed the same night, not after a fifth has gone. Until then
-- the next clean-up walks over what lies there dead, and the counts of the list look at rows instead of at
-- the index alone.
ALTER TABLE chat_messages SET (autovacuum_vacuum_scale_factor = 0.02);
ALTER TABLE conversations SET (autovacuum_vacuum_scale_factor = 0.02);

-- One batch: at most `batch` messages that were stored from `since` on, and before `until` (NULL: whenever).
-- To begin where the batch before ended is what keeps a batch's price the same: whoever began at the
-- oldest would walk over all that the batches before it have deleted, each time farther.
--
-- Turns go first: a row that anybody holds is left to them, so this waits for no turn; and a turn waits
-- for this no longer than one batch takes. Only for a table that somebody is just altering does it wait at
-- all, holding rows that turns may want, and so not long.
CREATE OR REPLACE FUNCTION delete_old_chat_messages(
    retention interval,
    batch integer,
    since timestamptz,
    until timestamptz,
    OUT deleted integer,
    OUT resume_at timestamptz,
    OUT is_incomplete boolean,
    OUT duration_ms double precision
)
LANGUAGE plpgsql VOLATILE SET lock_timeout = '50ms' AS $$
DECLARE
    started_at CONSTANT timestamptz := clock_timestamp();
    -- least() takes no notice of NULL.
    expired_before CONSTANT timestamptz := least(now() - retention, until);
    conversation_ids uuid[];
    question_ids bigint[];
BEGIN
    -- By ctid: the rows that the batch has found are deleted where they lie, not looked up again.
    WITH gone AS (
        DELETE FROM chat_messages
        WHERE chat_messages.ctid = ANY(ARRAY(
            SELECT expired.ctid
            FROM chat_messages AS expired
            WHERE
                expired.created_at >= since
                AND expired.created_at < expired_before
            ORDER BY expired.created_at
            LIMIT batch
            FOR UPDATE SKIP LOCKED
        ))
        RETURNING
            chat_messages.conversation_id, chat_messages.id, chat_messages.role, chat_messages.created_at
    )

    SELECT
        count(*),
        CASE WHEN count(*) = batch THEN max(gone.created_at) END,
        array_agg(gone.conversation_id) FILTER (WHERE gone.role = 'user'),
        array_agg(gone.id) FILTER (WHERE gone.role = 'user')
    INTO deleted, resume_at, conversation_ids, question_ids
    FROM gone;

    -- What tools were run for a question that was never answered. (OFFSET 0: looked up by the key, question by
    -- question, in every plan.)
    DELETE FROM tool_runs
    WHERE tool_runs.ctid = ANY(ARRAY(
        SELECT forgotten.ctid
        FROM unnest(conversation_ids, question_ids) AS question (conversation_id, id)
        CROSS JOIN LATERAL (
            SELECT tool_runs.ctid
            FROM tool_runs
            WHERE
                tool_runs.conversation_id = question.conversation_id
                AND tool_runs.question_id = question.id
            OFFSET 0
        ) AS forgotten
    ));

    -- Held by a turn, or by another clean-up, which may yet fail.
    is_incomplete := EXISTS (
        SELECT FROM chat_messages
        WHERE
            chat_messages.created_at >= since
            AND chat_messages.created_at < coalesce(resume_at, expired_before)
    );
    duration_ms := extract(EPOCH FROM clock_timestamp() - started_at) * 1000;
END
$$;
COMMENT ON FUNCTION delete_old_chat_messages(interval, integer, timestamptz, timestamptz)
IS 'Parley: one batch of delete_old_chat_messages(), of the messages stored between two times; resume_at: where the next one begins (NULL: nothing is left), is_incomplete: somebody held some of them';

-- One batch of the conversations that are empty and were not used for that long, from `since` on. What
-- belongs to them (leases, batches of streams, runs of tools) goes with them.
CREATE OR REPLACE FUNCTION delete_old_conversations(
    retention interval,
    batch integer,
    since timestamptz,
    OUT deleted integer,
    OUT resume_at timestamptz,
    OUT duration_ms double precision
)
LANGUAGE plpgsql VOLATILE SET lock_timeout = '50ms' AS $$
DECLARE
    started_at CONSTANT timestamptz := clock_timestamp();
    expired_before CONSTANT timestamptz := now() - retention;
    unused_ids uuid[];
    unused_at timestamptz[];
BEGIN
    -- The messages as a scalar, which is looked up for each conversation by an index, in every plan.
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

    -- Looked at again, now that they are locked: a message may have come in between, and would go with it.
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
IS 'Parley: deletes one batch of the conversations that are empty and unused for longer than the retention period; resume_at: where the next one begins (NULL: nothing is left)';

CREATE OR REPLACE FUNCTION delete_old_chat_messages(
    retention interval DEFAULT '30 days',
    batch integer DEFAULT NULL
)
RETURNS bigint LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    is_one_batch CONSTANT boolean := batch IS NOT NULL;
    batch_size CONSTANT integer := coalesce(batch, 10000);
    deleted_count bigint := 0;
    messages record;
    conversations record;
    since timestamptz := '-infinity';
BEGIN
    LOOP
        SELECT * INTO messages FROM delete_old_chat_messages(retention, batch_size, since, NULL);
        deleted_count := deleted_count + messages.deleted;
        since := messages.resume_at;
        EXIT WHEN is_one_batch OR since IS NULL;
    END LOOP;
    -- Not before the messages are gone: until then the old ones among them are not empty, and would be
    -- looked at with each batch.
    IF since IS NULL THEN
        since := '-infinity';
        LOOP
            SELECT * INTO conversations FROM delete_old_conversations(retention, batch_size, since);
            since := conversations.resume_at;
            EXIT WHEN is_one_batch OR since IS NULL;
        END LOOP;
    END IF;
    RETURN deleted_count;
END
$$;
COMMENT ON FUNCTION delete_old_chat_messages(interval, integer)
IS 'Parley: deletes chat messages older than the retention period (30 days), and the conversations left empty; all, or one batch; returns the number of messages';

DO $$
BEGIN
    EXECUTE format(
        'ALTER FUNCTION delete_old_chat_messages(interval, integer, timestamptz, timestamptz) SET search_path = %I, pg_temp',
        current_schema()
    );
    EXECUTE format(
        'ALTER FUNCTION delete_old_conversations(interval, integer, timestamptz) SET search_path = %I, pg_temp',
        current_schema()
    );
    EXECUTE format(
        'ALTER FUNCTION delete_old_chat_messages(interval, integer) SET search_path = %I, pg_temp',
        current_schema()
    );
END
$$;

REVOKE EXECUTE ON FUNCTION delete_old_chat_messages(interval, integer, timestamptz, timestamptz) FROM public;
REVOKE EXECUTE ON FUNCTION delete_old_conversations(interval, integer, timestamptz) FROM public;
REVOKE EXECUTE ON FUNCTION delete_old_chat_messages(interval, integer) FROM public;
