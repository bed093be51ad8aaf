-- count_account_attempt :one
-- Count an attempt to log in or to register against each of its subjects, unless one of them has to wait.
--
-- Parameters
--   subjects        text[]       keyed hashes; first, in a log-in: the address and the client's network together
--   free_counts     integer[]    attempts that each subject has in a day before it has to wait
--   first_delays    integer[]    seconds of the first wait of each; each further attempt doubles it
--   longest_delays  integer[]    seconds of the longest wait of each
--   known_days      integer      days for which a network stays known
--   now             timestamptz  null: the database's clock
--
-- Returns 1 row: is_known (a known network: only the first subject counts), retry_after_seconds (0: it is allowed),
-- counted_at.
-- Index account_attempts_pkey, known_networks_pkey (within the function: sql/functions/count_account_attempt.sql).
SELECT
    counted.is_known,
    counted.retry_after_seconds,
    coalesce(%(now)s::timestamptz, now()) AS counted_at
FROM count_account_attempt(
    %(subjects)s::text[],
    %(free_counts)s::integer[],
    %(first_delays)s::integer[],
    %(longest_delays)s::integer[],
    %(known_days)s::integer,
    coalesce(%(now)s::timestamptz, now())
) AS counted;
