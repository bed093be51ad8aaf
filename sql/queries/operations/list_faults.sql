-- list_faults :many
-- What is wrong with the database around the tables: privileges, sequences, whether it can be
-- written, and foreign keys of other tables.
--
-- Returns a row a fault: kind, description.
-- Index idx_chat_messages_created_at, tasks_pkey: the greatest numbers; else the catalog.
-- The function: sql/functions/list_faults.sql.
SELECT
    faults.kind,
    faults.description
FROM list_faults() AS faults;
