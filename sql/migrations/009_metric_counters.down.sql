-- Takes back 009 metric counters. Lost: the metrics counted so far.

DROP FUNCTION IF EXISTS list_slow_statements;
DROP TABLE IF EXISTS metric_counters;
