-- sum_usage :many
-- The tokens that the caller has cost, by day and model; replaced answers count too, because they cost as much.
--
-- A question's own tokens are those of requests for it whose cost is in no stored answer: titles, analyses, and
-- attempts that stored nothing. No model is stored with them.
--
-- Parameters
--   user_id         text         the caller
--   first_day       date         the first day, by UTC
--   last_day        date         the last day
--   retention_days  integer      older messages are not counted; 0: no limit
--   now             timestamptz  the time; null: the database's clock
--
-- Returns a row a day and model, oldest first: model (the configured one; null: the tokens are of questions, or the
-- answer was imported), model_name (null: likewise, or the provider did not say), day, messages (the stored answers),
-- prompt_tokens, cached_tokens (those of them that the provider read from its cache), completion_tokens,
-- reasoning_tokens (those of them with which the model thought).
-- Index idx_chat_messages_user_id.
SELECT
    chat_messages.model,
    chat_messages.model_name,
    count(*) FILTER (WHERE chat_messages.role = 'assistant') AS messages,
    coalesce(sum(chat_messages.prompt_tokens), 0)::bigint AS prompt_tokens,
    coalesce(sum(chat_messages.cached_tokens), 0)::bigint AS cached_tokens,
    coalesce(sum(chat_messages.completion_tokens), 0)::bigint AS completion_tokens,
    coalesce(sum(chat_messages.reasoning_tokens), 0)::bigint AS reasoning_tokens,
    (chat_messages.created_at AT TIME ZONE 'UTC')::date AS day
FROM chat_messages
WHERE
    chat_messages.user_id = %(user_id)s::text
    AND (
        chat_messages.role = 'assistant'
        OR chat_messages.prompt_tokens IS NOT NULL
        OR chat_messages.completion_tokens IS NOT NULL
    )
    AND chat_messages.created_at >= %(first_day)s::date::timestamp AT TIME ZONE 'UTC'
    AND chat_messages.created_at < (%(last_day)s::date + 1)::timestamp AT TIME ZONE 'UTC'
    AND is_kept(chat_messages.created_at, %(retention_days)s::integer, %(now)s::timestamptz)
GROUP BY
    (chat_messages.created_at AT TIME ZONE 'UTC')::date,
    chat_messages.model,
    chat_messages.model_name
ORDER BY
    (chat_messages.created_at AT TIME ZONE 'UTC')::date,
    chat_messages.model,
    chat_messages.model_name;
