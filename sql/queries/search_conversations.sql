-- search_conversations :many
-- The caller's conversations whose title or messages hold these words, best first.
--
-- Parameters
--   words           text         as in a search engine: words, "a phrase", or, -not; the last may be begun
--   status          text         'active', 'archived', or 'all'
--   retention_days  integer      older messages and conversations are not found; 0: all are
--   page_size       integer      rows wanted, 1 to 200
--   now             timestamptz  null: the database's clock
--
-- Returns 0 to page_size rows: id, title, status, created_at, updated_at, and excerpt, in which chr(2)
-- and chr(3) stand around each word that was found.
-- Index idx_chat_messages_search, idx_conversations_search (in 010_search.sql, which says why it is a
-- function, and takes the caller from act_as_caller).
SELECT
    found.id,
    found.title,
    found.status,
    found.created_at,
    found.updated_at,
    found.excerpt
FROM search_conversations(
    %(words)s::text,
    %(status)s::text,
    CASE
        WHEN %(retention_days)s::integer = 0 THEN '-infinity'
        ELSE coalesce(%(now)s::timestamptz, now()) - make_interval(days => %(retention_days)s::integer)
    END,
    %(page_size)s::integer
) AS found;
