-- list_turn_messages
-- Lists the messages that a turn reads: the question, the messages before it, and its answer.
--
-- Called after begin_turn, in the same round trip. A function, because its plan is kept. For a plain new message the
-- number of messages is known (conversations.message_count), so the window is a walk down the primary key, however long
-- the conversation is; for all others the messages are counted.
--
-- The window of messages moves in blocks of half its size: between two moves, a request to the model begins with the
-- bytes of the last one, which providers bill at a tenth to a fiftieth. So it holds half of history_messages or more.
--
-- Parameters
--   conversation_id    uuid         the conversation
--   user_id            text         the caller; null: anonymous
--   turn_id            uuid         token of this attempt
--   message_id         text         id of the question, unless the turn is this attempt's
--   history_messages   integer      messages wanted at most up to the question, not counting system messages
--   seen_types         text[]       media types of files that providers read themselves
--   max_seen           integer      files of those types that the model gets at most
--   max_bytes          bigint       bytes of them that it gets at most
--   max_text_bytes     bigint       bytes of texts that it gets at most of one message
--   max_text_end       integer      bytes of one text that it gets at most
--   max_beginning_end  integer      the same of a message that is not among the newest
--   retention_days     integer      older messages are not read; 0: keep all
--   now                timestamptz  null: the database's clock
--
-- Returns at most history_messages rows up to the question, the system messages before it, and its current answer if
-- there is one; oldest first: columns of chat_messages, which are id, listed_conversation_id, listed_message_id, role,
-- content, created_at, updated_at, reply_to, finish_reason, model_name, prompt_tokens, completion_tokens, tool_calls, metadata,
-- files, persona, tone, behavior, context_type, confidence, signal_strength, context_clarity, needs_knowledge,
-- is_mistake, mistake_note, superseded_at, refusal, steps, reasoning_tokens, reasoning_seconds, model, requested_model,
-- cached_tokens, provider_state. In files of a turn that is this attempt's each file has its size and, if the model gets
-- it, its bytes as a data URL.
-- Index conversations_pkey, chat_messages_pkey, uq_chat_messages_message_id, uq_chat_messages_reply_to,
-- idx_chat_messages_system.
CREATE OR REPLACE FUNCTION list_turn_messages(
    conversation_id uuid,
    user_id text,
    turn_id uuid,
    message_id text,
    history_messages integer,
    seen_types text[],
    max_seen integer,
    max_bytes bigint,
    max_text_bytes bigint,
    max_text_end integer,
    max_beginning_end integer,
    retention_days integer,
    now timestamptz
)
RETURNS TABLE (
    id bigint,
    listed_conversation_id uuid,
    listed_message_id varchar,
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
    files json,
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
    provider_state json
)
LANGUAGE plpgsql VOLATILE
SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET search_path FROM CURRENT AS $$
#variable_conflict use_column
DECLARE
    block_size CONSTANT integer := (history_messages + 1) / 2;
    known_count integer;
    first_id bigint;
    other_ids bigint[];
    lowest_id bigint;
