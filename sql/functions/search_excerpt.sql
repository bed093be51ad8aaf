-- search_excerpt
-- Shows the place of a text that a search has found, with a mark on each side of the words.
--
-- The words are found in the folded text, whose letters are not one to one those of the text: so the text around the
-- place is folded letter by letter.
--
-- Parameters
--   content  text    the text
--   marked   text[]  the words, from search_query; those with a * are begun
--
-- Returns about 200 characters of the text, chr(2) and chr(3) around each word that was found.
-- Index none.
CREATE OR REPLACE FUNCTION search_excerpt(content text, marked text[])
RETURNS text LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path FROM CURRENT
SET standard_conforming_strings = on AS $$
DECLARE
    -- Between pieces of the text, which has none itself.
    border CONSTANT text := chr(1);
    shown CONSTANT text COLLATE "C" := translate(left(content, 100000), chr(1) || chr(2) || chr(3), '');
    folded CONSTANT text COLLATE "C" := lower(search_fold(shown) COLLATE "C");
    unspaced CONSTANT text COLLATE "C" := format('(?:%s|%s)', search_class('single'), search_class('paired'));
    letter CONSTANT text := '[a-z0-9\u00B5-\u0DFF\u1E00-\u1FFF]';
    -- A letter with the accents after it.
    unit CONSTANT text := '[^\u0300-\u036F\u0483-\u0487\u0591-\u05C7\u0610-\u061A\u064B-\u0670\u06D6-\u06ED'
    '\u200B-\u200F\u3099\u309A\uFE00-\uFE0F][\u0300-\u036F\u0483-\u0487\u0591-\u05C7\u0610-\u061A\u064B-\u0670'
    '\u06D6-\u06ED\u200B-\u200F\u3099\u309A\uFE00-\uFE0F]*';
    -- The text in pieces, to find the place that belongs to one of the folded text.
    pieced CONSTANT text := regexp_replace(shown, '.{200}', '\&' || border, 'g');
    -- The text is shown from so far before the first word to so far behind.
    letters_before CONSTANT integer := 60;
    letters_after CONSTANT integer := 150;
    -- Occurrences that are compared, to show the one with the most words around it.
    most_compared CONSTANT integer := 20;
    patterns text[];
    any_word text COLLATE "C";
    place integer := 0;
    best_place integer := 1;
    best_count integer := 0;
    word_count integer;
    part text COLLATE "C";
