-- mark_stream_followed :one
-- Note that a reader in another process follows a running answer, so that its parts are stored more often.
--
-- Sent with read_stream every few seconds. The mark is on the newest batch, where store_stream_batches finds it with
-- the next one. A row that is locked at this moment is passed over, so that reading never waits.
--
-- Parameters
--   conversation_id  uuid         the conversation
--   user_id          text         the caller; null: anonymous
--   turn_id          uuid         token of the attempt
--   now              timestamptz  the time; null: the database's clock
--
-- Returns 0 or 1 row: turn_id. 0: the answer has no batch that is not locked.
-- Index stream_batches_pkey.
WITH
newest_batch AS (
    SELECT
        unlocked.conversation_id,
        unlocked.first_part
    FROM stream_batches AS unlocked
    WHERE
        unlocked.conversation_id = %(conversation_id)s::uuid
        AND unlocked.turn_id = %(turn_id)s::uuid
        AND unlocked.user_id IS NOT DISTINCT FROM %(user_id)s::text
    ORDER BY unlocked.first_part DESC
    LIMIT 1
    FOR NO KEY UPDATE SKIP LOCKED
)

UPDATE stream_batches
SET followed_at = coalesce(%(now)s::timestamptz, now())
FROM newest_batch
WHERE
    stream_batches.conversation_id = newest_batch.conversation_id
    AND stream_batches.turn_id = %(turn_id)s::uuid
    AND stream_batches.first_part = newest_batch.first_part
    AND stream_batches.user_id IS NOT DISTINCT FROM %(user_id)s::text
RETURNING stream_batches.turn_id;
