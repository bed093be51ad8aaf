-- 009 metric counters: the metrics that all instances of the functions have counted.
--
-- Locks: none on an existing table.
-- Undo: 009_metric_counters.down.sql.

-- Some hundred rows a shard, each updated by every instance from time to time. Instances that add to one row wait for
-- each other, to the end of the transaction, so each call adds to the rows of one of 16 shards. With room on the page
-- and no second index, an update leaves no index entry for vacuum.
CREATE TABLE IF NOT EXISTS metric_counters (
    shard integer NOT NULL,
    metric varchar(100) NOT NULL,
    function varchar(100) NOT NULL,
    label varchar(100) NOT NULL,
    bound double precision NOT NULL,
    count bigint NOT NULL,
    total double precision NOT NULL,
    day date NOT NULL,
    day_count bigint NOT NULL,
    day_total double precision NOT NULL,
    PRIMARY KEY (shard, metric, function, label, bound)
) WITH (fillfactor = 50);

COMMENT ON TABLE metric_counters IS 'Parley: the metrics that all instances have counted; empty it to begin again';
COMMENT ON COLUMN metric_counters.shard IS 'One of 16, by chance; the count of a cell is the sum over all of them';
COMMENT ON COLUMN metric_counters.metric IS 'The metric, as lib/runtime/counting.py names it';
COMMENT ON COLUMN metric_counters.function IS 'The function that counted it: its file, without the suffix';
COMMENT ON COLUMN metric_counters.label IS 'The label of the metric: a statement, a code; empty: none';
COMMENT ON COLUMN metric_counters.bound
IS 'Of a histogram, the upper bound of the bucket, in seconds; Infinity: the last one, or a plain counter';
COMMENT ON COLUMN metric_counters.count IS 'How often';
COMMENT ON COLUMN metric_counters.total IS 'Sum of the values in the bucket, in seconds';
COMMENT ON COLUMN metric_counters.day IS 'The last day, by UTC, with a count';
COMMENT ON COLUMN metric_counters.day_count IS 'How often on that day';
COMMENT ON COLUMN metric_counters.day_total IS 'Sum of the values on that day';

-- Without a policy: parley_app has no use for it.
ALTER TABLE metric_counters ENABLE ROW LEVEL SECURITY;
