-- Takes back 006 turn leases. Lost: who is answering right now; those answers are not stored.

ALTER TABLE conversations DROP COLUMN IF EXISTS turn_expires_at;
ALTER TABLE conversations DROP COLUMN IF EXISTS turn_message_id;
ALTER TABLE conversations DROP COLUMN IF EXISTS turn_id;
