-- Takes back 011 files. Lost: the files of all messages, which keep their names.

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
                'delete_own_account',
                'list_faults',
                'list_late_sequences',
                'list_privilege_faults',
                'needed_privileges',
                'store_message_files',
                'told_files'
            )
            AND obj_description(pg_proc.oid, 'pg_proc') LIKE 'Parley:%'
    LOOP
        EXECUTE format('DROP FUNCTION %s', signature);
    END LOOP;
END
$$;
DROP TRIGGER IF EXISTS delete_files_of_messages ON chat_messages;
DROP FUNCTION IF EXISTS delete_files_of_messages();
DROP TABLE IF EXISTS message_files;
DROP TABLE IF EXISTS chat_files;
