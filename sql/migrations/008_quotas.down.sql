-- Takes back 008 quotas. Lost: what was counted; everybody's minute and day begin anew.

DROP FUNCTION IF EXISTS count_use(text, text, integer, integer, timestamptz);
DROP TABLE IF EXISTS quotas;
