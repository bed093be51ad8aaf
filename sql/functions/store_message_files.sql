-- store_message_files
-- Stores the files of a message, each once for its owner, and notes that the message has them.
--
-- Called in the transaction that stores the message: after begin_turn for a question, after finish_turn for an answer,
-- and only where there are files. Where that has stored no message, this stores nothing; of a question that was stored
-- before, only the files that it has. Where a file cannot be stored, the error takes the message back, with all that was
-- counted for it. Safe to repeat. A function, because it decides between its statements: each sees the rows that the one
-- before has locked.
-- Raises PA009 when the owner would have more than max_user_bytes (DETAIL: the bytes that were left), PA010 when a file
-- of a question has no bytes here, and is not the caller's, not complete, or of another type, PA012 when the files of a
-- question have more than max_message_bytes (DETAIL: how many they have).
--
-- Parameters
--   conversation_id    uuid         the conversation
--   user_id            text         the caller; null: anonymous
--   message_id         text         the message that has the files, as clients see its id
--   turn_id            uuid         of a question: token of the attempt that has stored it; null: an answer
--   file_ids           uuid[]       the files, each once
--   media_types        text[]       of each, its type
--   filenames          text[]       of each, its name; null: none
--   contents           bytea[]      of each, its bytes; null: the file is stored already
--   max_user_bytes     bigint       bytes of files that the owner may have; 0: any number
--   max_message_bytes  bigint       bytes of files that a question may have
--   now                timestamptz  null: the database's clock
--
-- Returns the number of files of those that the message has now, or 0.
-- Index conversations_pkey, chat_messages_pkey, uq_chat_messages_message_id, chat_files_pkey, message_files_pkey,
-- idx_chat_files_user_id, idx_chat_files_conversation_id.
CREATE OR REPLACE FUNCTION store_message_files(
    conversation_id uuid,
    user_id text,
    message_id text,
    turn_id uuid,
    file_ids uuid[],
    media_types text[],
    filenames text[],
    contents bytea[],
    max_user_bytes bigint,
    max_message_bytes bigint,
    now timestamptz
)
RETURNS integer LANGUAGE plpgsql VOLATILE SET search_path FROM CURRENT AS $$
#variable_conflict use_column
DECLARE
    row_id bigint;
    own_ids uuid[];
    found_count integer;
    message_bytes bigint;
    stored_bytes bigint;
    new_bytes bigint;