BEGIN
    -- A word with its ends, a begun one to its end. Marks may stand within: don't is found by dont.
    patterns := array(
        SELECT
            CASE
                WHEN words.word COLLATE "C" ~ unspaced THEN spelt.letters
                WHEN words.word LIKE '%*' THEN format('(?<!%s)%s%s*', letter, spelt.letters, letter)
                WHEN words.word ~ '[+#]$' THEN format('(?<!%s)%s', letter, spelt.letters)
                WHEN words.word LIKE '.%' THEN format('%s(?!%s)', spelt.letters, letter)
                ELSE format('(?<!%s)%s(?!%s)', letter, spelt.letters, letter)
            END
        FROM unnest(marked) AS words (word)
        CROSS JOIN
            LATERAL (
                SELECT string_agg(regexp_replace(letters.letter, '[+.]', '\\\&'), '[''.,-]?') AS letters
                FROM unnest(string_to_array(rtrim(words.word, '*'), NULL)) AS letters (letter)
            ) AS spelt
    );
    any_word := array_to_string(patterns, '|');
    -- Within a word: name in userName.
    IF folded !~ any_word THEN
        patterns := array(
            SELECT regexp_replace(rtrim(words.word, '*'), '[+.]', '\\\&', 'g') FROM unnest(marked) AS words (word)
        );
        any_word := array_to_string(patterns, '|');
    END IF;
    IF any_word <> '' THEN
        FOR number IN 1 .. most_compared LOOP
            place := regexp_instr(folded, any_word, place + 1);
            EXIT WHEN place = 0;
            SELECT count(*) INTO word_count
            FROM unnest(patterns) AS each (pattern)
            WHERE substr(folded, place, letters_after) ~ each.pattern;
            IF word_count > best_count THEN
                best_count := word_count;
                best_place := place;
            END IF;
        END LOOP;
    END IF;
    -- About the same place in the text: pieces have their places in both, and within a piece both are as far.
    IF octet_length(shown) > length(shown) THEN
        SELECT
            1 + pieces.place_after - length(pieces.original)
            + (best_place - 1 - pieces.folded_after + length(pieces.folded)) * length(pieces.original)
            / length(pieces.folded)
        INTO best_place
        FROM (
            SELECT
                each.original,
                each.folded,
                sum(length(each.original)) OVER before_and_this AS place_after,
                sum(length(each.folded)) OVER before_and_this AS folded_after
            FROM unnest(
                string_to_array(pieced, border), string_to_array(search_fold(pieced), border)
            ) WITH ORDINALITY AS each (original, folded, number)
            WINDOW before_and_this AS (ORDER BY each.number)
        ) AS pieces
        WHERE pieces.folded_after >= best_place AND pieces.folded <> ''
        ORDER BY pieces.folded_after
        LIMIT 1;
    END IF;
    -- From a whole word on and to one, where there are spaces.
    best_place := greatest(coalesce(best_place, 1) - letters_before, 1);
    part := substr(shown, best_place, letters_before + letters_after);
    IF best_place > 1 THEN
        part := regexp_replace(part, '^\S{0,30}\s+', '');
    END IF;
    IF best_place + letters_before + letters_after <= length(shown) THEN
        part := regexp_replace(part, '\s+\S{0,30}$', '');
    END IF;
    IF any_word = '' THEN
        RETURN part;
    END IF;
    RETURN (
        WITH
        units AS (
            SELECT
                each.original,
                each.folded,
                each.number,
                sum(length(each.folded)) OVER (ORDER BY each.number) AS last_letter
            FROM (SELECT rtrim(regexp_replace(part, unit, '\&' || border, 'g'), border) AS text) AS bordered
            CROSS JOIN
                LATERAL unnest(
                    string_to_array(bordered.text, border),
                    string_to_array(lower(search_fold(bordered.text) COLLATE "C"), border)
                ) WITH ORDINALITY AS each (original, folded, number)
        ),

        letters AS (
            SELECT
                each.letter,
                each.number,
                sum(CASE each.letter WHEN chr(2) THEN 1 WHEN chr(3) THEN -1 ELSE 0 END)
                    OVER (ORDER BY each.number) AS depth
            FROM unnest(string_to_array(
                (
                    SELECT regexp_replace(
                        string_agg(units.folded, '' ORDER BY units.number) COLLATE "C",
                        any_word,
                        chr(2) || '\&' || chr(3),
                        'g'
                    )
                    FROM units
                ),
                NULL
            )) WITH ORDINALITY AS each (letter, number)
        ),

        places AS (
            SELECT
                letters.depth = 1 AS is_found,
                row_number() OVER (ORDER BY letters.number) AS place
            FROM letters
            WHERE letters.letter NOT IN (chr(2), chr(3))
        ),

        found_units AS (
            SELECT
                units.number,
                units.original,
                coalesce(bool_or(places.is_found), FALSE) AS is_found
            FROM units
            LEFT JOIN
                places
                ON places.place > units.last_letter - length(units.folded) AND places.place <= units.last_letter
            GROUP BY units.number, units.original
        ),

        bounded AS (
            SELECT
                found_units.number,
                found_units.original,
                found_units.is_found,
                lag(found_units.is_found, 1, FALSE) OVER (ORDER BY found_units.number) AS was_found
            FROM found_units
        )

        SELECT
            string_agg(
                CASE
                    WHEN bounded.is_found AND NOT bounded.was_found THEN chr(2)
                    WHEN bounded.was_found AND NOT bounded.is_found THEN chr(3)
                    ELSE ''
                END || bounded.original,
                ''
                ORDER BY bounded.number
            )
            || CASE WHEN (array_agg(bounded.is_found ORDER BY bounded.number DESC))[1] THEN chr(3) ELSE '' END
        FROM bounded
    );
END
$$;
COMMENT ON FUNCTION search_excerpt(text, text[]) IS 'Parley: the place of a text that a search has found, with marks';
