-- delete_old_chat_messages
-- Deletes messages that are older than the retention period, in batches that give way to running turns.
--
-- Two functions of one name. The cron calls the first, one batch a call; an operator may call the second, which
-- deletes all of them and the conversations left empty, and replaces the titles that have expired: SELECT
-- delete_old_chat_messages().
--
-- A batch begins where the batch before ended, so that each costs the same: a batch that began at the oldest message
-- would walk over all that the batches before it deleted, and farther each time.
-- A row that a turn holds is left to the turn, so a batch waits for no turn, and a turn waits no longer than one
-- batch takes. A batch waits only for a table that is being altered, and because it may hold rows that turns want,
-- not long (lock_timeout).
--
-- Parameters
--   retention  interval     the retention period
--   batch      integer      messages to delete at most; the second function: null deletes all
--   since      timestamptz  resume_at of the batch before, or '-infinity'
--   until      timestamptz  only messages stored before; null: all that have expired
--
-- Returns 1 row: deleted; resume_at, where the next batch begins (null: nothing is left); is_incomplete (true: other
-- sessions held some of the messages); duration_ms; refused, the number of messages that a rule which is not Parley's
-- keeps, such as a foreign key of the application's; refusal, the first such rule in the server's words (null: none).
-- The second function: the number of messages; it warns of those that were refused.
-- Index idx_chat_messages_created_at, conversations_pkey, tool_runs_pkey, idx_tool_runs_created_at.
CREATE OR REPLACE FUNCTION delete_old_chat_messages(
    retention interval,
    batch integer,
    since timestamptz,
    until timestamptz,
    OUT deleted integer,
    OUT resume_at timestamptz,
    OUT is_incomplete boolean,
    OUT duration_ms double precision,
    OUT refused integer,
    OUT refusal text
)
LANGUAGE plpgsql VOLATILE SET lock_timeout = '50ms' SET search_path FROM CURRENT AS $$
DECLARE
    started_at CONSTANT timestamptz := clock_timestamp();
    -- least() ignores NULL.
    expired_before CONSTANT timestamptz := least(now() - retention, until);
    expired_ctids tid[];
    expired_ids uuid[];
    locked_ids uuid[];
    held_ids uuid[];
    conversation_ids uuid[];
    question_ids bigint[];
    gone_ids uuid[];
    gone_question_ids bigint[];
    gone_count integer;
    next_item integer := 1;
    chunk_size integer;
BEGIN
    deleted := 0;
    refused := 0;
    SELECT
        array_agg(expired.ctid),
        array_agg(DISTINCT expired.conversation_id),
        CASE WHEN count(*) = batch THEN max(expired.created_at) END
    INTO expired_ctids, expired_ids, resume_at
    FROM (
        SELECT
            chat_messages.ctid,
            chat_messages.conversation_id,
            chat_messages.created_at
        FROM chat_messages
        WHERE
            chat_messages.created_at >= since
            AND chat_messages.created_at < expired_before
        ORDER BY chat_messages.created_at
        LIMIT batch
        FOR UPDATE SKIP LOCKED
    ) AS expired;

    -- A conversation's number of messages, and its last one, become unknown; once for each conversation, until the
    -- next turn in it. Locked also where they are unknown already: a turn may be counting. A conversation that a turn
    -- holds keeps its messages until the next clean-up.
    locked_ids := ARRAY(
        SELECT conversations.id
        FROM conversations
        WHERE conversations.id = ANY(expired_ids)
        FOR NO KEY UPDATE SKIP LOCKED
    );
    UPDATE conversations
    SET
        message_count = NULL,
        last_message = NULL
    WHERE conversations.id = ANY(locked_ids) AND conversations.message_count IS NOT NULL;
    held_ids := ARRAY(
        SELECT unnest(expired_ids)
        EXCEPT
        SELECT unnest(locked_ids)
    );

    -- Then forget_message_counts has nothing left to do.
    PERFORM set_config('parley.are_counts_forgotten', 'true', TRUE);
    -- All at once; where a rule that is not Parley's refuses one of them, such as a foreign key or a trigger of the
    -- application's, one by one, so that the others go. IMMEDIATE: a rule that waits for the end would refuse all.
    SET CONSTRAINTS ALL IMMEDIATE;
    chunk_size := greatest(cardinality(expired_ctids), 1);
    WHILE next_item <= cardinality(expired_ctids) LOOP
        BEGIN
            -- By ctid, so that the rows of the batch are not looked up a second time.
            WITH gone AS (
                DELETE FROM chat_messages
                WHERE
                    -- A subquery, so that each row is read by its place in every plan.
                    chat_messages.ctid = ANY(ARRAY(
                        SELECT unnest(expired_ctids[next_item:next_item + chunk_size - 1])
                    ))
                    AND chat_messages.conversation_id <> ALL(held_ids)
                RETURNING
                    chat_messages.conversation_id, chat_messages.id, chat_messages.role
            )

            SELECT
                count(*),
                array_agg(gone.conversation_id) FILTER (WHERE gone.role = 'user'),
                array_agg(gone.id) FILTER (WHERE gone.role = 'user')
            INTO gone_count, gone_ids, gone_question_ids
            FROM gone;
            deleted := deleted + gone_count;
            conversation_ids := conversation_ids || gone_ids;
            question_ids := question_ids || gone_question_ids;
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

    PERFORM set_config('parley.are_counts_forgotten', '', TRUE);

    -- Tool runs of questions that were never answered. (OFFSET 0: each question is looked up by the key in every
    -- plan.)
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

    -- A tool that ran at the moment in which its question was deleted has no question that could take it along.
    DELETE FROM tool_runs
    WHERE tool_runs.created_at < expired_before;

    -- As many with the time at which this batch began are kept as a batch has: the next one begins behind them.
    IF refused > 0 AND resume_at = since THEN
        resume_at := resume_at + interval '1 microsecond';
    END IF;
    -- A turn holds the rest, or another clean-up, which may still fail.
    is_incomplete := refused < (
        SELECT count(*)
        FROM (
            SELECT FROM chat_messages
            WHERE
                chat_messages.created_at >= since
                AND chat_messages.created_at < coalesce(resume_at, expired_before)
            LIMIT refused + 1
        ) AS rest
    );
    duration_ms := extract(EPOCH FROM clock_timestamp() - started_at) * 1000;
