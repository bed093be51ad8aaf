-- read_history
-- Reads one conversation of the caller, and one page of its messages.
--
-- A function, because its plan is kept: planning the page with each call would cost more than reading the page. The wall
-- comes in a call of its own: a limit of time that is set within a statement does not hold for that statement, and a
-- page of large messages may take long.
--
-- Parameters
--   conversation_id     uuid         the conversation
--   user_id             text         the caller; null: anonymous, finds only conversations without an owner
--   include_superseded  boolean      true: replaced messages too
--   include_system      boolean      true: system messages too
--   retention_days      integer      older messages, titles and conversations are not shown; 0: no limit
--   cursor_id           bigint       chat_messages.id of the oldest message seen; null: first page
--   page_size           integer      messages wanted, 1 to 200
--   now                 timestamptz  the time; null: the database's clock
--
-- Returns a row for each message of the page, newest first: id, found_conversation_id, message_id, role, content,
-- created_at, updated_at, reply_to, finish_reason, model_name, prompt_tokens, completion_tokens, tool_calls, metadata,
-- files, persona, tone, behavior, context_type, confidence, signal_strength, context_clarity, needs_knowledge,
-- is_mistake, mistake_note, superseded_at, refusal, steps, reasoning_tokens, reasoning_seconds, model,
-- requested_model, cached_tokens; has_message (false: the page is empty, and this one row is the conversation alone); and
-- of the conversation: title (null: none, or it has expired), status, conversation_created_at, conversation_updated_at,
-- conversation_model. No row: the caller has no such conversation.
-- Index conversations_pkey; chat_messages_pkey: gives the page in order, so the longest conversation costs no more
-- than a short one.
CREATE OR REPLACE FUNCTION read_history(
    conversation_id uuid,
    user_id text,
    include_superseded boolean,
    include_system boolean,
    retention_days integer,
    cursor_id bigint,
    page_size integer,
    now timestamptz
)
RETURNS TABLE (
    id bigint,
    found_conversation_id uuid,
    message_id varchar,
    role varchar,
    content text,
    created_at timestamptz,
    updated_at timestamptz,
    reply_to bigint,
    finish_reason varchar,
    model_name text,
    prompt_tokens integer,
    completion_tokens integer,
    tool_calls json,
    metadata jsonb,
    files jsonb,
    persona text,
    tone text,
    behavior text,
    context_type text,
    confidence double precision,
    signal_strength double precision,
    context_clarity boolean,
    needs_knowledge boolean,
    is_mistake boolean,
    mistake_note text,
    superseded_at timestamptz,
    refusal varchar,
    steps json,
    reasoning_tokens integer,
    reasoning_seconds double precision,
    model text,
    requested_model text,
    cached_tokens integer,
    has_message boolean,
    title varchar,
    status varchar,
    conversation_created_at timestamptz,
    conversation_updated_at timestamptz,
    conversation_model text
)
LANGUAGE plpgsql STABLE SET plan_cache_mode = force_generic_plan SET search_path FROM CURRENT AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    SELECT
        page.id,
        conversations.id,
        page.message_id,
        page.role,
        page.content,
        page.created_at,
        page.updated_at,
        page.reply_to,
        page.finish_reason,
        page.model_name,
        page.prompt_tokens,
        page.completion_tokens,
        page.tool_calls,
        page.metadata,
        page.files,
        page.persona,
        page.tone,
        page.behavior,
        page.context_type,
        page.confidence,
        page.signal_strength,
        page.context_clarity,
        page.needs_knowledge,
        page.is_mistake,
        page.mistake_note,
        page.superseded_at,
        page.refusal,
        page.steps,
        page.reasoning_tokens,
        page.reasoning_seconds,
        page.model,
        page.requested_model,
        page.cached_tokens,
        page.id IS NOT NULL,
        CASE
            WHEN is_kept(conversations.titled_at, read_history.retention_days, read_history.now)
                THEN conversations.title
        END,
        conversations.status,
        conversations.created_at,
        conversations.updated_at,
        conversations.model
    FROM conversations
    LEFT JOIN LATERAL (
        SELECT chat_messages.*
        FROM chat_messages
        WHERE
            chat_messages.conversation_id = read_history.conversation_id
            -- CASE, not coalesce: Postgres takes coalesce for leaky, and so lets no index use it behind the wall.
            AND chat_messages.id
            < CASE WHEN read_history.cursor_id IS NULL THEN 9223372036854775807 ELSE read_history.cursor_id END
            -- Within CASE, which the planner expects to be true of every second message. From the bare conditions it
            -- expects few messages, and so it would sort the whole conversation instead of walking down its key.
            AND CASE
                WHEN chat_messages.user_id IS NOT DISTINCT FROM read_history.user_id
                    THEN
                        (read_history.include_superseded OR chat_messages.superseded_at IS NULL)
                        AND (read_history.include_system OR chat_messages.role <> 'system')
                        AND is_kept(chat_messages.created_at, read_history.retention_days, read_history.now)
            END
        ORDER BY chat_messages.id DESC
        LIMIT read_history.page_size
    ) AS page ON TRUE
    WHERE
        conversations.id = read_history.conversation_id
        AND conversations.user_id IS NOT DISTINCT FROM read_history.user_id
        AND is_kept(conversations.updated_at, read_history.retention_days, read_history.now);
END
$$;
COMMENT ON FUNCTION read_history(
    uuid, text, boolean, boolean, integer, bigint, integer, timestamptz
)
IS 'Parley: a conversation of the caller, and one page of its messages';
