-- store_stream_batches :many
-- Store the new parts of all running answers of a process, prolong their leases, and return the state of each turn.
--
-- One statement serves the answers of several callers, so it runs outside of the wall; each row carries its
-- caller and the token that only its attempt knows. A conversation that another request has locked is
-- skipped (is_stored is false) rather than waited for. The lock keeps a batch from being stored unseen by a
-- finish_turn at the same moment. It is FOR NO KEY UPDATE, and not FOR SHARE: two statements that share a row
-- would wait for each other to prolong its lease.
-- A lease is prolonged when less than half of it is left, because that writes to each index of conversations.
-- Retries are safe: after a lost connection the statement may be sent again with more parts, and a late
-- first try removes none of them. Each array has one element for each answer.
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
-- Returns 1 row for each answer: turn_id, is_held (false: the attempt has lost the turn), is_stopped (a
-- stop was requested), is_stored.
-- Index conversations_pkey, stream_batches_pkey.
WITH
running AS (
    SELECT
        answers.conversation_id,
        answers.user_id,
        answers.turn_id,
        answers.first_part,
        answers.part_count,
        answers.parts,
        coalesce(%(now)s::timestamptz, now()) + make_interval(secs => answers.lease_seconds) AS lease_ends_at,
        coalesce(%(now)s::timestamptz, now()) + make_interval(secs => answers.lease_seconds / 2) AS half_ends_at
    FROM
        unnest(
            %(conversation_ids)s::uuid[],
            %(user_ids)s::text[],
            %(turn_ids)s::uuid[],
            %(lease_seconds)s::double precision[],
            %(first_parts)s::integer[],
            %(part_counts)s::integer[],
            %(parts)s::text[]
        ) AS answers (conversation_id, user_id, turn_id, lease_seconds, first_part, part_count, parts)
),

locked AS (
    SELECT
        running.conversation_id,
        running.turn_id,
        running.user_id,
        running.first_part,
        running.part_count,
        running.parts,
        running.lease_ends_at,
        conversations.turn_expires_at < running.half_ends_at AS is_due
    FROM running
    INNER JOIN conversations
        ON
            running.conversation_id = conversations.id
            AND running.turn_id = conversations.turn_id
            AND conversations.user_id IS NOT DISTINCT FROM running.user_id
    WHERE running.part_count > 0 OR conversations.turn_expires_at < running.half_ends_at
    FOR NO KEY UPDATE OF conversations SKIP LOCKED
),

prolonged AS (
    UPDATE conversations
    SET turn_expires_at = locked.lease_ends_at
    FROM locked
    WHERE
        locked.is_due
        AND conversations.id = locked.conversation_id
        AND conversations.turn_id = locked.turn_id
        AND conversations.user_id IS NOT DISTINCT FROM locked.user_id
    RETURNING conversations.turn_id
),

stored AS (
    INSERT INTO stream_batches (conversation_id, turn_id, user_id, first_part, part_count, parts)
    SELECT
        locked.conversation_id,
        locked.turn_id,
        locked.user_id,
        locked.first_part,
        locked.part_count,
        locked.parts
    FROM locked
    WHERE locked.part_count > 0
    ON CONFLICT (conversation_id, turn_id, first_part) DO UPDATE
        SET
            part_count = excluded.part_count,
            parts = excluded.parts
        WHERE excluded.part_count >= stream_batches.part_count
    RETURNING stream_batches.turn_id
)

-- The LATERAL join looks conversations up one by one; for many answers at once, the planner would read them all.
SELECT
    running.turn_id,
    standing.is_stopped IS NOT NULL AS is_held,
    coalesce(standing.is_stopped, FALSE) AS is_stopped,
    stored.turn_id IS NOT NULL AS is_stored
FROM running
LEFT JOIN
    LATERAL (
        SELECT coalesce(conversations.stopped_turn_id = running.turn_id, FALSE) AS is_stopped
        FROM conversations
        WHERE
            conversations.id = running.conversation_id
            AND conversations.turn_id = running.turn_id
            AND conversations.user_id IS NOT DISTINCT FROM running.user_id
        LIMIT 1
    ) AS standing
    ON TRUE
LEFT JOIN stored ON running.turn_id = stored.turn_id;
