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
RETURNS tsvector LANGUAGE sql IMMUTABLE PARALLEL SAFE
-- RETURN: bound when it is made, so that no search_path decides what the names in it mean.
RETURN (
    to_tsvector('pg_catalog.simple', left(content, 100000))
    || array_to_tsvector(ARRAY[chr(1) || owner_id])
);
COMMENT ON FUNCTION search_vector(text, text) IS 'Parley: the words of a text, and its owner as one of them';

-- gin_pending_list_limit: new words wait in a list, and the turn that fills it moves all of them into the index. The
-- default of 4 MB has one turn in some thousands work for 256 ms; 128 kB, one in about a hundred for at most 27. Of
-- 6,000 turns with real words (a busy machine, 200,000 messages):
--     limit        longest turn  write-ahead log a turn
--     4 MB         256 ms        13.0 KB
--     256 kB        40 ms        20.7 KB
--     128 kB        27 ms        22.6 KB
--     no list        6 ms        26.3 KB
--     no index       4 ms         7.8 KB
-- A longer list writes less, because a page of the index takes several words at once.

-- search_conversations: messages.
-- squawk-ignore ban-concurrent-index-creation-in-transaction
CREATE INDEX CONCURRENTLY IF NOT EXISTS idx_chat_messages_search
ON chat_messages USING gin (search_vector(user_id, content)) WITH (gin_pending_list_limit = 128)
WHERE user_id IS NOT NULL AND superseded_at IS NULL;

-- search_conversations: titles.
-- squawk-ignore ban-concurrent-index-creation-in-transaction
CREATE INDEX CONCURRENTLY IF NOT EXISTS idx_conversations_search
ON conversations USING gin (search_vector(user_id, title)) WITH (gin_pending_list_limit = 128)
WHERE user_id IS NOT NULL;
