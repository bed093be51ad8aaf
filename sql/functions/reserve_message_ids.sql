-- reserve_message_ids
-- Reserves numbers of chat_messages.id for messages that are stored together.
--
-- store_import must know the number of a question before it stores the answer, and stores both in one statement. It
-- works outside the wall: parley_app may not draw from a sequence, which an identity column does not need.
--
-- Parameters
--   wanted  bigint  how many
--
-- Returns an array of that many numbers in ascending order; none is given out again.
-- Index none: it reads no table.
CREATE OR REPLACE FUNCTION reserve_message_ids(wanted bigint)
RETURNS bigint[] LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    numbers CONSTANT regclass := pg_get_serial_sequence('chat_messages', 'id')::regclass;
BEGIN
    RETURN ARRAY(SELECT nextval(numbers) FROM generate_series(1, wanted));
END
$$;
COMMENT ON FUNCTION reserve_message_ids(bigint)
IS 'Parley: reserves numbers for messages that are stored together';
