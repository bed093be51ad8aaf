-- search_conversations :many
-- The caller's conversations whose title or messages hold these words, best first.
--
-- Parameters
--   user_id         text         the caller; an anonymous caller has nothing to search in
--   words           text         as in a search engine: words, "a phrase", or, -not; the last may be begun
--   status          text         'active', 'archived', or 'all'
--   retention_days  integer      older messages, titles and conversations are not found; 0: all are
--   page_size       integer      rows wanted, 1 to 200
--   by_index        boolean      false: read the texts of the caller, even if there are indexes
--   now             timestamptz  null: the database's clock
--
-- Returns 0 to page_size rows: id, title (null: none, or it has expired), status, created_at, updated_at, model,
-- and excerpt, in which chr(2) and chr(3) stand around each word that was found.
-- Index idx_chat_messages_search, idx_conversations_search (within the function: sql/functions/search_conversations.sql);
-- conversations_pkey, chat_messages_pkey.
SELECT
    conversations.id,
    shown.title,
    conversations.status,
    conversations.created_at,
    conversations.updated_at,
    conversations.model,
    search_excerpt(
        CASE WHEN found.chat_message_id IS NULL THEN conversations.title ELSE chat_messages.content END,
        asked.marked
    ) AS excerpt
FROM
    search_conversations(
        %(words)s::text,
        %(status)s::text,
        CASE
            WHEN %(retention_days)s::integer = 0 THEN '-infinity'
            ELSE coalesce(%(now)s::timestamptz, now()) - make_interval(days => %(retention_days)s::integer)
        END,
        %(page_size)s::integer,
        %(by_index)s::boolean
    ) AS found
CROSS JOIN search_query(%(words)s::text) AS asked
INNER JOIN conversations
    ON
        found.conversation_id = conversations.id
        AND conversations.user_id IS NOT DISTINCT FROM %(user_id)s::text
CROSS JOIN
    LATERAL (
        VALUES (
            CASE
                WHEN is_kept(conversations.titled_at, %(retention_days)s::integer, %(now)s::timestamptz)
                    THEN conversations.title
            END
        )
    ) AS shown (title)
LEFT JOIN chat_messages
    ON
        found.conversation_id = chat_messages.conversation_id
        AND found.chat_message_id = chat_messages.id
        AND chat_messages.user_id IS NOT DISTINCT FROM %(user_id)s::text
ORDER BY found.score DESC, conversations.updated_at DESC, conversations.id DESC;
