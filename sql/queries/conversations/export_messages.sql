-- export_messages :many
-- A batch of the caller's messages with every column, replaced ones too, oldest first; for the export.
--
-- Parameters
--   user_id            text         the caller
--   retention_days     integer      older rows are not shown; 0: no limit
--   cursor_created_at  timestamptz  created_at of the last row seen; null: the first batch
--   cursor_id          bigint       id of that row; null: the first batch
--   batch_size         integer      rows wanted
--   max_bytes          bigint       the batch ends with the row that reaches so many bytes
--   now                timestamptz  the time; null: the database's clock
--
-- Returns 0 to batch_size rows: id, created_at, and content, a JSON object of the row's columns. Fewer: these are the
-- last, or have max_bytes.
-- to_json, because provider_state may hold texts that jsonb refuses (NUL, half a surrogate pair).
-- Index idx_chat_messages_user_id.
WITH batch AS (
    SELECT
        chat_messages.id,
        chat_messages.created_at,
        to_json(chat_messages)::text AS content
    FROM chat_messages
    WHERE
        chat_messages.user_id = %(user_id)s::text
        AND (chat_messages.created_at, chat_messages.id) > (
            coalesce(%(cursor_created_at)s::timestamptz, '-infinity'), coalesce(%(cursor_id)s::bigint, 0)
        )
        AND is_kept(chat_messages.created_at, %(retention_days)s::integer, %(now)s::timestamptz)
    ORDER BY chat_messages.created_at, chat_messages.id
    LIMIT %(batch_size)s::integer
),

measured AS (
    SELECT
        batch.id,
        batch.created_at,
        batch.content,
        sum(octet_length(batch.content)) OVER (ORDER BY batch.created_at, batch.id ROWS UNBOUNDED PRECEDING)
        - octet_length(batch.content) AS earlier_bytes
    FROM batch
)

SELECT
    measured.id,
    measured.created_at,
    measured.content
FROM measured
WHERE measured.earlier_bytes < %(max_bytes)s::bigint
ORDER BY measured.created_at, measured.id;
