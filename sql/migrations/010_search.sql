-- 010 search: full-text indexes over the titles and messages of each user.
--
-- Locks: none that a turn waits for. Built CONCURRENTLY, outside a transaction, because after a way back the tables
-- have rows; an index that was interrupted is built again (sql/apply_indexes.sql).
-- Undo: 010_search.down.sql.

-- The owner is one of the words of a text, so that one index finds the texts that have the words and are the
-- caller's. (An index on the words alone would first find all users' texts; an index on both columns needs the
-- extension btree_gin.) No parser makes a word with chr(1) in it. 'simple' belongs to no language and so serves all.
-- Only the beginning of a text is indexed: a tsvector holds 1 MB at most, and a longer answer must be stored too.
-- Not in sql/functions: the indexes have stored its results, so a change of it must build them again.
CREATE OR REPLACE FUNCTION search_vector(owner_id text, content text)
RETURNS tsvector LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT
        to_tsvector('pg_catalog.simple', left(content, 100000))
        || array_to_tsvector(ARRAY[chr(1) || owner_id]);
$$;
COMMENT ON FUNCTION search_vector(text, text) IS 'Parley: the words of a text, and its owner as one of them';

-- search_conversations: messages.
-- squawk-ignore ban-concurrent-index-creation-in-transaction
CREATE INDEX CONCURRENTLY IF NOT EXISTS idx_chat_messages_search
ON chat_messages USING gin (search_vector(user_id, content))
WHERE user_id IS NOT NULL AND superseded_at IS NULL;

-- search_conversations: titles.
-- squawk-ignore ban-concurrent-index-creation-in-transaction
CREATE INDEX CONCURRENTLY IF NOT EXISTS idx_conversations_search
ON conversations USING gin (search_vector(user_id, title))
WHERE user_id IS NOT NULL;
