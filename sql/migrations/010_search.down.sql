-- Takes back 010 search. Lost: nothing stored.

-- Each signature of these names: a later version may have made another one.
DO $$
DECLARE
    signature regprocedure;
BEGIN
    FOR signature IN
        SELECT pg_proc.oid
        FROM pg_proc
        WHERE
            pg_proc.pronamespace = current_schema()::regnamespace
            AND pg_proc.proname IN ('search_conversations', 'search_excerpt', 'search_query')
            AND obj_description(pg_proc.oid, 'pg_proc') LIKE 'Parley:%'
    LOOP
        EXECUTE format('DROP FUNCTION %s', signature);
    END LOOP;
END
$$;
DROP INDEX IF EXISTS idx_conversations_search;
DROP INDEX IF EXISTS idx_chat_messages_search;
DROP FUNCTION IF EXISTS search_vector;
DROP FUNCTION IF EXISTS search_words;
DROP FUNCTION IF EXISTS search_parts;
DROP FUNCTION IF EXISTS search_list;
DROP FUNCTION IF EXISTS search_class;
DROP FUNCTION IF EXISTS search_fold;
