-- Takes back 004 chat messages. Lost: every message, and every summary.

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
            AND pg_proc.proname IN (
                'delete_old_conversations', 'list_conversations', 'list_turn_messages', 'read_history', 'rule_refusal',
                'replace_old_titles', 'reserve_message_ids', 'store_import'
            )
            AND obj_description(pg_proc.oid, 'pg_proc') LIKE 'Parley:%'
    LOOP
        EXECUTE format('DROP FUNCTION %s', signature);
    END LOOP;
END
$$;
DROP TABLE IF EXISTS conversation_summaries;
DROP TABLE IF EXISTS chat_messages CASCADE;
DROP FUNCTION IF EXISTS forget_message_counts();
DROP FUNCTION IF EXISTS forget_summaries_of_deleted();
DROP FUNCTION IF EXISTS forget_summaries_of_replaced();
