-- store_stream_batches :many
-- Store the new parts of all running answers of a process, prolong their leases, and return the state of each turn.
--
-- The function does it; this calls it.
-- Parameters, result and indexes: sql/functions/store_stream_batches.sql.
SELECT
    stored.turn_id,
    stored.is_held,
    stored.is_stopped,
    stored.is_stored,
    stored.is_followed,
    stored.lost_from
FROM store_stream_batches(
    conversation_ids => %(conversation_ids)s::uuid[],
    user_ids => %(user_ids)s::text[],
    turn_ids => %(turn_ids)s::uuid[],
    lease_seconds => %(lease_seconds)s::double precision[],
    first_parts => %(first_parts)s::integer[],
    part_counts => %(part_counts)s::integer[],
    parts => %(parts)s::text[],
    now => %(now)s::timestamptz
) AS stored;
