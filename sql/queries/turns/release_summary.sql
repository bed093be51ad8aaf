-- release_summary :one
-- Give up a claim without a summary, so that the next turn need not wait for its end.
--
-- Parameters
--   conversation_id  uuid  the conversation
--   user_id          text  the caller; null: anonymous
--   claim_id         uuid  token of this attempt
--
-- Returns 0 or 1 row: through_id, created_at. 0: the attempt holds no claim.
-- Index uq_conversation_summaries_claim.
DELETE FROM conversation_summaries
WHERE
    conversation_summaries.conversation_id = %(conversation_id)s::uuid
    AND conversation_summaries.user_id IS NOT DISTINCT FROM %(user_id)s::text
    AND conversation_summaries.content IS NULL
    AND conversation_summaries.claim_id = %(claim_id)s::uuid
RETURNING conversation_summaries.through_id, conversation_summaries.created_at;