BEGIN
    -- Known where the turn is this attempt's, no message is later than the question, and all messages are kept.
    SELECT conversations.message_count INTO known_count
    FROM conversations
    CROSS JOIN
        LATERAL (
            SELECT chat_messages.message_id
            FROM chat_messages
            WHERE
                chat_messages.conversation_id = list_turn_messages.conversation_id
                AND CASE WHEN chat_messages.user_id IS NOT DISTINCT FROM list_turn_messages.user_id THEN TRUE END
            ORDER BY chat_messages.id DESC
            LIMIT 1
        ) AS newest
    WHERE
        conversations.id = list_turn_messages.conversation_id
        AND conversations.user_id IS NOT DISTINCT FROM list_turn_messages.user_id
        AND conversations.turn_id = list_turn_messages.turn_id
        AND conversations.turn_message_id = newest.message_id
        AND is_kept(conversations.created_at, list_turn_messages.retention_days, list_turn_messages.now);
    IF known_count IS NOT NULL THEN
        -- The messages before the window are whole blocks: the fewest that leave history_messages or less.
        first_id := (
            SELECT chat_messages.id
            FROM chat_messages
            WHERE
                chat_messages.conversation_id = list_turn_messages.conversation_id
                -- CASE, because the planner makes no estimate of it, and so takes the order of the key instead of
                -- sorting.
                AND CASE
                    WHEN chat_messages.user_id IS NOT DISTINCT FROM list_turn_messages.user_id
                        THEN chat_messages.superseded_at IS NULL AND chat_messages.role <> 'system'
                END
            ORDER BY chat_messages.id DESC
            OFFSET greatest(
                known_count - 1 - block_size * greatest(
                    (known_count - history_messages + block_size - 1) / block_size, 0
                ),
                0
            )
            LIMIT 1
        );
        other_ids := ARRAY(
            SELECT chat_messages.id
            FROM chat_messages
            WHERE
                chat_messages.conversation_id = list_turn_messages.conversation_id
                AND chat_messages.user_id IS NOT DISTINCT FROM list_turn_messages.user_id
                AND chat_messages.role = 'system'
                AND chat_messages.superseded_at IS NULL
                AND is_kept(chat_messages.created_at, list_turn_messages.retention_days, list_turn_messages.now)
        );
    END IF;
    -- Also where the number is wrong: the question must never be missing for it.
    IF first_id IS NULL THEN
        other_ids := ARRAY(
            WITH
            current_messages AS NOT MATERIALIZED (
                SELECT
                    chat_messages.id,
                    chat_messages.message_id,
                    chat_messages.role,
                    chat_messages.reply_to
                FROM chat_messages
                WHERE
                    chat_messages.conversation_id = list_turn_messages.conversation_id
                    AND chat_messages.user_id IS NOT DISTINCT FROM list_turn_messages.user_id
                    AND chat_messages.superseded_at IS NULL
                    AND is_kept(chat_messages.created_at, list_turn_messages.retention_days, list_turn_messages.now)
            ),

            question AS (
                SELECT current_messages.id
                FROM current_messages
                WHERE
                    current_messages.role = 'user'
                    AND current_messages.message_id = coalesce(
                        (
                            SELECT conversations.turn_message_id
                            FROM conversations
                            WHERE
                                conversations.id = list_turn_messages.conversation_id
                                AND conversations.user_id IS NOT DISTINCT FROM list_turn_messages.user_id
                                AND (
                                    conversations.turn_id = list_turn_messages.turn_id
                                    OR list_turn_messages.message_id IS NULL
                                )
                        ),
                        list_turn_messages.message_id
                    )
            ),

            -- Read once, from the index alone: to count, and to choose.
            past_messages AS MATERIALIZED (
                SELECT
                    current_messages.id,
                    current_messages.role
                FROM current_messages
                WHERE current_messages.id <= (SELECT question.id FROM question)
            ),

            -- The number of messages that may be told.
            conversation AS (
                SELECT count(*) AS message_count
                FROM past_messages
                WHERE past_messages.role <> 'system'
            ),

            -- The messages before the window are whole blocks: the fewest that leave history_messages or less.
            history AS (
                SELECT
                    conversation.message_count - block_size * greatest(
                        (conversation.message_count - history_messages + block_size - 1) / block_size, 0
                    ) AS message_count
                FROM conversation
            ),

            wanted AS (
                (
                    SELECT past_messages.id
                    FROM past_messages
                    WHERE past_messages.role <> 'system'
                    ORDER BY past_messages.id DESC
                    LIMIT (SELECT history.message_count FROM history)
                )
                UNION ALL
                SELECT past_messages.id
                FROM past_messages
                WHERE past_messages.role = 'system'
                UNION ALL
                SELECT current_messages.id
                FROM current_messages
                WHERE current_messages.reply_to = (SELECT question.id FROM question)
            )

            SELECT wanted.id FROM wanted
        );
    END IF;
    lowest_id := least(first_id, (SELECT min(other.id) FROM unnest(other_ids) AS other (id)));

    RETURN QUERY
    SELECT
        listed.id,
        listed.conversation_id,
        listed.message_id,
        listed.role,
        listed.content,
        listed.created_at,
        listed.updated_at,
        listed.reply_to,
        listed.finish_reason,
        listed.model_name,
        listed.prompt_tokens,
        listed.completion_tokens,
        listed.tool_calls,
        listed.metadata,
        -- A turn without files costs no call.
        CASE
            WHEN listed.files IS NOT NULL
                THEN
                    told_files(
                        list_turn_messages.conversation_id,
                        list_turn_messages.user_id,
                        list_turn_messages.turn_id,
                        listed.id,
                        listed.files,
                        seen_types,
                        max_seen,
                        max_bytes,
                        max_text_bytes,
                        max_text_end,
                        max_beginning_end
                    )
        END AS files,
        listed.persona,
        listed.tone,
        listed.behavior,
        listed.context_type,
        listed.confidence,
        listed.signal_strength,
        listed.context_clarity,
        listed.needs_knowledge,
        listed.is_mistake,
        listed.mistake_note,
        listed.superseded_at,
        listed.refusal,
        listed.steps,
        listed.reasoning_tokens,
        listed.reasoning_seconds,
        listed.model,
        listed.requested_model,
        listed.cached_tokens,
        listed.provider_state
    FROM chat_messages AS listed
    WHERE
        listed.conversation_id = list_turn_messages.conversation_id
        -- The key gives them in order. From the first system message on, where there is one.
        AND listed.id >= lowest_id
        AND CASE
            WHEN listed.user_id IS NOT DISTINCT FROM list_turn_messages.user_id
                THEN
                    listed.id = any(other_ids)
                    OR (
                        listed.id >= first_id
                        AND listed.superseded_at IS NULL
                        AND listed.role <> 'system'
                        AND is_kept(listed.created_at, list_turn_messages.retention_days, list_turn_messages.now)
                    )
        END
    ORDER BY listed.id;
END
$$;
COMMENT ON FUNCTION list_turn_messages(
    uuid, text, uuid, text, integer, text[], integer, bigint, bigint, integer, integer, integer, timestamptz
)
IS 'Parley: the messages that a turn reads';
