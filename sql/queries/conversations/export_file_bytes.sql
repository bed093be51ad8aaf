-- export_file_bytes :one
-- Some bytes of a file of the caller, in base64; for the export.
--
-- Parameters
--   user_id     text     the caller
--   file_id     uuid     the file
--   first_byte  integer  the place of the first byte wanted, from 0
--   byte_count  integer  bytes wanted at most
--
-- Returns 0 or 1 row: byte_count, the bytes that it has of those; and content, a JSON object: file_id, first_byte, and
-- bytes in base64. 0: the file is gone.
-- Index chat_files_pkey.
SELECT
    greatest(
        least(octet_length(chat_files.bytes) - %(first_byte)s::integer, %(byte_count)s::integer), 0
    ) AS byte_count,
    json_build_object(
        'file_id', chat_files.id,
        'first_byte', %(first_byte)s::integer,
        'bytes',
        translate(
            encode(substring(chat_files.bytes FROM %(first_byte)s::integer + 1 FOR %(byte_count)s::integer), 'base64'),
            E'\n',
            ''
        )
    )::text AS content
FROM chat_files
WHERE
    chat_files.id = %(file_id)s::uuid
    AND chat_files.user_id IS NOT DISTINCT FROM %(user_id)s::text;
