-- 010 search: full-text indexes over the titles and messages of each user.
--
-- Locks: none that a turn waits for. Built CONCURRENTLY, outside a transaction, because after a way back the tables
-- have rows; an index that was interrupted is built again (sql/apply_indexes.sql).
-- Undo: 010_search.down.sql.

-- The words are Parley's own, and not those of a text search parser. The parser follows the locale of the database, so
-- that a capital or an emoji is a word here and none there; it takes foo/bar for one path, 1.2.3 for one version, and a
-- sentence without spaces for one word. The extension pg_trgm finds parts of words instead, but a list of three letters
-- each makes an index several times as large, finds nothing by two letters, and is missing in places.
-- Not in sql/functions: the indexes have stored their results, so a change of these must build them again.
-- IMMUTABLE holds: "C" is the same in every database, and the letters and marks stand here. Only the compatibility
-- forms of Unicode come from Postgres, and Unicode promises not to change them.

-- Fixed to one schema also where the operator runs this file by itself.
DO $$
BEGIN
    PERFORM set_config('search_path', format('%I, pg_temp', current_schema()), FALSE);
END
$$;

-- In one transaction, so that no session ever sees a function without the comment by which it is known for Parley's.
-- squawk-ignore transaction-nesting
BEGIN;

-- search_fold: a text such that those that people take for the same are the same.
CREATE OR REPLACE FUNCTION search_fold(content text)
RETURNS text LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path FROM CURRENT
SET standard_conforming_strings = on AS $$
DECLARE
    folded text COLLATE "C" := left(content, 100000);
    -- Accents, vowel points of Hebrew and Arabic, skin tones, and characters without a width.
    marks CONSTANT text :=
        '[\u00AD\u0300-\u036F\u0483-\u0487\u0591-\u05BD\u05BF\u05C1\u05C2\u05C4\u05C5\u05C7\u0610-\u061A'
        '\u0640\u064B-\u065F\u0670\u06D6-\u06DC\u06DF-\u06E4\u06E7\u06E8\u06EA-\u06ED\u0711\u0730-\u074A'
        '\u1AB0-\u1AFF\u1DC0-\u1DFF\u200B-\u200F\u202A-\u202E\u2060-\u206F\u20D0-\u20FF\uFE00-\uFE0F'
        '\uFE20-\uFE2F\uFEFF\U0001F3FB-\U0001F3FF\U000E0000-\U000E0FFF]+';
    -- The capitals that no accent makes, of a script at a time: translate compares each character with each of these.
    greek_capitals CONSTANT text :=
        E'\u0391\u0392\u0393\u0394\u0395\u0396\u0397\u0398\u0399\u039A\u039B\u039C\u039D\u039E\u039F\u03A0'
        '\u03A1\u03A3\u03A4\u03A5\u03A6\u03A7\u03A8\u03A9\u03C2';
    greek_letters CONSTANT text :=
        E'\u03B1\u03B2\u03B3\u03B4\u03B5\u03B6\u03B7\u03B8\u03B9\u03BA\u03BB\u03BC\u03BD\u03BE\u03BF\u03C0'
        '\u03C1\u03C3\u03C4\u03C5\u03C6\u03C7\u03C8\u03C9\u03C3';
    cyrillic_capitals CONSTANT text :=
        E'\u0402\u0404\u0405\u0406\u0408\u0409\u040A\u040B\u040F\u0410\u0411\u0412\u0413\u0414\u0415\u0416'
        '\u0417\u0418\u041A\u041B\u041C\u041D\u041E\u041F\u0420\u0421\u0422\u0423\u0424\u0425\u0426\u0427'
        '\u0428\u0429\u042A\u042B\u042C\u042D\u042E\u042F';
    cyrillic_letters CONSTANT text :=
        E'\u0452\u0454\u0455\u0456\u0458\u0459\u045A\u045B\u045F\u0430\u0431\u0432\u0433\u0434\u0435\u0436'
        '\u0437\u0438\u043A\u043B\u043C\u043D\u043E\u043F\u0440\u0441\u0442\u0443\u0444\u0445\u0446\u0447'
        '\u0448\u0449\u044A\u044B\u044C\u044D\u044E\u044F';
    more_cyrillic_capitals CONSTANT text :=
        E'\u0460\u0462\u0464\u0466\u0468\u046A\u046C\u046E\u0470\u0472\u0474\u0478\u047A\u047C\u047E\u0480'
        '\u048A\u048C\u048E\u0490\u0492\u0494\u0496\u0498\u049A\u049C\u049E\u04A0\u04A2\u04A4\u04A6\u04A8'
        '\u04AA\u04AC\u04AE\u04B0\u04B2\u04B4\u04B6\u04B8\u04BA\u04BC\u04BE\u04C0\u04C3\u04C5\u04C7\u04C9'
        '\u04CB\u04CD\u04D4\u04D8\u04E0\u04E8\u04F6\u04FA\u04FC\u04FE\u0500\u0502\u0504\u0506\u0508\u050A'
        '\u050C\u050E\u0510\u0512\u0514\u0516\u0518\u051A\u051C\u051E\u0520\u0522\u0524\u0526\u0528\u052A'
        '\u052C\u052E';
    more_cyrillic_letters CONSTANT text :=
        E'\u0461\u0463\u0465\u0467\u0469\u046B\u046D\u046F\u0471\u0473\u0475\u0479\u047B\u047D\u047F\u0481'
        '\u048B\u048D\u048F\u0491\u0493\u0495\u0497\u0499\u049B\u049D\u049F\u04A1\u04A3\u04A5\u04A7\u04A9'
        '\u04AB\u04AD\u04AF\u04B1\u04B3\u04B5\u04B7\u04B9\u04BB\u04BD\u04BF\u04CF\u04C4\u04C6\u04C8\u04CA'
        '\u04CC\u04CE\u04D5\u04D9\u04E1\u04E9\u04F7\u04FB\u04FD\u04FF\u0501\u0503\u0505\u0507\u0509\u050B'
        '\u050D\u050F\u0511\u0513\u0515\u0517\u0519\u051B\u051D\u051F\u0521\u0523\u0525\u0527\u0529\u052B'
        '\u052D\u052F';
    armenian_capitals CONSTANT text :=
        E'\u0531\u0532\u0533\u0534\u0535\u0536\u0537\u0538\u0539\u053A\u053B\u053C\u053D\u053E\u053F\u0540'
        '\u0541\u0542\u0543\u0544\u0545\u0546\u0547\u0548\u0549\u054A\u054B\u054C\u054D\u054E\u054F\u0550'
        '\u0551\u0552\u0553\u0554\u0555\u0556';
    armenian_letters CONSTANT text :=
        E'\u0561\u0562\u0563\u0564\u0565\u0566\u0567\u0568\u0569\u056A\u056B\u056C\u056D\u056E\u056F\u0570'
        '\u0571\u0572\u0573\u0574\u0575\u0576\u0577\u0578\u0579\u057A\u057B\u057C\u057D\u057E\u057F\u0580'
        '\u0581\u0582\u0583\u0584\u0585\u0586';