BEGIN
    SELECT
        chat_messages.id,
        CASE
            WHEN store_message_files.turn_id IS NULL THEN file_ids
            ELSE
                array(
                    SELECT given.id
                    FROM unnest(file_ids) AS given (id)
                    WHERE
                        given.id IN (
                            SELECT (file.content ->> 'id')::uuid
                            FROM jsonb_array_elements(chat_messages.files) AS file (content)
                        )
                )
        END
    INTO row_id, own_ids
    FROM conversations
    INNER JOIN chat_messages ON conversations.id = chat_messages.conversation_id
    WHERE
        conversations.id = store_message_files.conversation_id
        AND conversations.user_id IS NOT DISTINCT FROM store_message_files.user_id
        AND chat_messages.user_id IS NOT DISTINCT FROM store_message_files.user_id
        AND chat_messages.message_id = store_message_files.message_id
        AND chat_messages.superseded_at IS NULL
        AND CASE
            WHEN store_message_files.turn_id IS NULL THEN chat_messages.role = 'assistant'
            ELSE
                conversations.turn_id = store_message_files.turn_id
                AND conversations.turn_message_id = store_message_files.message_id
                AND chat_messages.role = 'user'
        END;
    IF NOT FOUND THEN
        RETURN 0;
    END IF;

    -- In the order of the ids, as delete_files_of_messages locks them, before any of them is written.
    PERFORM FROM chat_files
    WHERE
        chat_files.id = any(own_ids)
        AND chat_files.user_id IS NOT DISTINCT FROM store_message_files.user_id
    ORDER BY chat_files.id
    FOR UPDATE;

    -- DO UPDATE locks a file that another session stores at this moment. A row without an earlier version (xmax) was made
    -- here.
    WITH given AS (
        SELECT
            file.id,
            file.media_type,
            file.filename,
            file.bytes
        FROM
            unnest(file_ids, media_types, filenames, contents)
            AS file (id, media_type, filename, bytes)
        WHERE file.bytes IS NOT NULL AND file.id = any(own_ids)
        ORDER BY file.id
    ),

    stored AS (
        INSERT INTO chat_files AS already (
            id, user_id, conversation_id, media_type, filename, size, bytes, created_at
        )
        SELECT
            given.id,
            store_message_files.user_id,
            CASE WHEN store_message_files.user_id IS NULL THEN store_message_files.conversation_id END,
            given.media_type,
            given.filename,
            length(given.bytes),
            given.bytes,
            coalesce(store_message_files.now, now())
        FROM given
        ORDER BY given.id
        ON CONFLICT (id) DO UPDATE SET filename = coalesce(already.filename, excluded.filename)
        RETURNING already.size, already.xmax = 0 AS is_new
    )

    SELECT coalesce(sum(stored.size) FILTER (WHERE stored.is_new), 0) INTO new_bytes FROM stored;

    -- A file without bytes must be there, and stay there; a file with bytes is by now.
    PERFORM FROM chat_files
    WHERE
        chat_files.id = any(own_ids)
        AND chat_files.user_id IS NOT DISTINCT FROM store_message_files.user_id
        AND (
            chat_files.user_id IS NOT NULL
            OR chat_files.conversation_id = store_message_files.conversation_id
        )
        AND chat_files.media_type = media_types[array_position(file_ids, chat_files.id)]
        AND NOT chat_files.is_upload
    ORDER BY chat_files.id
    FOR UPDATE;
    GET DIAGNOSTICS found_count = ROW_COUNT;
    -- Of an answer that a killed function has left, a file may be missing: it goes without.
    IF
        store_message_files.turn_id IS NOT NULL
        AND found_count < cardinality(own_ids)
    THEN
        RAISE EXCEPTION USING ERRCODE = 'PA010', MESSAGE = 'a file of the message is not there';
    END IF;

    IF store_message_files.turn_id IS NOT NULL THEN
        -- As the message names them: the model gets a file twice that stands there twice.
        SELECT sum(stored.size) INTO message_bytes
        FROM chat_messages
        CROSS JOIN LATERAL jsonb_array_elements(chat_messages.files) AS file (content)
        -- LIMIT: each file is looked up by its key in every plan.
        CROSS JOIN
            LATERAL (
                SELECT chat_files.size
                FROM chat_files
                WHERE
                    chat_files.id = (file.content ->> 'id')::uuid
                    AND chat_files.user_id IS NOT DISTINCT FROM store_message_files.user_id
                LIMIT 1
            ) AS stored
        WHERE
            chat_messages.conversation_id = store_message_files.conversation_id
            AND chat_messages.id = row_id
            AND chat_messages.user_id IS NOT DISTINCT FROM store_message_files.user_id;
        IF message_bytes > max_message_bytes THEN
            RAISE EXCEPTION USING
                ERRCODE = 'PA012',
                MESSAGE = 'the files of the message are too large together',
                DETAIL = message_bytes::text;
        END IF;
    END IF;

    IF new_bytes > 0 AND max_user_bytes > 0 THEN
        -- Apart, because no index serves IS NOT DISTINCT FROM.
        IF store_message_files.user_id IS NOT NULL THEN
            SELECT sum(chat_files.size) INTO stored_bytes
            FROM chat_files
            WHERE chat_files.user_id = store_message_files.user_id AND chat_files.file_id IS NULL;
        ELSE
            SELECT sum(chat_files.size) INTO stored_bytes
            FROM chat_files
            WHERE
                chat_files.user_id IS NULL
                AND chat_files.conversation_id = store_message_files.conversation_id
                AND chat_files.file_id IS NULL;
        END IF;
        IF stored_bytes > max_user_bytes THEN
            RAISE EXCEPTION USING
                ERRCODE = 'PA009',
                MESSAGE = 'the files of the owner would be too large',
                DETAIL = greatest(max_user_bytes - (stored_bytes - new_bytes), 0)::text;
        END IF;
    END IF;

    INSERT INTO message_files (conversation_id, chat_message_id, file_id, user_id)
    SELECT
        store_message_files.conversation_id,
        row_id,
        chat_files.id,
        store_message_files.user_id
    FROM chat_files
    WHERE
        chat_files.id = any(own_ids)
        AND chat_files.user_id IS NOT DISTINCT FROM store_message_files.user_id
        AND (
            chat_files.user_id IS NOT NULL
            OR chat_files.conversation_id = store_message_files.conversation_id
        )
    ON CONFLICT DO NOTHING;
    -- From now on a user's file goes with the last message that has it, whichever conversation that is in.
    UPDATE chat_files
    SET
        is_used = TRUE,
        conversation_id = CASE WHEN chat_files.user_id IS NULL THEN chat_files.conversation_id END
    WHERE
        chat_files.id = any(own_ids)
        AND chat_files.user_id IS NOT DISTINCT FROM store_message_files.user_id
        AND NOT chat_files.is_used;
    RETURN found_count;
END
$$;
COMMENT ON FUNCTION store_message_files(
    uuid, text, text, uuid, uuid[], text[], text[], bytea[], bigint, bigint, timestamptz
)
IS 'Parley: stores the files of a message, each once for its owner';
