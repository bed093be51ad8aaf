-- store_stream_batches
-- Stores the new parts of all running answers of a process, prolongs their leases, and returns the state of each turn.
--
-- One call serves the answers of several callers, so it runs outside of the wall; each element carries its caller and
-- the token that only its attempt knows. A conversation that another request has locked is skipped (is_stored is
-- false) rather than waited for. The lock keeps a batch from being stored unseen by a finish_turn at the same moment.
-- It is FOR NO KEY UPDATE, and not FOR SHARE: two calls that share a row would wait for each other to prolong its
-- lease. A lease is prolonged when less than half of it is left, because each time is a new version of its row.
--
-- The transaction does not wait for the disk (synchronous_commit), so a crash of the database may lose the batches of
-- its last second. A batch is stored only right behind the parts before it: an attempt whose parts were lost learns
-- from where on (lost_from), and sends them again. finish_turn checks the parts that it takes over.
--
-- Retries are safe: after a lost connection the call may be sent again with more parts, and a late first try removes
-- none of them. Each array has one element for each answer. A loop of short statements, because their kept plans take
-- half the time of one statement for all answers, alone and for ten.
--
-- Parameters
--   conversation_ids  uuid[]              the conversations of the answers
--   user_ids          text[]              the callers; null: anonymous
--   turn_ids          uuid[]              tokens of the attempts
--   lease_seconds     double precision[]  seconds from now until the end of a prolonged lease
--   first_parts       integer[]           number of the first new part
--   part_counts       integer[]           number of new parts; 0: nothing to store
--   parts             text[]              the new parts; '' if there are none
--   now               timestamptz         the time; null: the database's clock
--
-- Returns 1 row for each answer: turn_id; is_held (false: the attempt has lost the turn); is_stopped (a stop was
-- requested); is_stored; is_followed (within the last 5 seconds another process has said so: mark_stream_followed);
-- and lost_from, the number of the first part that a crash of the database has lost (null: none, or the conversation
-- was locked).
-- Index conversations_pkey, stream_batches_pkey.
CREATE OR REPLACE FUNCTION store_stream_batches(
    conversation_ids uuid[],
    user_ids text[],
    turn_ids uuid[],
    lease_seconds double precision[],
    first_parts integer[],
    part_counts integer[],
    parts text[],
    now timestamptz
)
RETURNS TABLE (
    turn_id uuid, is_held boolean, is_stopped boolean, is_stored boolean, is_followed boolean, lost_from integer
)
LANGUAGE plpgsql VOLATILE
SET search_path FROM CURRENT
SET plan_cache_mode = force_generic_plan
-- A plan that is made while the table of batches is empty, as at night, must not read it whole from then on.
SET enable_seqscan = off
SET enable_bitmapscan = off
AS $$
#variable_conflict use_column
DECLARE
    at CONSTANT timestamptz := coalesce(store_stream_batches.now, now());
    stopped_id uuid;
    expires_at timestamptz;
    is_locked boolean;
    newest_part integer;
    newest_count integer;
    followed_at timestamptz;
BEGIN
    -- Until the end of the transaction: a SET of the function would be over before the commit.
    PERFORM set_config('synchronous_commit', 'off', TRUE);

    FOR answer IN 1 .. coalesce(cardinality(conversation_ids), 0) LOOP
        turn_id := turn_ids[answer];
        is_stopped := FALSE;
        is_stored := FALSE;
        is_followed := FALSE;
        lost_from := NULL;
        is_locked := FALSE;
        IF part_counts[answer] > 0 THEN
            SELECT
                conversations.stopped_turn_id,
                conversations.turn_expires_at
            INTO stopped_id, expires_at
            FROM conversations
            WHERE
                conversations.id = conversation_ids[answer]
                AND conversations.turn_id = turn_ids[answer]
                AND conversations.user_id IS NOT DISTINCT FROM user_ids[answer]
            FOR NO KEY UPDATE SKIP LOCKED;
            is_locked := FOUND;
        END IF;
        is_held := is_locked;
        IF NOT is_locked THEN
            SELECT
                conversations.stopped_turn_id,
                conversations.turn_expires_at
            INTO stopped_id, expires_at
            FROM conversations
            WHERE
                conversations.id = conversation_ids[answer]
                AND conversations.turn_id = turn_ids[answer]
                AND conversations.user_id IS NOT DISTINCT FROM user_ids[answer];
            is_held := FOUND;
        END IF;
        IF NOT is_held THEN
            RETURN NEXT;
            CONTINUE;
        END IF;
        is_stopped := stopped_id IS NOT DISTINCT FROM turn_ids[answer];

        IF expires_at < at + make_interval(secs => lease_seconds[answer] / 2) THEN
            UPDATE conversations
            SET turn_expires_at = at + make_interval(secs => lease_seconds[answer])
            WHERE
                conversations.id = conversation_ids[answer]
                AND conversations.turn_id = turn_ids[answer]
                AND conversations.user_id IS NOT DISTINCT FROM user_ids[answer]
                AND conversations.id = any(ARRAY(
                    SELECT unlocked.id
                    FROM conversations AS unlocked
                    WHERE
                        unlocked.id = conversation_ids[answer]
                        AND unlocked.turn_id = turn_ids[answer]
                        AND unlocked.user_id IS NOT DISTINCT FROM user_ids[answer]
                    FOR NO KEY UPDATE SKIP LOCKED
                ));
        END IF;

        -- The newest batch: the one before, or an earlier try of this one.
        SELECT
            stream_batches.first_part,
            stream_batches.part_count,
            stream_batches.followed_at
        INTO newest_part, newest_count, followed_at
        FROM stream_batches
        WHERE
            stream_batches.conversation_id = conversation_ids[answer]
            AND stream_batches.turn_id = turn_ids[answer]
            AND stream_batches.user_id IS NOT DISTINCT FROM user_ids[answer]
            AND stream_batches.first_part <= first_parts[answer]
        ORDER BY stream_batches.first_part DESC
        LIMIT 1;
        is_followed := coalesce(followed_at > at - interval '5 seconds', FALSE);
        IF NOT is_locked THEN
            NULL;
        ELSIF newest_part = first_parts[answer] THEN
            UPDATE stream_batches
            SET
                part_count = part_counts[answer],
                parts = store_stream_batches.parts[answer]
            WHERE
                stream_batches.conversation_id = conversation_ids[answer]
                AND stream_batches.turn_id = turn_ids[answer]
                AND stream_batches.user_id IS NOT DISTINCT FROM user_ids[answer]
                AND stream_batches.first_part = first_parts[answer]
                AND stream_batches.part_count <= part_counts[answer];
            is_stored := FOUND;
        ELSIF coalesce(newest_part + newest_count, 0) = first_parts[answer] THEN
            -- Without ON CONFLICT, which costs more: the lock keeps other tries of this batch away.
            INSERT INTO stream_batches (
                conversation_id, turn_id, user_id, first_part, part_count, parts, followed_at
            )
            VALUES (
                conversation_ids[answer],
                turn_ids[answer],
                user_ids[answer],
                first_parts[answer],
                part_counts[answer],
                store_stream_batches.parts[answer],
                followed_at
            );
            is_stored := TRUE;
        ELSE
            lost_from := coalesce(newest_part + newest_count, 0);
        END IF;
        RETURN NEXT;
    END LOOP;
END
$$;
COMMENT ON FUNCTION store_stream_batches(
    uuid[], text[], uuid[], double precision[], integer[], integer[], text[], timestamptz
)
IS 'Parley: stores the new parts of running answers, and prolongs their leases';