BEGIN
    IF octet_length(folded) = length(folded) THEN
        RETURN folded;
    END IF;
    folded := normalize(regexp_replace(normalize(folded, NFKD), marks, '', 'g'), NFC);
    IF folded ~ '[\u00C6-\u0142\u0152\u0153\u1E9E]' THEN
        folded := replace(replace(folded, E'\u00DF', 'ss'), E'\u1E9E', 'ss');
        folded := replace(replace(folded, E'\u00E6', 'ae'), E'\u00C6', 'ae');
        folded := replace(replace(folded, E'\u0153', 'oe'), E'\u0152', 'oe');
        folded := translate(
            folded, E'\u00D8\u00F8\u0110\u0111\u0141\u0142\u0131\u00D0\u00F0\u0126\u0127', 'ooddlliddhh'
        );
    END IF;
    IF folded ~ '[\u0391-\u03C2]' THEN
        folded := translate(folded, greek_capitals, greek_letters);
    END IF;
    IF folded ~ '[\u0402-\u042F]' THEN
        folded := translate(folded, cyrillic_capitals, cyrillic_letters);
    END IF;
    IF folded ~ '[\u0460-\u052F]' THEN
        folded := translate(folded, more_cyrillic_capitals, more_cyrillic_letters);
    END IF;
    IF folded ~ '[\u0531-\u0556]' THEN
        folded := translate(folded, armenian_capitals, armenian_letters);
    END IF;
    IF folded ~ '[\u0649-\u06F9]' THEN
        folded := translate(
            folded,
            E'\u0649\u06CC\u06A9\u0660\u0661\u0662\u0663\u0664\u0665\u0666\u0667\u0668\u0669'
            '\u06F0\u06F1\u06F2\u06F3\u06F4\u06F5\u06F6\u06F7\u06F8\u06F9',
            E'\u064A\u064A\u064301234567890123456789'
        );
    END IF;
    -- Marks within words, and quotes of a phrase, as a keyboard has them.
    RETURN left(
        translate(
            folded,
            E'\u2018\u2019\u02BC\u2010\u2011\u2012\u2013\u201C\u201D\u201E\u00AB\u00BB',
            '''''''----"""""'
        ),
        100000
    );
