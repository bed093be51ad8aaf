-- rule_refusal
-- Tells whether an error that ended a batch is the refusal of one of its rows, and says it for the log.
--
-- For the clean-up's functions, which then take the rows one by one. An error of the server, of the transaction or of
-- locks is no row's.
--
-- Parameters
--   code   text  SQLSTATE of the error
--   words  text  SQLERRM: the server's words
--
-- Returns the code and the words, without the words about a value, which repeat it; null: it is no row's.
-- Index none.
CREATE OR REPLACE FUNCTION rule_refusal(code text, words text)
RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE
    WHEN left(code, 2) IN ('08', '25', '40', '53', '54', '55', '57', '58', 'F0', 'XX') THEN NULL
    WHEN left(code, 2) = '22' THEN code
    ELSE code || ' ' || words
END;
COMMENT ON FUNCTION rule_refusal(text, text)
IS 'Parley: the code and words of an error, if it is the refusal of a row';
