-- store_summary :one
-- Store a summary that this attempt has claimed.
--
-- Sent after lock_conversation in the same round trip, so that an edit which replaces a message of the summary comes
-- before it or after it: it deletes the claim, or the summary.
--
-- Parameters
--   conversation_id  uuid         the conversation
--   user_id          text         the caller; null: anonymous
--   claim_id         uuid         token of this attempt
--   known_id         bigint       through_id of the summary that this one goes on from; 0: there is none
--   through_id       bigint       chat_messages.id of the last message that the summary tells
--   content          text         the summary
--   oldest_at        timestamptz  created_at of the oldest message that it was made of, but for those of the earlier one
--   model            text         name of the model that wrote it
--   now              timestamptz  the time; null: the database's clock
--
-- Returns 0 or 1 row: through_id, created_at. 0: the claim is another attempt's by now, or one of the messages was replaced or
-- deleted.
-- Index uq_conversation_summaries_claim, conversation_summaries_pkey.
UPDATE conversation_summaries
SET
    through_id = %(through_id)s::bigint,
    content = %(content)s::text,
    -- least() ignores NULL. An earlier summary that is gone has taken this claim with it.
    oldest_at = least(
        %(oldest_at)s::timestamptz,
        (
            SELECT earlier.oldest_at
            FROM conversation_summaries AS earlier
            WHERE
                earlier.conversation_id = %(conversation_id)s::uuid
                AND earlier.user_id IS NOT DISTINCT FROM %(user_id)s::text
                AND earlier.through_id = %(known_id)s::bigint
        )
    ),
    model = %(model)s::text,
    claim_id = NULL,
    claim_expires_at = NULL,
    created_at = coalesce(%(now)s::timestamptz, now())
WHERE
    conversation_summaries.conversation_id = %(conversation_id)s::uuid
    AND conversation_summaries.user_id IS NOT DISTINCT FROM %(user_id)s::text
    AND conversation_summaries.content IS NULL
    AND conversation_summaries.claim_id = %(claim_id)s::uuid
RETURNING conversation_summaries.through_id, conversation_summaries.created_at;
