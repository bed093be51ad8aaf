-- search_conversations
-- Finds the messages and titles of the caller that hold the words of a query, best first.
--
-- It works outside the wall, for the caller of act_as_caller: within it the operator @@ could not use an index,
-- because it is not leakproof, and Postgres then checks the policy of each row first. It returns the place of the
-- words, not the text: the calling statement reads the text within the wall.
--
-- Parameters
--   query          text         words, "a phrase", or, -not, as in a search engine; the last may be unfinished
--   wanted_status  text         'active', 'archived', or 'all'
--   oldest         timestamptz  older messages, titles and conversations are not found
--   page_size      integer      conversations wanted
--
-- Returns 0 to page_size rows: conversation_id, chat_message_id (null: the title), found_words, score.
-- Index idx_chat_messages_search, idx_conversations_search, conversations_pkey.
CREATE OR REPLACE FUNCTION search_conversations(
    query text, wanted_status text, oldest timestamptz, page_size integer
)
RETURNS TABLE (
    conversation_id uuid, chat_message_id bigint, found_words tsquery, score double precision
)
LANGUAGE plpgsql STABLE SECURITY DEFINER ROWS 20 SET search_path FROM CURRENT AS $$
DECLARE
    caller_id CONSTANT text := nullif(current_setting('parley.user_id', TRUE), '');
    words tsquery := websearch_to_tsquery('pg_catalog.simple', query);
    owned_words tsquery;
    -- Only the newest messages are ranked, because ranking reads each of them.
    most_ranked CONSTANT integer := 500;
BEGIN
    IF caller_id IS NULL OR numnode(words) = 0 THEN
        RETURN;
    END IF;
    -- The last word may be unfinished, unless it is excluded: -cat does not exclude categories.
    IF words::text LIKE '%''' AND words::text !~ '!''([^'']|'''')*''$' THEN
        words := (words::text || ':*')::tsquery;
    END IF;
    -- Quoted as tsquery quotes a word. (quote_literal puts an E before a text with a backslash; in a tsquery that E
    -- would be a word, and the text after it operators.)
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
        -- A title counts twice as much as a message.
        SELECT
            conversations.id,
            NULL,
            2 * ts_rank(to_tsvector('pg_catalog.simple', conversations.title), words)
        FROM conversations
        WHERE
            search_vector(conversations.user_id, conversations.title) @@ owned_words
            AND conversations.user_id = caller_id
            AND conversations.titled_at >= oldest
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
IS 'Parley: the caller''s conversations that hold these words, each with the best message (NULL: the title)';
REVOKE EXECUTE ON FUNCTION search_conversations(text, text, timestamptz, integer) FROM public;
GRANT EXECUTE ON FUNCTION search_conversations(text, text, timestamptz, integer) TO parley_app;
