-- claim_conversation :one
-- Make the caller the owner of an anonymous conversation and of all its rows.
--
-- Sent after lock_conversation (for the anonymous caller) in the same round trip, so that it sees every
-- stored message. Refused while an answer is being made: the process that makes it knows no owner and could
-- not store it afterwards. The key stays: its holder can still delete the conversation (erase_conversation).
--
-- Parameters
--   conversation_id  uuid         the conversation
--   user_id          text         the caller
--   retention_days   integer      conversations unused for longer are not found; 0: no limit
--   now              timestamptz  the time; null: the database's clock
--
-- Returns 0 or 1 row: is_claimed, and lease_remaining_seconds of the turn that prevents the claim (null:
-- no turn does). 0: there is no anonymous conversation under that id.
-- Index conversations_pkey, stream_batches_pkey, finished_streams_pkey, idx_chat_files_conversation_id,
-- message_files_pkey, conversation_summaries_pkey, uq_conversation_summaries_claim; any index of chat_messages that begins
-- with the conversation.
WITH
anonymous_conversation AS (
    SELECT
        conversations.id,
        date_part(
            'epoch', conversations.turn_expires_at - coalesce(%(now)s::timestamptz, now())
        ) AS lease_remaining_seconds
    FROM conversations
    WHERE
        conversations.id = %(conversation_id)s::uuid
        AND conversations.user_id IS NULL
        AND is_kept(conversations.updated_at, %(retention_days)s::integer, %(now)s::timestamptz)
),

claimed_conversation AS (
    UPDATE conversations
    SET
        user_id = %(user_id)s::text,
        claimed_at = coalesce(%(now)s::timestamptz, now())
    FROM anonymous_conversation
    WHERE
        conversations.id = anonymous_conversation.id
        AND conversations.user_id IS NULL
        AND coalesce(anonymous_conversation.lease_remaining_seconds <= 0, TRUE)
    RETURNING conversations.id
),

claimed_messages AS (
    UPDATE chat_messages
    SET user_id = %(user_id)s::text
    FROM claimed_conversation
    WHERE
        chat_messages.conversation_id = claimed_conversation.id
        AND chat_messages.user_id IS NULL
    RETURNING chat_messages.id
),

-- The parts that an attempt left behind and the stream of the last answer change owner too.
claimed_batches AS (
    UPDATE stream_batches
    SET user_id = %(user_id)s::text
    FROM claimed_conversation
    WHERE
        stream_batches.conversation_id = claimed_conversation.id
        AND stream_batches.user_id IS NULL
    RETURNING stream_batches.first_part
),

claimed_stream AS (
    UPDATE finished_streams
    SET user_id = %(user_id)s::text
    FROM claimed_conversation
    WHERE
        finished_streams.conversation_id = claimed_conversation.id
        AND finished_streams.user_id IS NULL
    RETURNING finished_streams.turn_id
),

-- The files belong to the user from now on, and no longer to this conversation alone.
claimed_files AS (
    UPDATE chat_files
    SET
        user_id = %(user_id)s::text,
        conversation_id = NULL
    FROM claimed_conversation
    WHERE
        chat_files.conversation_id = claimed_conversation.id
        AND chat_files.user_id IS NULL
    RETURNING chat_files.id
),

claimed_file_messages AS (
    UPDATE message_files
    SET user_id = %(user_id)s::text
    FROM claimed_conversation
    WHERE
        message_files.conversation_id = claimed_conversation.id
        AND message_files.user_id IS NULL
    RETURNING message_files.file_id
),

-- One that is being made is the guest's, and could not be stored any more.
given_up_summaries AS (
    DELETE FROM conversation_summaries
    USING claimed_conversation
    WHERE
        conversation_summaries.conversation_id = claimed_conversation.id
        AND conversation_summaries.user_id IS NULL
        AND conversation_summaries.content IS NULL
    RETURNING conversation_summaries.through_id
),

claimed_summaries AS (
    UPDATE conversation_summaries
    SET user_id = %(user_id)s::text
    FROM claimed_conversation
    WHERE
        conversation_summaries.conversation_id = claimed_conversation.id
        AND conversation_summaries.user_id IS NULL
        AND conversation_summaries.content IS NOT NULL
    RETURNING conversation_summaries.through_id
),

-- Reading the CTEs makes sure that all of them run.
claimed AS (
    SELECT count(claimed_messages.id) AS message_count FROM claimed_messages
)

SELECT
    claimed_conversation.id IS NOT NULL AS is_claimed,
    CASE
        WHEN claimed_conversation.id IS NULL THEN anonymous_conversation.lease_remaining_seconds
    END AS lease_remaining_seconds
FROM anonymous_conversation
CROSS JOIN claimed
LEFT JOIN claimed_conversation ON anonymous_conversation.id = claimed_conversation.id;
