-- store_import :many
-- Store conversations and messages that the caller brings along from elsewhere.
--
-- Parameters, result and indexes: sql/functions/store_import.sql.
SELECT
    stored.kind,
    stored.outcome,
    stored.row_count
FROM
    store_import(
        user_id => %(user_id)s::text,
        given_conversations => %(given_conversations)s::json,
        given_messages => %(given_messages)s::json,
        max_messages => %(max_messages)s::integer,
        quota_subjects => %(quota_subjects)s::text[],
        bytes_per_day => %(bytes_per_day)s::bigint[],
        now => %(now)s::timestamptz
    ) AS stored;
