-- search_conversations
-- Finds the messages and titles of the caller that hold the words of a query, best first.
--
-- It works outside the wall, for the caller of act_as_caller: within it the operator @@ could not use an index,
-- because it is not leakproof, and Postgres then checks the policy of each row first. It returns the place of the
-- words, not the text: the calling statement reads the text within the wall.
--
-- It finds the texts by the search indexes or, with SEARCH=scan and while an index is missing or being built, by
-- reading all texts of the caller. Both ways find the same.
--
-- Parameters
--   query          text         words, "a phrase", or, -not, as in a search engine; the last may be unfinished
--   wanted_status  text         'active', 'archived', or 'all'
--   oldest         timestamptz  older messages, titles and conversations are not found
--   page_size      integer      conversations wanted
--   by_index       boolean      false: read the texts of the caller, even if there are indexes
--
-- Returns 0 to page_size rows: conversation_id, chat_message_id (null: the title), score.
-- Index idx_chat_messages_search, idx_conversations_search, or without them idx_chat_messages_user_id;
-- conversations_pkey.
CREATE OR REPLACE FUNCTION search_conversations(
    query text, wanted_status text, oldest timestamptz, page_size integer, by_index boolean
)
RETURNS TABLE (
    conversation_id uuid, chat_message_id bigint, score double precision
)
-- One plan serves all words and callers, and its conditions fit no other index. Left to choose, the planner took the
-- index of users from the sixth search of a connection on, because the average user has few messages: for a user with
-- 20,000 it read all of them, in 1,000 ms instead of 3.
LANGUAGE plpgsql STABLE SECURITY DEFINER ROWS 20
SET search_path FROM CURRENT SET plan_cache_mode = force_generic_plan AS $$
DECLARE
    caller_id CONSTANT text := nullif(current_setting('parley.user_id', TRUE), '');
    asked record;
    owned_words tsquery;
    -- Only the newest messages are ranked, because ranking reads each of them.
    most_ranked CONSTANT integer := 500;
    is_indexed CONSTANT boolean := by_index AND (
        SELECT count(*) = 2
        FROM pg_index
        WHERE
            pg_index.indexrelid
            = any(ARRAY[to_regclass('idx_chat_messages_search'), to_regclass('idx_conversations_search')])
            AND pg_index.indisvalid
    );
    -- Comparing patterns costs a tenth of taking a text apart, which then only few texts need. The index finds single
    -- words without either.
    needed text[];
BEGIN
    SELECT
        read_query.words,
        read_query.coarse,
        read_query.is_exact,
        read_query.needed
    INTO asked
    FROM search_query(query) AS read_query;
    IF caller_id IS NULL OR numnode(asked.words) = 0 THEN
        RETURN;
    END IF;
    needed := CASE WHEN is_indexed AND asked.is_exact THEN '{}' ELSE asked.needed END;
    -- Quoted as tsquery quotes a word. (quote_literal puts an E before a text with a backslash; in a tsquery that E
    -- would be a word, and the text after it operators.)
    owned_words := asked.coarse
        && format('''%s''', replace(replace(chr(1) || caller_id, E'\\', E'\\\\'), '''', ''''''))::tsquery;
    RETURN QUERY
    WITH
    found_messages AS (
        -- From the newest on, and no further than most_ranked need it.
        SELECT
            candidates.conversation_id,
            candidates.id,
            texts.words
        FROM (
            SELECT
                matches.conversation_id,
                matches.id,
                matches.content
            FROM (
                SELECT
                    chat_messages.conversation_id,
                    chat_messages.id,
                    chat_messages.content,
                    chat_messages.role,
                    chat_messages.created_at
                FROM chat_messages
                WHERE
                    is_indexed
                    AND search_vector(chat_messages.user_id, chat_messages.content) @@ owned_words
                    -- Not `=`, and time and order outside of OFFSET, so that no other index serves.
                    AND chat_messages.user_id IS NOT DISTINCT FROM caller_id
                    AND chat_messages.user_id IS NOT NULL
                    AND chat_messages.superseded_at IS NULL
                UNION ALL
                SELECT
                    chat_messages.conversation_id,
                    chat_messages.id,
                    chat_messages.content,
                    chat_messages.role,
                    chat_messages.created_at
                FROM chat_messages
                WHERE
                    NOT is_indexed
                    AND chat_messages.user_id = caller_id
                    AND chat_messages.superseded_at IS NULL
                    AND chat_messages.created_at >= oldest
                OFFSET 0
            ) AS matches
            WHERE
                matches.role <> 'system'
                AND matches.created_at >= oldest
                AND (
                    needed = '{}'
                    OR lower(translate(search_fold(matches.content), '-''.,', '') COLLATE "C") LIKE ALL (needed)
                )
            ORDER BY matches.created_at DESC, matches.id DESC
            OFFSET 0
        ) AS candidates
        CROSS JOIN LATERAL (SELECT search_words(candidates.content) AS words OFFSET 0) AS texts
        WHERE texts.words @@ asked.words
        LIMIT most_ranked
    ),

    found_titles AS (
        SELECT
            titles.id,
            titles.titled_at,
            texts.words
        FROM (
            SELECT
                conversations.id,
                conversations.title,
                conversations.titled_at
            FROM conversations
            WHERE
                is_indexed
                AND search_vector(conversations.user_id, conversations.title) @@ owned_words
                AND conversations.user_id IS NOT DISTINCT FROM caller_id
                AND conversations.user_id IS NOT NULL
            UNION ALL
            SELECT
                conversations.id,
                conversations.title,
                conversations.titled_at
            FROM conversations
            WHERE
                NOT is_indexed
                AND conversations.user_id = caller_id
            OFFSET 0
        ) AS titles
        CROSS JOIN LATERAL (SELECT search_words(titles.title) AS words OFFSET 0) AS texts
        WHERE titles.title IS NOT NULL AND texts.words @@ asked.words
    ),

    ranked AS (
        SELECT
            found_messages.conversation_id,
            found_messages.id AS chat_message_id,
            ts_rank(found_messages.words, asked.words) AS score
        FROM found_messages
        UNION ALL
        -- A title counts twice as much as a message.
        SELECT
            found_titles.id,
            NULL,
            2 * ts_rank(found_titles.words, asked.words)
        FROM found_titles
        WHERE found_titles.titled_at >= oldest
    ),

    best AS (
        SELECT DISTINCT ON (ranked.conversation_id)
            ranked.conversation_id,
            ranked.chat_message_id,
            sum(ranked.score) OVER (PARTITION BY ranked.conversation_id) AS score
        FROM ranked
        ORDER BY ranked.conversation_id, ranked.score DESC, ranked.chat_message_id DESC
    )

    SELECT
        best.conversation_id,
        best.chat_message_id,
        best.score
    FROM best
    INNER JOIN conversations ON best.conversation_id = conversations.id
    WHERE
        conversations.user_id IS NOT DISTINCT FROM caller_id
        AND (wanted_status = 'all' OR conversations.status = wanted_status)
        AND conversations.updated_at >= oldest
    ORDER BY best.score DESC, conversations.updated_at DESC, conversations.id DESC
    LIMIT page_size;
END
$$;
COMMENT ON FUNCTION search_conversations(text, text, timestamptz, integer, boolean)
IS 'Parley: the caller''s conversations that hold these words, each with the best message (NULL: the title)';
