-- search_query
-- Reads a search: words, "a phrase", or, -not, as in a search engine; the last word may be begun.
--
-- What a text has as several words, such as foo/bar, is a phrase of them.
--
-- Parameters
--   query  text  the search
--
-- Returns 1 row: words (what a text must have), coarse (the same without places, for the index: it finds those texts,
-- and maybe others), is_exact (the two find the same), needed (patterns that match each such text, after search_fold
-- and without -'., in it; none where there are alternatives or exclusions), marked (words for the excerpt; those with
-- a * are begun).
-- Index none.
CREATE OR REPLACE FUNCTION search_query(query text)
RETURNS TABLE (words tsquery, coarse tsquery, is_exact boolean, needed text[], marked text[])
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE ROWS 1
-- Postgres gives a notice of each empty tsquery, with which a search begins.
SET search_path FROM CURRENT SET standard_conforming_strings = on SET client_min_messages = warning AS $$
DECLARE
    paired CONSTANT text COLLATE "C" := search_class('paired');
    unspaced CONSTANT text COLLATE "C" := format('(?:%s|%s)+', search_class('single'), paired);
    term_pattern CONSTANT text COLLATE "C" := '(-*)(?:"([^"]*)"|([^\s"-][^\s"]*|"))';
    -- The next two as in search_parts.
    joined_pattern CONSTANT text COLLATE "C" := '^[^A-Za-z0-9\u00C0-\u1FFF]*('
    '[0-9]+(?:[.,''-][0-9]+)+'
    '|[A-Za-z0-9\u00C0-\u0DFF\u1E00-\u1FFF]+(?:[''-][A-Za-z0-9\u00C0-\u0DFF\u1E00-\u1FFF]+)+'
    ')[^A-Za-z0-9\u00C0-\u1FFF]*$';
    marked_pattern CONSTANT text COLLATE "C"
    := '[A-Za-z]+(?:\+\+|#)(?![A-Za-z0-9#+])|(?<![A-Za-z0-9])\.[A-Za-z][A-Za-z0-9]*';
    most_letters CONSTANT integer := 50;
    signs text[];
    phrases text[];
    bodies text[];
    last_term integer;
    is_last boolean;
    body text COLLATE "C";
    list text[];
    word text COLLATE "C";
    place integer;
    lexeme tsquery;
    lexeme_count integer;
    -- Of one term, of all since the last "or", and of those before it.
    term_words tsquery;
    term_coarse tsquery;
    group_words tsquery := '';
    group_coarse tsquery := '';
    earlier_words tsquery := '';
    earlier_coarse tsquery := '';
    -- An alternative of which the index knows nothing.
    is_open boolean := FALSE;
    is_plain boolean := TRUE;
