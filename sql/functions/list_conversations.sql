-- list_conversations
-- Lists one page of the caller's conversations, most recently used first.
--
-- A function, because its plan is kept. A conversation knows its number of messages and the last one, unless some of its
-- messages may have expired, or were written or deleted by hand: then this counts.
--
-- Parameters
--   user_id            text         the caller; an anonymous caller has no list
--   shown_status       text         'active', 'archived', or 'all'
--   retention_days     integer      older rows are not shown; 0: no limit
--   cursor_updated_at  timestamptz  updated_at of the last row seen; null: first page
--   cursor_id          uuid         id of that row; null: first page
--   page_size          integer      rows wanted
--   now                timestamptz  null: the database's clock
--
-- Returns 0 to page_size rows: id, title (null: none, or it has expired), status, created_at, updated_at, model,
-- message_count, and last_message, its first 120 characters (null: no message is left).
-- Index idx_conversations_user_id, idx_conversations_user_status: give the order, so a page reads no further rows;
-- chat_messages_pkey.
CREATE OR REPLACE FUNCTION list_conversations(
    user_id text,
    shown_status text,
    retention_days integer,
    cursor_updated_at timestamptz,
    cursor_id uuid,
    page_size integer,
    now timestamptz
)
RETURNS TABLE (
    id uuid,
    title varchar,
    status varchar,
    created_at timestamptz,
    updated_at timestamptz,
    model text,
    message_count integer,
    last_message text
)
LANGUAGE plpgsql STABLE SET plan_cache_mode = force_generic_plan SET search_path FROM CURRENT AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    SELECT
        page.id,
        CASE
            WHEN is_kept(page.titled_at, list_conversations.retention_days, list_conversations.now) THEN page.title
        END,
        page.status,
        page.created_at,
        page.updated_at,
        page.model,
        CASE
            WHEN page.is_counted THEN page.message_count
            ELSE (
                SELECT count(*)::integer
                FROM chat_messages
                WHERE
                    chat_messages.conversation_id = page.id
                    AND chat_messages.user_id = list_conversations.user_id
                    AND chat_messages.superseded_at IS NULL
                    AND chat_messages.role <> 'system'
                    AND is_kept(
                        chat_messages.created_at, list_conversations.retention_days, list_conversations.now
                    )
            )
        END,
        CASE
            WHEN page.is_counted THEN page.last_message
            ELSE (
                SELECT left(chat_messages.content, 120)
                FROM chat_messages
                WHERE
                    chat_messages.conversation_id = page.id
                    -- CASE: see the policy own_conversations.
                    AND CASE
                        WHEN chat_messages.user_id = list_conversations.user_id
                            THEN
                                chat_messages.superseded_at IS NULL
                                AND chat_messages.role <> 'system'
                                AND is_kept(
                                    chat_messages.created_at,
                                    list_conversations.retention_days,
                                    list_conversations.now
                                )
                    END
                ORDER BY chat_messages.id DESC
                LIMIT 1
            )
        END
    FROM (
        -- Of one status, or of all: one of the two finds no row without a look. Each has an index for its order.
        (
            SELECT
                conversations.*,
                conversations.message_count IS NOT NULL
                AND is_kept(conversations.created_at, list_conversations.retention_days, list_conversations.now)
                    AS is_counted
            FROM conversations
            WHERE
                conversations.user_id = list_conversations.user_id
                AND conversations.status = list_conversations.shown_status
                -- A row comparison is an index condition in every plan; `cursor IS NULL OR ...` only in custom plans.
                AND (conversations.updated_at, conversations.id) < (
                    coalesce(list_conversations.cursor_updated_at, 'infinity'),
                    coalesce(list_conversations.cursor_id, 'ffffffff-ffff-ffff-ffff-ffffffffffff')
                )
                AND is_kept(conversations.updated_at, list_conversations.retention_days, list_conversations.now)
            ORDER BY conversations.updated_at DESC, conversations.id DESC
            LIMIT list_conversations.page_size
        )
        UNION ALL
        (
            SELECT
                conversations.*,
                conversations.message_count IS NOT NULL
                AND is_kept(conversations.created_at, list_conversations.retention_days, list_conversations.now)
                    AS is_counted
            FROM conversations
            WHERE
                list_conversations.shown_status = 'all'
                AND conversations.user_id = list_conversations.user_id
                AND (conversations.updated_at, conversations.id) < (
                    coalesce(list_conversations.cursor_updated_at, 'infinity'),
                    coalesce(list_conversations.cursor_id, 'ffffffff-ffff-ffff-ffff-ffffffffffff')
                )
                AND is_kept(conversations.updated_at, list_conversations.retention_days, list_conversations.now)
            ORDER BY conversations.updated_at DESC, conversations.id DESC
            LIMIT list_conversations.page_size
        )
    ) AS page
    ORDER BY page.updated_at DESC, page.id DESC;
END
$$;
COMMENT ON FUNCTION list_conversations(
    text, text, integer, timestamptz, uuid, integer, timestamptz
)
IS 'Parley: one page of the caller''s conversations';