END
$$;
COMMENT ON FUNCTION search_fold(text)
IS 'Parley: a text without accents, in one Unicode form and in small letters, except for those from A to Z';

-- search_class: the characters of a kind, as a class of a regular expression.
CREATE OR REPLACE FUNCTION search_class(kind text)
RETURNS text LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path FROM CURRENT
SET standard_conforming_strings = on AS $$
DECLARE
    -- Spaces and punctuation.
    apart CONSTANT text :=
        '[\u0001-\u002F\u003A-\u0040\u005B-\u0060\u007B-\u00A1\u00A6\u00A8\u00AA-\u00AF\u00B2-\u00BF'
        '\u00D7\u00F7\u055A-\u055F\u0589\u058A\u05BE\u05C0\u05C3\u05C6\u05F3\u05F4\u0600-\u060D'
        '\u061B-\u061F\u066A-\u066D\u06D4\u0964\u0965\u0970\u0E2F\u0E4F\u0E5A\u0E5B\u0F04-\u0F14'
        '\u104A-\u104F\u10FB\u1360-\u1368\u1680\u17D4-\u17D6\u17D8-\u17DB\u1800-\u180A\u2000-\u206F'
        '\u2E00-\u2E7F\u2FF0-\u3004\u3008-\u3020\u3030\u303D-\u303F\u30A0\u30FB\uA4FE\uA4FF\uE000-\uF8FF'
        '\uFE10-\uFE6F\uFFF0-\uFFFF]';
    -- Each is a word: symbols, emoji, and the characters of Chinese and Korean, of which there are many thousand. (Two
    -- of them as one word would be rare words: a text of random ones made the index twelve times as large as itself.)
    single CONSTANT text :=
        '[\u00A2-\u00A5\u00A7\u00A9\u00AE\u00B0\u00B1\u20A0-\u20CF\u2100-\u214F\u2190-\u2BFF'
        '\U0001F000-\U0001FAFF\u2E80-\u2FDF\u3005-\u3007\u3021-\u3029\u3400-\u4DBF\u4E00-\u9FFF'
        '\uA000-\uA4CF\uAC00-\uD7A3\uF900-\uFAFF\U00020000-\U0003FFFF]';
    -- Each is a word with the one after it: letters of scripts that have few of them, and no spaces between words.
    paired CONSTANT text :=
        '[\u0E01-\u0E2E\u0E30-\u0E4E\u0E50-\u0E59\u0E80-\u0EFF\u1000-\u1049\u1050-\u109F\u1780-\u17D3'
        '\u17DC-\u17E9\u1950-\u19DF\u1A20-\u1AAF\u1B00-\u1B4F\u3040-\u309F\u30A1-\u30FA\u30FC-\u312F'
        '\u31F0-\u31FF\uA980-\uA9C0\uA9E0-\uA9FF\uAA60-\uAA7F]';
BEGIN
    RETURN CASE kind WHEN 'apart' THEN apart WHEN 'single' THEN single WHEN 'paired' THEN paired END;
END
$$;
COMMENT ON FUNCTION search_class(text)
IS 'Parley: characters between words (apart), of one word each (single), of a word with the next (paired)';

-- search_list: the words of a folded text in order.
CREATE OR REPLACE FUNCTION search_list(folded text)
RETURNS text[] LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path FROM CURRENT
SET standard_conforming_strings = on AS $$
DECLARE
    spaced text COLLATE "C" := folded;
    apart CONSTANT text COLLATE "C" := search_class('apart') || '+';
    single CONSTANT text COLLATE "C" := search_class('single');
    run CONSTANT text COLLATE "C" := search_class('paired') || '+';
    words text[];
    -- A text of random words costs the disk some 50 bytes each, for ever new ones.
    most_words CONSTANT integer := 2000;
    most_letters CONSTANT integer := 50;
