-- begin_turn :one
-- Decide whether a message is answered now; if so, store it and take the turn.
--
-- The whole step of a plain message but for its messages: the wall, the caller's row of users, the decision.
-- The function decides; this calls it, and returns current_title as title.
-- Parameters, result and indexes: sql/functions/begin_turn.sql.
SELECT
    begun.quota_number,
    begun.quota_refusal,
    begun.minute_remaining,
    begun.minute_reset_seconds,
    begun.day_remaining,
    begun.day_reset_seconds,
    begun.held_turn_id,
    begun.verdict,
    begun.may_ask_title,
    begun.lease_remaining_seconds,
    begun.current_title AS title,
    begun.tool_runs
FROM begin_turn(
    caller_id => %(caller_id)s::text,
    reachable_id => %(reachable_id)s::uuid,
    needs_account => %(needs_account)s::boolean,
    token_issued_at => %(token_issued_at)s::timestamptz,
    key_hash => %(key_hash)s::bytea,
    client_subject => %(client_subject)s::text,
    timeout_ms => %(timeout_ms)s::integer,
    approach => %(approach)s::text,
    user_email => %(user_email)s::text,
    user_name => %(user_name)s::text,
    conversation_id => %(conversation_id)s::uuid,
    user_id => %(user_id)s::text,
    message_id => %(message_id)s::text,
    content => %(content)s::text,
    files => %(files)s::jsonb,
    file_bytes => %(file_bytes)s::bigint,
    steps => %(steps)s::json,
    metadata => %(metadata)s::jsonb,
    replaced_message_id => %(replaced_message_id)s::text,
    regenerates => %(regenerates)s::boolean,
    answer_message_id => %(answer_message_id)s::text,
    title => %(title)s::text,
    turn_id => %(turn_id)s::uuid,
    lease_seconds => %(lease_seconds)s::double precision,
    takes_turn => %(takes_turn)s::boolean,
    max_messages => %(max_messages)s::integer,
    quota_subjects => %(quota_subjects)s::text[],
    messages_per_minute => %(messages_per_minute)s::integer[],
    messages_per_day => %(messages_per_day)s::integer[],
    bytes_per_day => %(bytes_per_day)s::bigint[],
    tokens_per_day => %(tokens_per_day)s::bigint[],
    retention_days => %(retention_days)s::integer,
    now => %(now)s::timestamptz
) AS begun;
