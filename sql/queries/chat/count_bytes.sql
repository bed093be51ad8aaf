-- count_bytes :exec
-- Count the bytes of a piece of an upload, or refuse it.
--
-- Parameters, result and indexes: sql/functions/count_bytes.sql.
SELECT
    count_bytes(
        counted_subjects => %(counted_subjects)s::text[],
        bytes_per_day => %(bytes_per_day)s::bigint[],
        stored_bytes => %(stored_bytes)s::bigint,
        counted_at => %(counted_at)s::timestamptz
    );
