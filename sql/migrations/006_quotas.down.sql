-- Takes back 006 quotas. Lost: the counters; every minute and day begins again.

DROP FUNCTION IF EXISTS delete_own_account;
DROP FUNCTION IF EXISTS count_use;
DROP TABLE IF EXISTS quotas;
