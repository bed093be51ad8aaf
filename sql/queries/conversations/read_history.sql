-- read_history :many
-- One conversation of the caller and one page of its messages, newest first.
--
-- `*`, because the function names its columns: to parse 35 names again would cost a tenth of the whole step. Of them
-- one is renamed, because a parameter of the function has its name.
-- Parameters, result and indexes: sql/functions/read_history.sql.
SELECT history.* -- noqa: AM04
FROM
    read_history(
        conversation_id => %(conversation_id)s::uuid,
        user_id => %(user_id)s::text,
        include_superseded => %(include_superseded)s::boolean,
        include_system => %(include_system)s::boolean,
        retention_days => %(retention_days)s::integer,
        cursor_id => %(cursor_id)s::bigint,
        page_size => %(page_size)s::integer,
        now => %(now)s::timestamptz
    ) AS history (id, conversation_id);
