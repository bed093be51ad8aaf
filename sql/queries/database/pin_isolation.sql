-- pin_isolation :exec
-- Let the transaction read what others have committed, whatever default_transaction_isolation says.
--
-- Sent before any other statement of the round trip, and only to databases whose default is another: Postgres takes it
-- before the first query alone. It holds for this transaction, so it works through PgBouncer in transaction mode. SET
-- TRANSACTION would do the same, but writes a warning into the server's log when no BEGIN came before.
--
-- Index none: it reads no table.
SET transaction_isolation TO 'read committed';
