-- 006 turn leases: who may answer in a conversation, and until when.
--
-- Locks: ACCESS EXCLUSIVE on conversations, for a moment (nullable columns, no rewrite).
-- Undo: 006_turn_leases.down.sql; running answers lose their lease, nothing stored is lost.

ALTER TABLE conversations ADD COLUMN IF NOT EXISTS turn_id uuid;
ALTER TABLE conversations ADD COLUMN IF NOT EXISTS turn_message_id varchar(255);
ALTER TABLE conversations ADD COLUMN IF NOT EXISTS turn_expires_at timestamptz;

COMMENT ON COLUMN conversations.turn_id
IS 'Token of the attempt that is answering: who does not hold it writes nothing; NULL: the turn is free';
COMMENT ON COLUMN conversations.turn_message_id
IS 'message_id of the question being answered';
COMMENT ON COLUMN conversations.turn_expires_at
IS 'When the lease ends by itself: the deadline of the function that holds it, by this database''s clock';
