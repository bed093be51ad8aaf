-- told_files
-- Returns the files of a message with what the model may need of their bytes.
--
-- list_turn_messages calls it for each message that has files, so a turn without files does not. The model gets the
-- files of the newest messages whole: of those messages whose files, together with those of all later messages up to
-- the question, are within the limits. Of other messages it gets the beginnings of texts. lib/answers/_prompt.py
-- decides by the same sizes, and may send fewer. A function, because its plan is kept.
--
-- Parameters
--   conversation_id      uuid     the conversation
--   user_id              text     the caller; null: anonymous
--   turn_id              uuid     token of this attempt; an attempt without the turn asks no model, and gets no bytes
--   message_row_id       bigint   chat_messages.id of the message
--   files                jsonb    its files, as the column has them
--   seen_types           text[]   media types that providers read themselves; all others are texts
--   max_seen             integer  files of those types that the model gets at most; one message alone always fits
--   max_bytes            bigint   bytes of them that it gets at most; one message alone always fits
--   max_text_bytes       bigint   bytes of texts that it gets at most of one message; of all together, twice as many
--   max_text_end         integer  bytes of one text that it gets at most
--   max_beginning_end    integer  the same of a message that is not among the newest
--
-- Returns the files in their order, each that is stored with its size in bytes and, where the model may get them, its
-- bytes in a data URL: of a text that is longer, the first ones.
-- Index conversations_pkey, chat_messages_pkey, chat_files_pkey.
CREATE OR REPLACE FUNCTION told_files(
    conversation_id uuid,
    user_id text,
    turn_id uuid,
    message_row_id bigint,
    files jsonb,
    seen_types text[],
    max_seen integer,
    max_bytes bigint,
    max_text_bytes bigint,
    max_text_end integer,
    max_beginning_end integer
)
RETURNS json LANGUAGE plpgsql STABLE SET plan_cache_mode = force_generic_plan SET search_path FROM CURRENT AS $$
#variable_conflict use_column
DECLARE
    is_newest boolean;
    result json;
BEGIN
    SELECT
        sum(least(sizes.seen_count, max_seen)) <= max_seen
        AND sum(least(sizes.seen_bytes, max_bytes)) <= max_bytes
        AND sum(least(sizes.text_bytes, max_text_bytes)) <= 2 * max_text_bytes
    INTO is_newest
    FROM chat_messages AS later
    CROSS JOIN
        LATERAL (
            SELECT
                count(*) FILTER (WHERE file.content ->> 'mediaType' = any(seen_types)) AS seen_count,
                coalesce(sum(stored.size) FILTER (WHERE file.content ->> 'mediaType' = any(seen_types)), 0)
                    AS seen_bytes,
                coalesce(sum(stored.size) FILTER (WHERE file.content ->> 'mediaType' <> all(seen_types)), 0)
                    AS text_bytes
            FROM jsonb_array_elements(later.files) AS file (content)
            -- LIMIT: each file is looked up by its key in every plan.
            LEFT JOIN
                LATERAL (
                    SELECT chat_files.size
                    FROM chat_files
                    WHERE
                        chat_files.id = (file.content ->> 'id')::uuid
                        AND chat_files.user_id IS NOT DISTINCT FROM told_files.user_id
                    LIMIT 1
                ) AS stored ON TRUE
        ) AS sizes
    WHERE
        later.conversation_id = told_files.conversation_id
        AND later.user_id IS NOT DISTINCT FROM told_files.user_id
        AND later.superseded_at IS NULL
        AND later.files IS NOT NULL
        AND later.id >= told_files.message_row_id
        AND later.id <= (
            SELECT question.id
            FROM conversations
            INNER JOIN chat_messages AS question
                ON
                    conversations.id = question.conversation_id
                    AND conversations.turn_message_id = question.message_id
                    AND question.superseded_at IS NULL
            WHERE
                conversations.id = told_files.conversation_id
                AND conversations.user_id IS NOT DISTINCT FROM told_files.user_id
                AND question.user_id IS NOT DISTINCT FROM told_files.user_id
                AND conversations.turn_id = told_files.turn_id
        );

    SELECT
        json_agg(
            CASE
                WHEN stored.size IS NULL THEN file.content
                -- An attempt without the turn has no question, and so no later message.
                WHEN is_newest IS NULL OR (file.is_seen AND NOT is_newest)
                    THEN file.content || jsonb_build_object('size', stored.size)
                ELSE
                    file.content || jsonb_build_object(
                        'size', stored.size,
                        'url',
                        'data:' || stored.media_type || ';base64,' || translate(
                            encode(
                                CASE
                                    WHEN file.is_seen THEN stored.bytes
                                    ELSE
                                        substring(
                                            stored.bytes
                                            FOR CASE WHEN is_newest THEN max_text_end ELSE max_beginning_end END
                                        )
                                END,
                                'base64'
                            ),
                            E'\n', ''
                        )
                    )
            END
            ORDER BY file.number
        )
    INTO result
    FROM (
        SELECT
            element.content,
            element.number,
            element.content ->> 'mediaType' = any(seen_types) AS is_seen
        FROM jsonb_array_elements(told_files.files) WITH ORDINALITY AS element (content, number)
    ) AS file
    LEFT JOIN
        LATERAL (
            SELECT
                chat_files.media_type,
                chat_files.size,
                chat_files.bytes
            FROM chat_files
            WHERE
                chat_files.id = (file.content ->> 'id')::uuid
                AND chat_files.user_id IS NOT DISTINCT FROM told_files.user_id
            LIMIT 1
        ) AS stored ON TRUE;
    RETURN result;
END
$$;
COMMENT ON FUNCTION told_files(
    uuid, text, uuid, bigint, jsonb, text[], integer, bigint, bigint, integer, integer
)
IS 'Parley: the files of a message with what the model may need of their bytes';
