-- 010 search: full text over the titles and messages of one caller.
--
-- Locks: none.
-- Undo: 010_search.down.sql.

-- The owner is a word of each text, so that one index finds, among the messages of everybody, those that
-- hold the words and are the caller's. (An index on the words alone would first find everybody's; one on
-- both columns needs the extension btree_gin.) No parser makes a word with that character in it.
-- 'simple': it knows no language, so it serves each. The beginning: a tsvector has 1 MB at most, and an
-- answer that is longer must be stored all the same.
CREATE OR REPLACE FUNCTION search_vector(owner_id text, content text)
RETURNS tsvector LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT
        to_tsvector('pg_catalog.simple', left(content, 100000))
        || array_to_tsvector(ARRAY[chr(1) || owner_id]);
$$;
COMMENT ON FUNCTION search_vector(text, text) IS 'Parley: the words of a text, and whose it is';

-- Within the wall the operator @@ could not use an index: it might tell what it sees before a policy has
-- let it. So this works outside, for the caller that act_as_caller has let in. It tells where the words
-- stand, not what stands there: that is read within the wall, by the statement that calls it.
CREATE OR REPLACE FUNCTION search_conversations(
    query text, wanted_status text, oldest timestamptz, page_size integer
)
RETURNS TABLE (
    conversation_id uuid, chat_message_id bigint, found_words tsquery, score double precision
)
LANGUAGE plpgsql STABLE SECURITY DEFINER ROWS 20 AS $$
DECLARE
    caller_id CONSTANT text := nullif(current_setting('parley.user_id', TRUE), '');
    words tsquery := websearch_to_tsquery('pg_catalog.simple', query);
    owned_words tsquery;
    -- A page shows the best of the newest so many, since each is ranked by reading it.
    most_ranked CONSTANT integer := 500;
BEGIN
    IF caller_id IS NULL OR numnode(words) = 0 THEN
        RETURN;
    END IF;
    -- The last word may be just begun; but who leaves out cats does not mean to leave out categories.
    IF words::text LIKE '%''' AND words::text !~ '!''([^'']|'''')*''$' THEN
        words := (words::text || ':*')::tsquery;
    END IF;
    -- As a tsquery writes a word. (quote_literal puts an E before one with a backslash, which here is a
    -- letter; what follows would be read as operators.)
    owned_words := words
        && format('''%s''', replace(replace(chr(1) || caller_id, '\', '\\'), '''', ''''''))::tsquery;
    RETURN QUERY
    WITH
    found_messages AS (
        SELECT
            chat_messages.conversation_id,
            chat_messages.id,
            left(chat_messages.content, 100000) AS content
        FROM chat_messages
        WHERE
            search_vector(chat_messages.user_id, chat_messages.content) @@ owned_words
            AND chat_messages.user_id = caller_id
            AND chat_messages.superseded_at IS NULL
            AND chat_messages.role <> 'system'
            AND chat_messages.created_at >= oldest
        ORDER BY chat_messages.created_at DESC
        LIMIT most_ranked
    ),

    ranked AS (
        SELECT
            found_messages.conversation_id,
            found_messages.id AS chat_message_id,
            ts_rank(to_tsvector('pg_catalog.simple', found_messages.content), words) AS score
        FROM found_messages
        UNION ALL
        -- A title says more than a message.
        SELECT
            conversations.id,
            NULL,
            2 * ts_rank(to_tsvector('pg_catalog.simple', conversations.title), words)
        FROM conversations
        WHERE
            search_vector(conversations.user_id, conversations.title) @@ owned_words
            AND conversations.user_id = caller_id
    ),

    best AS (
        SELECT DISTINCT ON (ranked.conversation_id)
            ranked.conversation_id,
            ranked.chat_message_id,
            sum(ranked.score) OVER (PARTITION BY ranked.conversation_id) AS score
        FROM ranked
        ORDER BY ranked.conversation_id, ranked.score DESC
    )

    SELECT
        best.conversation_id,
        best.chat_message_id,
        words,
        best.score
    FROM best
    INNER JOIN conversations ON best.conversation_id = conversations.id
    WHERE
        conversations.user_id = caller_id
        AND (wanted_status = 'all' OR conversations.status = wanted_status)
        AND conversations.updated_at >= oldest
    ORDER BY best.score DESC, conversations.updated_at DESC, conversations.id DESC
    LIMIT page_size;
END
$$;
COMMENT ON FUNCTION search_conversations(text, text, timestamptz, integer)
IS 'Parley: where these words stand in the caller''s conversations: in which message (NULL: in the title)';

DO $$
BEGIN
    EXECUTE format(
        'ALTER FUNCTION search_conversations(text, text, timestamptz, integer) SET search_path = %I, pg_temp',
        current_schema()
    );
END
$$;

REVOKE EXECUTE ON FUNCTION search_conversations(text, text, timestamptz, integer) FROM public;
GRANT EXECUTE ON FUNCTION search_conversations(text, text, timestamptz, integer) TO parley_app;
