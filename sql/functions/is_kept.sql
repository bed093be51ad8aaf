-- is_kept
-- Tells whether the retention period still keeps a row; readers see no row that it does not keep.
--
-- Every statement that hides expired rows calls it. Postgres puts its body in place of the call, so an index serves it
-- as it would the condition itself (tests/sql/test_statement_plans.py compares the plans). That takes LANGUAGE sql, one
-- expression, and neither SECURITY DEFINER nor SET. The body is RETURN, because Postgres stores it parsed: a call adds
-- 25 microseconds to planning, a body in quotes 38.
--
-- Parameters
--   stored_at       timestamptz  when the row was stored, or last used
--   retention_days  integer      the retention period; 0: keep all
--   now             timestamptz  null: the database's clock
--
-- Returns a boolean.
-- Index none of its own: the condition takes part in the statement's plan.
CREATE OR REPLACE FUNCTION is_kept(stored_at timestamptz, retention_days integer, now timestamptz)
RETURNS boolean LANGUAGE sql STABLE PARALLEL SAFE
RETURN (
    is_kept.retention_days = 0
    OR is_kept.stored_at >= coalesce(is_kept.now, now()) - make_interval(days => is_kept.retention_days)
);
COMMENT ON FUNCTION is_kept(timestamptz, integer, timestamptz)
IS 'Parley: does a retention period of so many days (0: keep all) still keep a row stored at that time?';
