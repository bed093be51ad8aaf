-- Move the sequences behind which their tables are; none moves backwards. Included by migrate.sql and sequences.sql, in
-- their transactions; the path is Parley's schema.
--
-- psql variables
--   reads_all_rows  true: look at every row; false: at those that an index gives

SELECT set_config('parley.reads_all_rows', :'reads_all_rows', TRUE) \g /dev/null
DO $$
DECLARE
    late record;
    next_number bigint;
BEGIN
    FOR late IN
        SELECT each.table_name, each.sequence_name, each.greatest_number
        FROM list_late_sequences(current_setting('parley.reads_all_rows')::boolean) AS each
    LOOP
        -- Nobody takes a number between the next look and the move. The rows were read before this lock, which is held
        -- for a moment: numbers that the sequence has given since are below its own.
        EXECUTE format('LOCK TABLE %I IN SHARE ROW EXCLUSIVE MODE', late.table_name);
        EXECUTE format('SELECT last_value + CASE WHEN is_called THEN 1 ELSE 0 END FROM %s', late.sequence_name)
        INTO next_number;
        IF next_number <= late.greatest_number THEN
            PERFORM setval(late.sequence_name, late.greatest_number);
            RAISE WARNING 'the numbers of % would have begun again at %, and go on after %',
                late.table_name, next_number, late.greatest_number;
        END IF;
    END LOOP;
END
$$;