BEGIN
    spaced := regexp_replace(spaced, apart, ' ', 'g');
    IF octet_length(spaced) > length(spaced) THEN
        spaced := regexp_replace(spaced, single, ' \& ', 'g');
    END IF;
    IF octet_length(spaced) = length(spaced) OR spaced !~ run THEN
        words := array_remove(string_to_array(spaced, ' '), '');
    ELSE
        SELECT array_agg(pieces.word ORDER BY pieces.place, pieces.letter_place) INTO words
        FROM (
            SELECT
                whole.place,
                letters.letter_place,
                CASE
                    WHEN whole.word COLLATE "C" !~ run THEN whole.word
                    ELSE letters.letter || coalesce(
                        lead(letters.letter) OVER (PARTITION BY whole.place ORDER BY letters.letter_place), ''
                    )
                END AS word
            FROM
                unnest(array_remove(string_to_array(regexp_replace(spaced, run, ' \& ', 'g'), ' '), ''))
                WITH ORDINALITY AS whole (word, place)
            CROSS JOIN
                LATERAL unnest(
                    CASE
                        WHEN whole.word COLLATE "C" ~ run THEN string_to_array(whole.word, NULL)
                        ELSE ARRAY[whole.word]
                    END
                ) WITH ORDINALITY AS letters (letter, letter_place)
        ) AS pieces;
    END IF;
    -- A longer word is cut, as it is in a search.
    IF spaced ~ '[^ ]{51}' THEN
        words := array(
            SELECT left(each.word, most_letters)
            FROM unnest(words) WITH ORDINALITY AS each (word, place)
            ORDER BY each.place
        );
    END IF;
    IF cardinality(words) > most_words THEN
        words := words[:coalesce(
            (
                SELECT min(each.place) AS first_place
                FROM unnest(words) WITH ORDINALITY AS each (word, place)
                GROUP BY each.word
                ORDER BY first_place
                OFFSET most_words
                LIMIT 1
            ) - 1,
            cardinality(words)
        )];
    END IF;
    RETURN coalesce(words, '{}');
END
$$;
COMMENT ON FUNCTION search_list(text)
IS 'Parley: the words of a folded text in order; of scripts without spaces, their characters or pairs of letters';

-- search_parts: what a text is found by besides its words, as a tsvector is written. userName by name, and v1 by 1, at
-- the place of the word; foo-bar by foobar, don't by dont, 1,299 by 1299; C++, C# and .NET with their marks.
CREATE OR REPLACE FUNCTION search_parts(folded text)
RETURNS text LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path FROM CURRENT
SET standard_conforming_strings = on AS $$
DECLARE
    parts text := '';
    -- Of each kind.
    most_parts CONSTANT integer := 200;
    most_letters CONSTANT integer := 50;
    -- The last place that a tsvector knows.
    last_place CONSTANT integer := 16383;
    is_mixed CONSTANT text COLLATE "C" := '[a-z][A-Z]|[A-Za-z][0-9]|[0-9][A-Za-z]';
    -- Words that are joined by apostrophes and hyphens, and digits that are joined by these, by dots or by commas.
    joined CONSTANT text COLLATE "C" :=
        '[0-9]+(?:[.,''-][0-9]+)+'
        '|[A-Za-z0-9\u00C0-\u0DFF\u1E00-\u1FFF]+(?:[''-][A-Za-z0-9\u00C0-\u0DFF\u1E00-\u1FFF]+)+';
