-- list_late_sequences
-- Lists the sequences whose next number is not above the numbers that are stored already.
--
-- Logical replication brings rows and no sequences. A message that then gets an old number sorts among the oldest, and
-- one that gets its neighbour's number is refused. chat_messages has no index on id alone (its migration says why), so
-- the newest hundred by time stand for all: an index gives them. Health and migrate.sql look like that, and
-- sql/sequences.sql, after a move, at every row: old messages may have been imported last.
--
-- Parameters
--   reads_all_rows  boolean  true: look at every row; false: at those that an index gives
--
-- Returns a row for each sequence that is late: table_name, sequence_name, next_number, greatest_number (of those that
-- were looked at).
-- Index idx_chat_messages_created_at; tasks_pkey.
CREATE OR REPLACE FUNCTION list_late_sequences(reads_all_rows boolean)
RETURNS TABLE (table_name text, sequence_name text, next_number bigint, greatest_number bigint)
LANGUAGE plpgsql STABLE SET search_path FROM CURRENT AS $$
BEGIN
    FOREACH table_name IN ARRAY ARRAY['chat_messages', 'tasks'] LOOP
        -- An application's own `tasks` may have changed, number its rows in another way, or belong to another role.
        CONTINUE WHEN NOT EXISTS (
            SELECT FROM pg_attribute
            WHERE
                pg_attribute.attrelid = to_regclass(table_name)
                AND pg_attribute.attname = 'id'
                AND NOT pg_attribute.attisdropped
        );
        sequence_name := pg_get_serial_sequence(table_name, 'id');
        CONTINUE WHEN
            sequence_name IS NULL
            OR NOT has_sequence_privilege(sequence_name, 'SELECT')
            OR NOT has_sequence_privilege(sequence_name, 'UPDATE')
            OR NOT has_table_privilege(table_name, 'SELECT');
        IF table_name = 'tasks' THEN
            SELECT max(tasks.id) INTO greatest_number FROM tasks;
        ELSIF reads_all_rows THEN
            SELECT max(chat_messages.id) INTO greatest_number FROM chat_messages;
        ELSE
            SELECT max(newest.id) INTO greatest_number
            FROM (
                SELECT chat_messages.id FROM chat_messages ORDER BY chat_messages.created_at DESC LIMIT 100
            ) AS newest;
        END IF;
        -- Until it is asked for the first time, a sequence gives its last_value.
        EXECUTE format('SELECT last_value + CASE WHEN is_called THEN 1 ELSE 0 END FROM %s', sequence_name)
        INTO next_number;
        IF next_number <= greatest_number THEN
            RETURN NEXT;
        END IF;
    END LOOP;
END
$$;
COMMENT ON FUNCTION list_late_sequences(boolean)
IS 'Parley: sequences whose next number is not above those that are stored already';
