-- list_conversations :many
-- One page of the caller's conversations, most recently used first.
--
-- The whole step, the wall included. The function lists them, in their order. `*`, because it names its columns: see
-- read_history.
-- Parameters, result and indexes: sql/functions/list_conversations.sql.
SELECT listed.* -- noqa: AM04
FROM
    list_conversations(
        caller_id => %(caller_id)s::text,
        reachable_id => %(reachable_id)s::uuid,
        needs_account => %(needs_account)s::boolean,
        token_issued_at => %(token_issued_at)s::timestamptz,
        key_hash => %(key_hash)s::bytea,
        client_subject => %(client_subject)s::text,
        timeout_ms => %(timeout_ms)s::integer,
        approach => %(approach)s::text,
        user_id => %(user_id)s::text,
        shown_status => %(shown_status)s::text,
        retention_days => %(retention_days)s::integer,
        cursor_updated_at => %(cursor_updated_at)s::timestamptz,
        cursor_id => %(cursor_id)s::uuid,
        page_size => %(page_size)s::integer,
        now => %(now)s::timestamptz
    ) AS listed;