BEGIN
    IF folded COLLATE "C" ~ is_mixed THEN
        parts := concat_ws(' ', parts, (
            SELECT string_agg(
                '''' || lower(part.found[1] COLLATE "C") || ''':' || least(each.place, last_place), ' '
            )
            FROM (
                SELECT
                    listed.word COLLATE "C" AS word,
                    listed.place
                FROM unnest(search_list(folded)) WITH ORDINALITY AS listed (word, place)
                WHERE
                    listed.word COLLATE "C" ~ is_mixed
                    -- A key or a hash has no parts that anybody looks for.
                    AND listed.word COLLATE "C" !~ '([0-9]+[A-Za-z]+){4}'
                ORDER BY listed.place
                LIMIT most_parts
            ) AS each
            CROSS JOIN
                LATERAL regexp_matches(each.word, '[A-Z]+(?![a-z])|[A-Z]?[^A-Z0-9]+|[0-9]+', 'g') AS part (found)
        ));
    END IF;
    IF folded COLLATE "C" ~ '[^ ][-''.,][^ ]' THEN
        parts := concat_ws(' ', parts, (
            SELECT string_agg(
                '''' || lower(left(translate(each.found[1], '-''.,', ''), most_letters) COLLATE "C") || '''', ' '
            )
            FROM (
                SELECT matches.found
                FROM regexp_matches(folded COLLATE "C", joined, 'g') AS matches (found)
                LIMIT most_parts
            ) AS each
        ));
    END IF;
    IF folded COLLATE "C" ~ '[A-Za-z](?:\+\+|#)|\.[A-Za-z]' THEN
        parts := concat_ws(' ', parts, (
            SELECT string_agg('''' || lower(left(each.found[1], most_letters) COLLATE "C") || '''', ' ')
            FROM (
                SELECT matches.found
                FROM regexp_matches(
                    folded COLLATE "C", '[A-Za-z]+(?:\+\+|#)(?![A-Za-z0-9#+])|\.[A-Za-z][A-Za-z0-9]*', 'g'
                ) AS matches (found)
                LIMIT most_parts
            ) AS each
        ));
    END IF;
    RETURN parts;
END
$$;
COMMENT ON FUNCTION search_parts(text)
IS 'Parley: parts of words, words without the marks in them, and words with marks';

-- search_words: the words of a text with their places, as they are compared and ranked.
CREATE OR REPLACE FUNCTION search_words(content text)
RETURNS tsvector LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path FROM CURRENT AS $$
DECLARE
    folded CONSTANT text := search_fold(content);
    -- The last place that a tsvector knows.
    last_place CONSTANT integer := 16383;
BEGIN
    RETURN concat_ws(' ', search_parts(folded), (
        SELECT string_agg('''' || each.word || ''':' || least(each.place, last_place), ' ')
        FROM unnest(search_list(lower(folded COLLATE "C"))) WITH ORDINALITY AS each (word, place)
    ))::tsvector;
END
$$;
COMMENT ON FUNCTION search_words(text) IS 'Parley: the words of a text, with their places';

-- search_vector: the same without places, which an index does not store. The owner is one of the words of a text, so
-- that one index finds the texts that have the words and are the caller's. (An index on the words alone would first
-- find all users' texts; an index on both columns needs the extension btree_gin.) No word has chr(1) in it.
CREATE OR REPLACE FUNCTION search_vector(owner_id text, content text)
RETURNS tsvector LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path FROM CURRENT AS $$
DECLARE
    folded CONSTANT text := search_fold(content);
    parts CONSTANT text := search_parts(folded);
    words CONSTANT tsvector := array_to_tsvector(search_list(lower(folded COLLATE "C")) || (chr(1) || owner_id));
BEGIN
    IF parts = '' THEN
        RETURN words;
    END IF;
    RETURN words || parts::tsvector;
END
$$;
COMMENT ON FUNCTION search_vector(text, text) IS 'Parley: the words of a text, and its owner as one of them';
-- squawk-ignore transaction-nesting
COMMIT;

-- gin_pending_list_limit: new words wait in a list, and the turn that fills it moves all of them into the index. The
-- default of 4 MB has one turn in some thousands work for 256 ms; 128 kB, one in about a hundred for at most 27. Of
-- 6,000 turns with real words (a busy machine, 200,000 messages):
--     limit        longest turn  write-ahead log a turn
--     4 MB         256 ms        13.0 KB
--     256 kB        40 ms        20.7 KB
--     128 kB        27 ms        22.6 KB
--     no list        6 ms        26.3 KB
--     no index       4 ms         7.8 KB
-- A longer list writes less, because a page of the index takes several words at once.

-- search_conversations: messages.
-- squawk-ignore ban-concurrent-index-creation-in-transaction
CREATE INDEX CONCURRENTLY IF NOT EXISTS idx_chat_messages_search
ON chat_messages USING gin (search_vector(user_id, content)) WITH (gin_pending_list_limit = 128)
WHERE user_id IS NOT NULL AND superseded_at IS NULL;

-- search_conversations: titles.
-- squawk-ignore ban-concurrent-index-creation-in-transaction
CREATE INDEX CONCURRENTLY IF NOT EXISTS idx_conversations_search
ON conversations USING gin (search_vector(user_id, title)) WITH (gin_pending_list_limit = 128)
WHERE user_id IS NOT NULL;
