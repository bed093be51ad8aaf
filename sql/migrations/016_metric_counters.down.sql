-- Takes back 016 metric counters. Lost: what was counted.

DROP FUNCTION IF EXISTS list_slow_statements(integer);
DROP TABLE IF EXISTS metric_counters;
