-- list_unsummarized :many
-- List the messages that a summary is to be made of, oldest first.
--
-- Parameters
--   conversation_id  uuid         the conversation
--   user_id          text         the caller; null: anonymous
--   known_id         bigint       through_id of the summary that the new one goes on from; 0: there is none
--   through_id       bigint       chat_messages.id of the last message wanted
--   max_messages     integer      messages wanted at most
--   max_chars        integer      characters of each text, and of each answer's tool calls, at most
--   retention_days   integer      older messages are not listed; 0: keep all
--   now              timestamptz  the time; null: the database's clock
--
-- Returns 0 to max_messages rows: id, role, content, tool_calls (null: there are none), file_names (null: there are
-- none), created_at. Without system messages, which the model is told for good, and without questions that the provider
-- has refused.
-- Index chat_messages_pkey.
SELECT -- noqa: ST06
    chat_messages.id,
    chat_messages.role,
    left(chat_messages.content, %(max_chars)s::integer) AS content,
    left(chat_messages.tool_calls::text, %(max_chars)s::integer) AS tool_calls,
    (
        SELECT string_agg(file.described ->> 'filename', ', ')
        FROM jsonb_array_elements(chat_messages.files) AS file (described)
    ) AS file_names,
    chat_messages.created_at
FROM chat_messages
WHERE
    chat_messages.conversation_id = %(conversation_id)s::uuid
    -- CASE, because the planner makes no estimate of it, and so takes the order of the key instead of sorting.
    AND CASE
        WHEN chat_messages.user_id IS NOT DISTINCT FROM %(user_id)s::text
            THEN
                chat_messages.superseded_at IS NULL
                AND chat_messages.role <> 'system'
                AND chat_messages.refusal IS NULL
                AND is_kept(chat_messages.created_at, %(retention_days)s::integer, %(now)s::timestamptz)
    END
    AND chat_messages.id > %(known_id)s::bigint
    AND chat_messages.id <= %(through_id)s::bigint
ORDER BY chat_messages.id
LIMIT %(max_messages)s::integer;