END
$$;
COMMENT ON FUNCTION delete_old_chat_messages(interval, integer, timestamptz, timestamptz)
IS 'Parley: one batch of delete_old_chat_messages(), of the messages stored between two times; resume_at: where the next batch begins (NULL: nothing is left); is_incomplete: other sessions held some of them';

CREATE OR REPLACE FUNCTION delete_old_chat_messages(
    retention interval DEFAULT '30 days',
    batch integer DEFAULT NULL
)
RETURNS bigint LANGUAGE plpgsql VOLATILE SET search_path FROM CURRENT AS $$
DECLARE
    is_one_batch CONSTANT boolean := batch IS NOT NULL;
    batch_size CONSTANT integer := coalesce(batch, 10000);
    deleted_count bigint := 0;
    messages record;
    conversations record;
    titles record;
    since timestamptz := '-infinity';
    refused_count bigint := 0;
    first_refusal text;
BEGIN
    LOOP
        SELECT * INTO messages FROM delete_old_chat_messages(retention, batch_size, since, NULL);
        deleted_count := deleted_count + messages.deleted;
        refused_count := refused_count + messages.refused;
        first_refusal := coalesce(first_refusal, messages.refusal);
        since := messages.resume_at;
        EXIT WHEN is_one_batch OR since IS NULL;
    END LOOP;
    -- Only when no old message is left: until then the conversations that still have one would be read again with
    -- each batch.
    IF since IS NULL THEN
        since := '-infinity';
        LOOP
            SELECT * INTO conversations FROM delete_old_conversations(retention, batch_size, since);
            since := conversations.resume_at;
            refused_count := refused_count + conversations.refused;
            first_refusal := coalesce(first_refusal, conversations.refusal);
            EXIT WHEN is_one_batch OR since IS NULL;
        END LOOP;
        since := '-infinity';
        LOOP
            SELECT * INTO titles FROM replace_old_titles(retention, batch_size, since);
            since := titles.resume_at;
            refused_count := refused_count + titles.refused;
            first_refusal := coalesce(first_refusal, titles.refusal);
            EXIT WHEN is_one_batch OR since IS NULL;
        END LOOP;
    END IF;
    IF refused_count > 0 THEN
        RAISE WARNING '% expired rows were left, because rules that are not Parley''s keep them: %',
            refused_count, first_refusal;
    END IF;
    RETURN deleted_count;
END
$$;
COMMENT ON FUNCTION delete_old_chat_messages(interval, integer)
IS 'Parley: deletes chat messages older than the retention period (30 days), and the conversations left empty, and replaces titles as old; all, or one batch; returns the number of messages';
