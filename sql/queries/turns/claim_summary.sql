-- claim_summary :one
-- Claim a summary of a conversation, so that no two attempts pay for it.
--
-- Sent after lock_conversation in the same round trip. A claim ends by itself, soon after the attempt has died. Whoever
-- holds the conversation's turn may take a running claim over: the other attempt then stores nothing.
--
-- Parameters
--   conversation_id  uuid              the conversation
--   user_id          text              the caller; null: anonymous
--   claim_id         uuid              token of this attempt
--   known_id         bigint            through_id of the summary that this one goes on from; 0: there is none
--   through_id       bigint            chat_messages.id of the last message that the summary is to tell
--   lease_seconds    double precision  seconds until the claim ends
--   takes_over       boolean           true: take over a running claim
--   retention_days   integer           summaries of older messages are deleted first; 0: keep all
--   now              timestamptz       the time; null: the database's clock
--
-- Returns 0 or 1 row: is_claimed; lease_remaining_seconds of the claim of another attempt that was met (null: of none).
-- Not claimed, and no other claim: a newer summary is stored than the known one, or that one is gone. 0: there is no such conversation, or it
-- belongs to another caller.
-- Index conversations_pkey, conversation_summaries_pkey, uq_conversation_summaries_claim.
WITH
clock AS (
    SELECT coalesce(%(now)s::timestamptz, now()) AS now
),

conversation AS (
    SELECT
        conversations.id,
        conversations.user_id
    FROM conversations
    WHERE
        conversations.id = %(conversation_id)s::uuid
        AND conversations.user_id IS NOT DISTINCT FROM %(user_id)s::text
),

-- Readers do not see them any more, and their rows would be in the way.
expired AS (
    DELETE FROM conversation_summaries AS old
    USING conversation
    WHERE
        old.conversation_id = conversation.id
        AND old.user_id IS NOT DISTINCT FROM %(user_id)s::text
        AND old.content IS NOT NULL
        AND NOT is_kept(old.oldest_at, %(retention_days)s::integer, %(now)s::timestamptz)
    RETURNING old.through_id
),

-- Counted, so that they are deleted before.
cleared AS (
    SELECT count(expired.through_id) AS expired_count FROM expired
),

claimed AS (
    INSERT INTO conversation_summaries (
        conversation_id, user_id, through_id, claim_id, claim_expires_at, created_at
    )
    SELECT
        conversation.id,
        conversation.user_id,
        %(through_id)s::bigint,
        %(claim_id)s::uuid,
        clock.now + make_interval(secs => %(lease_seconds)s::double precision),
        clock.now
    FROM conversation
    CROSS JOIN clock
    CROSS JOIN cleared
    WHERE
        -- What was deleted meanwhile must not live on in a new summary.
        (
            %(known_id)s::bigint = 0
            OR EXISTS (
                SELECT FROM conversation_summaries AS known
                WHERE
                    known.conversation_id = %(conversation_id)s::uuid
                    AND known.user_id IS NOT DISTINCT FROM %(user_id)s::text
                    AND known.through_id = %(known_id)s::bigint
                    AND known.content IS NOT NULL
                    AND is_kept(known.oldest_at, %(retention_days)s::integer, %(now)s::timestamptz)
            )
        )
        AND NOT EXISTS (
            SELECT FROM conversation_summaries AS newer
            WHERE
                newer.conversation_id = %(conversation_id)s::uuid
                AND newer.user_id IS NOT DISTINCT FROM %(user_id)s::text
                AND newer.through_id > %(known_id)s::bigint
                AND newer.through_id <= %(through_id)s::bigint
                AND newer.content IS NOT NULL
                AND is_kept(newer.oldest_at, %(retention_days)s::integer, %(now)s::timestamptz)
        )
    ON CONFLICT (conversation_id) WHERE content IS NULL
    DO UPDATE
        SET
            through_id = excluded.through_id,
            claim_id = excluded.claim_id,
            claim_expires_at = excluded.claim_expires_at,
            created_at = excluded.created_at
        WHERE
        %(takes_over)s::boolean
        OR conversation_summaries.claim_id = excluded.claim_id
        OR conversation_summaries.claim_expires_at <= excluded.created_at
    RETURNING conversation_summaries.claim_id
)

SELECT
    claimed.claim_id IS NOT NULL AS is_claimed,
    CASE
        WHEN claimed.claim_id IS NULL
            THEN
                (
                    SELECT date_part('epoch', other.claim_expires_at - clock.now)
                    FROM conversation_summaries AS other
                    WHERE
                        other.conversation_id = %(conversation_id)s::uuid
                        AND other.user_id IS NOT DISTINCT FROM %(user_id)s::text
                        AND other.content IS NULL
                        AND other.claim_expires_at > clock.now
                )
    END AS lease_remaining_seconds
FROM conversation
CROSS JOIN clock
LEFT JOIN claimed ON TRUE;
