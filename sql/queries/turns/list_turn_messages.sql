-- list_turn_messages :many
-- List the messages that a turn reads, oldest first, with the columns of read_history and provider_state, and the summary
-- of the messages before them.
--
-- The function lists them, in their order. `*`, because it names its columns: see read_history.
-- Parameters, result and indexes: sql/functions/list_turn_messages.sql.
SELECT listed.* -- noqa: AM04
FROM
    list_turn_messages(
        conversation_id => %(conversation_id)s::uuid,
        user_id => %(user_id)s::text,
        turn_id => %(turn_id)s::uuid,
        message_id => %(message_id)s::text,
        history_messages => %(history_messages)s::integer,
        seen_types => %(seen_types)s::text[],
        max_seen => %(max_seen)s::integer,
        max_bytes => %(max_bytes)s::bigint,
        max_text_bytes => %(max_text_bytes)s::bigint,
        max_text_end => %(max_text_end)s::integer,
        max_beginning_end => %(max_beginning_end)s::integer,
        reads_summary => %(reads_summary)s::boolean,
        retention_days => %(retention_days)s::integer,
        now => %(now)s::timestamptz
    ) AS listed (id, conversation_id, message_id);