BEGIN
    is_exact := TRUE;
    needed := '{}';
    marked := '{}';
    -- A quoted phrase, or anything between spaces. A quote without its pair is a mark like others.
    SELECT
        array_agg(terms.found[1] ORDER BY terms.place),
        array_agg(terms.found[2] ORDER BY terms.place),
        array_agg(terms.found[3] ORDER BY terms.place),
        max(terms.place) FILTER (WHERE search_list(coalesce(terms.found[2], terms.found[3])) <> '{}')
    INTO signs, phrases, bodies, last_term
    FROM regexp_matches(search_fold(query) COLLATE "C", term_pattern, 'g') WITH ORDINALITY AS terms (found, place);

    FOR term IN 1 .. coalesce(last_term, 0) LOOP
        -- OR is an operator between two words, and a word elsewhere.
        IF
            lower(bodies[term] COLLATE "C") = 'or' AND signs[term] = ''
            AND numnode(group_words) > 0 AND term < last_term
        THEN
            earlier_words := earlier_words || group_words;
            is_open := is_open OR numnode(group_coarse) = 0;
            earlier_coarse := earlier_coarse || group_coarse;
            group_words := '';
            group_coarse := '';
            is_plain := FALSE;
            CONTINUE;
        END IF;
        is_last := term = last_term AND signs[term] = '';
        body := coalesce(phrases[term], bodies[term]);
        list := search_list(lower(body COLLATE "C"));
        term_words := '';
        term_coarse := '';
        lexeme_count := 0;
        FOR item IN 1 .. cardinality(list) LOOP
            word := list[item];
            IF length(word) = 1 AND word ~ paired THEN
                -- The last letter of several stands in the pair before.
                CONTINUE WHEN item > 1 AND list[item - 1] LIKE '_' || word AND list[item - 1] COLLATE "C" ~ paired;
                word := word || '*';
            ELSIF is_last AND item = cardinality(list) AND word !~ unspaced THEN
                word := word || '*';
            END IF;
            lexeme := format(CASE WHEN word LIKE '%*' THEN '''%s'':*' ELSE '''%s''' END, rtrim(word, '*'))::tsquery;
            term_words := CASE
                WHEN lexeme_count = 0 THEN lexeme
                ELSE tsquery_phrase(term_words, lexeme, item - place)
            END;
            term_coarse := term_coarse && lexeme;
            lexeme_count := lexeme_count + 1;
            place := item;
            IF signs[term] = '' THEN
                needed := needed || ('%' || rtrim(word, '*') || '%');
                marked := CASE WHEN word ~ unspaced THEN marked ELSE marked || word::text END;
            END IF;
        END LOOP;
        IF signs[term] = '' THEN
            marked := marked || array(
                SELECT found.parts[1] FROM regexp_matches(body, unspaced, 'g') AS found (parts)
            );
        END IF;
        is_exact := is_exact AND lexeme_count < 2;
        -- As search_parts finds them: foo-bar as foobar too.
        word := lower(
            left(translate(substring(bodies[term] FROM joined_pattern), '-''.,', ''), most_letters) COLLATE "C"
        );
        IF word IS NOT NULL THEN
            lexeme := format(CASE WHEN is_last THEN '''%s'':*' ELSE '''%s''' END, word)::tsquery;
            term_words := term_words || lexeme;
            term_coarse := term_coarse || lexeme;
            IF signs[term] = '' THEN
                marked := marked || (word || CASE WHEN is_last THEN '*' ELSE '' END);
            END IF;
        END IF;
        -- C++ as nothing else.
        FOR word IN
            SELECT lower(left(found.parts[1], most_letters) COLLATE "C")
            FROM regexp_matches(body, marked_pattern, 'g') AS found (parts)
        LOOP
            lexeme := format(
                CASE WHEN is_last AND word LIKE '.%' THEN '''%s'':*' ELSE '''%s''' END, word
            )::tsquery;
            term_words := term_words && lexeme;
            term_coarse := term_coarse && lexeme;
            lexeme_count := lexeme_count + 1;
            IF signs[term] = '' THEN
                needed := needed || ('%' || ltrim(word, '.') || '%');
                marked := array_remove(marked, rtrim(ltrim(word, '.'), '+#')) || word::text;
            END IF;
        END LOOP;
        IF signs[term] = '' THEN
            group_words := group_words && term_words;
            group_coarse := group_coarse && term_coarse;
        ELSIF lexeme_count > 0 THEN
            is_plain := FALSE;
            group_words := group_words && !!term_words;
            -- A text may have all words of a phrase, and not the phrase.
            IF lexeme_count = 1 THEN
                group_coarse := group_coarse && !!term_coarse;
            END IF;
        END IF;
    END LOOP;
    words := earlier_words || group_words;
    coarse := CASE
        WHEN is_open OR numnode(group_coarse) = 0 THEN ''::tsquery
        ELSE earlier_coarse || group_coarse
    END;
    IF NOT is_plain THEN
        needed := '{}';
    END IF;
    RETURN NEXT;
END
$$;
COMMENT ON FUNCTION search_query(text) IS 'Parley: what a text must have that a search finds';
