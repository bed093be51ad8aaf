-- list_unsummarized :many
-- List the messages that a summary is to be made of, oldest first.
--
-- Parameters
--   conversation_id  uuid         the conversation
--   user_id          text         the caller; null: anonymous
--   known_id         bigint       through_id of the summary that the new one goes on from; 0: there is none
--   through_id       bigint       chat_messages.id of the last message wanted
--   max_messages     integer      messages wanted at most
--   max_chars        integer      characters of their texts and tool calls together; the first is listed, however long
--   retention_days   integer      older messages are not listed; 0: keep all
--   now              timestamptz  the time; null: the database's clock
--
-- Returns 0 to max_messages rows: id, role, content, steps (null: content and files tell them), tool_calls (its
-- beginning; null: there are none), file_names (null: there are none), is_mistake, mistake_note, created_at, and
-- is_last, true for the last message wanted. Without system messages, which the model is told for good, and without
-- questions that the provider has refused.
-- Index chat_messages_pkey.
SELECT
    listed.id,
    listed.role,
    listed.content,
    listed.steps,
    listed.tool_calls,
    listed.file_names,
    listed.is_mistake,
    listed.mistake_note,
    listed.created_at,
    listed.is_last
FROM (
    SELECT -- noqa: ST06
        wanted.id,
        wanted.role,
        wanted.content,
        wanted.steps,
        wanted.tool_calls,
        wanted.file_names,
        wanted.is_mistake,
        wanted.mistake_note,
        wanted.created_at,
        row_number() OVER in_order AS place,
        lead(wanted.id) OVER in_order IS NULL AS is_last,
        sum(length(wanted.content) + coalesce(length(wanted.tool_calls), 0)) OVER in_order AS chars
    FROM (
        SELECT -- noqa: ST06
            chat_messages.id,
            chat_messages.role,
            chat_messages.content,
            CASE WHEN chat_messages.role = 'user' THEN chat_messages.steps END AS steps,
            left(chat_messages.tool_calls::text, %(max_chars)s::integer) AS tool_calls,
            (
                SELECT string_agg(file.described ->> 'filename', ', ')
                FROM jsonb_array_elements(chat_messages.files) AS file (described)
            ) AS file_names,
            chat_messages.is_mistake,
            chat_messages.mistake_note,
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
        -- One more, to know whether these are all.
        LIMIT %(max_messages)s::integer + 1
    ) AS wanted
    WINDOW in_order AS (ORDER BY wanted.id)
) AS listed
WHERE listed.place <= %(max_messages)s::integer AND (listed.place = 1 OR listed.chars <= %(max_chars)s::integer)
ORDER BY listed.id;
