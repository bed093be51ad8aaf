-- list_conversations :many
-- One page of the caller's conversations, most recently used first.
--
-- The function lists them, in their order. `*`, because it names its columns: see
-- read_history.
-- Parameters, result and indexes: sql/functions/list_conversations.sql.
SELECT listed.* -- noqa: AM04
FROM
    list_conversations(
        user_id => %(user_id)s::text,
        shown_status => %(shown_status)s::text,
        retention_days => %(retention_days)s::integer,
        cursor_updated_at => %(cursor_updated_at)s::timestamptz,
        cursor_id => %(cursor_id)s::uuid,
        page_size => %(page_size)s::integer,
        now => %(now)s::timestamptz
    ) AS listed;
