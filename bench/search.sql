-- The cost of the search's words: of Parley's own, of Postgres's parser, and of pg_trgm, in a migrated database.
--
--     psql -X "$DATABASE_URL_UNPOOLED" -q -f bench/search.sql
--
-- Everything that it makes is temporary. Needs the extension pg_trgm, and 40 seconds.

\set ON_ERROR_STOP on
SET client_min_messages = warning;
BEGIN;
CREATE EXTENSION IF NOT EXISTS pg_trgm;
CREATE FUNCTION pg_temp.parsed_words(owner_id text, content text) RETURNS tsvector LANGUAGE sql IMMUTABLE AS $$
    SELECT to_tsvector('pg_catalog.simple', left(content, 100000)) || array_to_tsvector(ARRAY[chr(1) || owner_id])
$$;
CREATE TEMPORARY TABLE vocabulary AS
SELECT
    place,
    left(lower(translate(encode(sha256(place::text::bytea), 'base64'), '0123456789+/=', '')), 2 + place % 8) AS word
FROM generate_series(1, 30000) AS place;
CREATE UNIQUE INDEX ON vocabulary (place);

-- As in life, few words are frequent.
CREATE TEMPORARY TABLE texts AS
SELECT
    number,
    (
        SELECT string_agg(vocabulary.word, CASE WHEN drawn.n % 9 = 0 THEN '. ' ELSE ' ' END)
        FROM (SELECT n, floor(exp(random() * 10.3 + 0 * number))::integer AS place FROM generate_series(1, 50) AS n) AS drawn
        INNER JOIN vocabulary ON vocabulary.place = greatest(1, least(30000, drawn.place))
    ) AS english,
    (
        SELECT string_agg(chr(19968 + least(2999, floor(exp(random() * 8 + 0 * (number + letter)))::integer)), '')
        FROM generate_series(1, 150) AS letter
    ) AS chinese,
    (
        SELECT string_agg(chr(19968 + floor(random() * 20900 + 0 * (number + letter))::integer), '') FROM generate_series(1, 150) AS letter
    ) AS random
FROM generate_series(1, 10000) AS number;
CREATE TEMPORARY TABLE costs (language text, words text, ms numeric, index_bytes numeric, log_bytes numeric, text_bytes numeric);

DO $do$
DECLARE
    language text;
    words text;
    stored record;
    began timestamptz;
    log_before pg_lsn;
BEGIN
    FOR round IN 1 .. 2 LOOP
        FOREACH language IN ARRAY ARRAY['english', 'chinese', 'random'] LOOP
            FOREACH words IN ARRAY ARRAY['none', 'postgres', 'parley', 'pg_trgm'] LOOP
                DROP TABLE IF EXISTS measured;
                -- Not temporary: those write no log.
                CREATE TABLE measured (owner_id text, content text);
                IF words <> 'none' THEN
                    EXECUTE format(
                        'CREATE INDEX measured_words ON measured USING gin (%s) WITH (gin_pending_list_limit = 128)',
                        CASE words
                            WHEN 'postgres' THEN 'pg_temp.parsed_words(owner_id, content)'
                            WHEN 'parley' THEN 'search_vector(owner_id, content)'
                            ELSE 'content gin_trgm_ops'
                        END
                    );
                END IF;
                began := clock_timestamp();
                log_before := pg_current_wal_insert_lsn();
                FOR stored IN EXECUTE format('SELECT number, %I AS content FROM texts', language) LOOP
                    INSERT INTO measured VALUES ('user-' || stored.number % 100, stored.content);
                END LOOP;
                INSERT INTO costs
                SELECT
                    language,
                    words,
                    extract(EPOCH FROM clock_timestamp() - began) * 1000,
                    coalesce(pg_relation_size(to_regclass('measured_words')), 0),
                    pg_current_wal_insert_lsn() - log_before,
                    (SELECT sum(octet_length(measured.content)) FROM measured);
            END LOOP;
        END LOOP;
    END LOOP;
END
$do$;
SELECT
    language,
    words,
    round(min(ms) / 10000, 3) AS ms_a_message,
    round(min(index_bytes) / 10000) AS index_bytes,
    round(min(log_bytes) / 10000 / 1024, 2) AS log_kb,
    round(min(text_bytes) / 10000) AS text_bytes
FROM costs
GROUP BY language, words
ORDER BY language, words;
ROLLBACK;
