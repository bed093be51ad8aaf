-- begin_turn :one
-- Decide what becomes of a message, and if it is to be answered, store it and take the turn.
--
-- The whole of "exactly once": whatever is repeated, in whatever order, one question has one current
-- answer. Sent after lock_conversation, in the same round trip: the decision sees all that is stored.
--
-- Parameters
--   conversation_id    uuid         which; made now if there is none
--   user_id            text         the caller; null: anonymous
--   message_id         text         id of the user message; null: regenerate the last answer
--   content            text         its text; null when message_id is
--   files              jsonb        its files; null: it has none
--   metadata           jsonb        what its sender keeps with it; null: nothing
--   replaced_message_id  text       the user message that this one replaces, under an id of its own
--   regenerates        boolean      answer a question again that is answered already
--   answer_message_id  text         with regenerates: the answer to replace; null: the last
--   title              text         title of a new conversation
--   turn_id            uuid         token of this attempt, the same in its own retries
--   lease_seconds      double precision  until the function's deadline
--   takes_turn         boolean      false: only look whether it is answered
--   max_messages       integer      messages that a conversation may hold
--   quota_subject      text         whom an answer is counted for
--   messages_per_minute  integer    answers that may be asked for in a minute; 0: any number
--   messages_per_day   integer      in a day; 0: any number
--   retention_days     integer      older messages count as gone; 0: none do
--   now                timestamptz  null: the database's clock
--
-- Returns 1 row: what count_use tells of the quota (null: nothing was counted); held_turn_id, token of the
-- attempt that held the turn before (null: none did); verdict; lease_remaining_seconds of a turn that was
-- running (null: none did); and the conversation's title as it is now (null: it has none, or there is no
-- such conversation).
-- The verdicts:
--   taken              the turn is this attempt's: ask the model, then finish_turn or release_turn
--   answered           the answer is stored: send it again
--   being_answered     by another attempt: attach to it
--   unanswered         nobody answers it, and this request may not
--   lapsed             an attempt was ended before it could store what it has said: store that, then ask again
--   turn_in_progress   another message of this conversation is being answered
--   moved_on           unanswered, and others have been said since
--   archived, full     the conversation takes no new messages
--   nothing_to_answer  to regenerate, but nothing is there
--   message_id_taken   that id is the id of a message that is not the user's
--   over_quota         as many answers were asked for as may be
-- An error, of conversations_pkey: made by somebody else at this moment; try again, and if it is the
-- same again, it is not the caller's.
-- Index conversations_pkey, chat_messages_pkey, uq_chat_messages_message_id, uq_chat_messages_reply_to,
-- stream_batches_pkey.
WITH
clock AS (
    SELECT
        coalesce(%(now)s::timestamptz, now()) AS now,
        coalesce(%(now)s::timestamptz, now())
        + make_interval(secs => %(lease_seconds)s::double precision) AS lease_ends_at
),

conversation AS (
    SELECT
        conversations.id,
        conversations.title,
        conversations.status,
        conversations.turn_id,
        conversations.turn_message_id,
        conversations.turn_expires_at,
        coalesce(conversations.turn_expires_at > clock.now, FALSE) AS has_running_turn,
        coalesce(conversations.turn_expires_at <= clock.now, FALSE) AND EXISTS (
            SELECT
            FROM stream_batches
            WHERE
                stream_batches.conversation_id = conversations.id
                AND stream_batches.turn_id = conversations.turn_id
                AND stream_batches.user_id IS NOT DISTINCT FROM %(user_id)s::text
        ) AS has_lapsed_turn,
        -- Not deleted yet, but not there any more for anybody: it begins anew.
        %(retention_days)s::integer > 0
        AND conversations.updated_at
        < clock.now - make_interval(days => %(retention_days)s::integer) AS is_expired
    FROM conversations
    CROSS JOIN clock
    WHERE
        conversations.id = %(conversation_id)s::uuid
        AND conversations.user_id IS NOT DISTINCT FROM %(user_id)s::text
),

current_messages AS NOT MATERIALIZED (
    SELECT
        chat_messages.id,
        chat_messages.message_id,
        chat_messages.role,
        chat_messages.content,
        chat_messages.files,
        chat_messages.reply_to,
        chat_messages.finish_reason
    FROM chat_messages
    WHERE
        chat_messages.conversation_id = %(conversation_id)s::uuid
        AND chat_messages.user_id IS NOT DISTINCT FROM %(user_id)s::text
        AND chat_messages.superseded_at IS NULL
        AND (
            %(retention_days)s::integer = 0
            OR chat_messages.created_at
            >= coalesce(%(now)s::timestamptz, now())
            - make_interval(days => %(retention_days)s::integer)
        )
),

-- The message that the request names, whosever it is.
named_message AS (
    SELECT
        current_messages.id,
        current_messages.role
    FROM current_messages
    WHERE current_messages.message_id = %(message_id)s::text
),

-- The stored question that the request is about: that of the answer to be replaced, or the one named,
-- or the one to be replaced, or the last. None: the message is new.
question AS (
    SELECT
        current_messages.id,
        current_messages.message_id,
        CASE
            WHEN current_messages.message_id = %(message_id)s::text
                THEN
                    current_messages.content <> %(content)s::text
                    OR coalesce(current_messages.files, '[]') <> coalesce(%(files)s::jsonb, '[]')
            -- Another id: it was found as the message to be replaced.
            ELSE NOT %(regenerates)s::boolean
        END AS is_edited
    FROM current_messages
    WHERE
        current_messages.role = 'user'
        AND current_messages.id = coalesce(
            (
                SELECT replaced.reply_to
                FROM current_messages AS replaced
                WHERE
                    %(regenerates)s::boolean
                    AND replaced.message_id = %(answer_message_id)s::text
            ),
            (SELECT named_message.id FROM named_message),
            (
                SELECT replaced.id
                FROM current_messages AS replaced
                WHERE replaced.message_id = %(replaced_message_id)s::text
            ),
            (
                SELECT last_message.id
                FROM current_messages AS last_message
                WHERE %(message_id)s::text IS NULL AND last_message.role = 'user'
                ORDER BY last_message.id DESC
                LIMIT 1
            )
        )
),

decision AS (
    SELECT
        question.id AS question_id,
        coalesce(question.is_edited, FALSE) AS is_edited,
        -- To try a message again that got no answer costs its sender nothing.
        question.id IS NULL OR question.is_edited OR coalesce(
            answer.finish_reason NOT IN ('error', 'interrupted'), answer.id IS NOT NULL
        ) AS is_counted,
        CASE
            WHEN conversation.turn_id = %(turn_id)s::uuid THEN 'taken'
            WHEN question.id IS NULL AND %(message_id)s::text IS NULL THEN 'nothing_to_answer'
            WHEN conversation.id IS NULL THEN 'new_conversation'
            WHEN conversation.has_lapsed_turn THEN 'lapsed'
            -- Before 'answered': while it is regenerated, the old answer is there still.
            WHEN
                NOT question.is_edited
                AND conversation.has_running_turn
                AND conversation.turn_message_id = question.message_id
                THEN 'being_answered'
            WHEN
                NOT %(regenerates)s::boolean AND NOT question.is_edited
                AND answer.id IS NOT NULL
                AND coalesce(answer.finish_reason, 'stop') NOT IN ('error', 'interrupted')
                THEN 'answered'
            WHEN
                NOT %(regenerates)s::boolean AND NOT question.is_edited
                AND EXISTS (
                    SELECT FROM current_messages AS later
                    WHERE later.role = 'user' AND later.id > question.id
                )
                THEN 'moved_on'
            WHEN conversation.has_running_turn THEN 'turn_in_progress'
            WHEN conversation.status = 'archived' AND NOT conversation.is_expired THEN 'archived'
            WHEN question.id IS NULL AND EXISTS (SELECT FROM named_message) THEN 'message_id_taken'
            WHEN
                question.id IS NULL
                AND %(max_messages)s::integer <= (
                    SELECT count(*)
                    FROM (
                        SELECT FROM current_messages LIMIT %(max_messages)s::integer
                    ) AS counted
                )
                THEN 'full'
            WHEN NOT %(takes_turn)s::boolean THEN 'unanswered'
            ELSE 'free'
        END AS verdict
    FROM clock
    LEFT JOIN conversation ON TRUE
    LEFT JOIN question ON TRUE
    LEFT JOIN current_messages AS answer ON question.id = answer.reply_to
),

-- Counted only if it is about to be answered, and stored with it, or not at all. (As CASE, so that no plan
-- can call the function before it has looked at the decision.)
quota AS MATERIALIZED (
    SELECT
        counted.is_allowed,
        counted.minute_remaining,
        counted.minute_reset_seconds,
        counted.day_remaining,
        counted.day_reset_seconds
    FROM decision
    CROSS JOIN clock
    CROSS JOIN
        LATERAL count_use(
            CASE WHEN decision.is_counted THEN %(quota_subject)s::text END,
            %(user_id)s::text,
            %(messages_per_minute)s::integer,
            %(messages_per_day)s::integer,
            clock.now
        ) AS counted
    WHERE
        decision.verdict IN ('free', 'new_conversation')
        AND decision.is_counted
        AND (%(messages_per_minute)s::integer > 0 OR %(messages_per_day)s::integer > 0)
),

answerable AS (
    SELECT
        decision.question_id,
        decision.is_edited,
        decision.verdict
    FROM decision
    LEFT JOIN quota ON TRUE
    WHERE
        decision.verdict IN ('free', 'new_conversation')
        AND coalesce(quota.is_allowed, TRUE)
),

created_conversation AS (
    INSERT INTO conversations (
        id, user_id, title, turn_id, turn_message_id, turn_expires_at, created_at, updated_at
    )
    SELECT
        %(conversation_id)s::uuid,
        %(user_id)s::text,
        %(title)s::text,
        %(turn_id)s::uuid,
        %(message_id)s::text,
        clock.lease_ends_at,
        clock.now,
        clock.now
    FROM answerable
    CROSS JOIN clock
    WHERE answerable.verdict = 'new_conversation'
    RETURNING conversations.id, conversations.title
),

-- An edit replaces the question and all after it. (What a new answer replaces stays until there is
-- one: finish_turn.)
superseded_messages AS (
    UPDATE chat_messages
    SET superseded_at = clock.now
    FROM answerable
    CROSS JOIN clock
    WHERE
        answerable.verdict = 'free'
        AND chat_messages.conversation_id = %(conversation_id)s::uuid
        AND chat_messages.user_id IS NOT DISTINCT FROM %(user_id)s::text
        AND chat_messages.superseded_at IS NULL
        AND chat_messages.role <> 'system'
        AND (
            (answerable.is_edited AND chat_messages.id >= answerable.question_id)
            -- Expired, but not deleted yet: it has to give its id free.
            OR (
                (answerable.question_id IS NULL OR answerable.is_edited)
                AND chat_messages.message_id = %(message_id)s::text
            )
        )
    RETURNING chat_messages.id
),

-- Counted, so that the replaced message has given its id free before the new one takes it.
superseded AS (
    SELECT count(superseded_messages.id) AS message_count FROM superseded_messages
),

stored_message AS (
    INSERT INTO chat_messages (
        conversation_id, user_id, message_id, role, content, files, metadata, created_at, updated_at
    )
    SELECT
        %(conversation_id)s::uuid,
        %(user_id)s::text,
        %(message_id)s::text,
        'user',
        %(content)s::text,
        %(files)s::jsonb,
        %(metadata)s::jsonb,
        clock.now,
        clock.now
    FROM answerable
    CROSS JOIN clock
    CROSS JOIN superseded
    WHERE
        (answerable.verdict = 'free' AND (answerable.question_id IS NULL OR answerable.is_edited))
        OR EXISTS (SELECT FROM created_conversation)
    RETURNING chat_messages.message_id
),

taken_turn AS (
    UPDATE conversations
    SET
        turn_id = %(turn_id)s::uuid,
        turn_message_id = coalesce(
            (SELECT stored_message.message_id FROM stored_message),
            (SELECT question.message_id FROM question)
        ),
        turn_expires_at = clock.lease_ends_at,
        title = CASE WHEN conversation.is_expired THEN %(title)s::text ELSE conversations.title END,
        status = CASE WHEN conversation.is_expired THEN 'active' ELSE conversations.status END,
        created_at = CASE WHEN conversation.is_expired THEN clock.now ELSE conversations.created_at END,
        updated_at = clock.now
    FROM answerable
    CROSS JOIN clock
    CROSS JOIN conversation
    WHERE
        answerable.verdict = 'free'
        AND conversations.id = %(conversation_id)s::uuid
        AND conversations.user_id IS NOT DISTINCT FROM %(user_id)s::text
    RETURNING conversations.title
)

SELECT
    quota.minute_remaining,
    quota.minute_reset_seconds,
    quota.day_remaining,
    quota.day_reset_seconds,
    conversation.turn_id AS held_turn_id,
    CASE
        WHEN answerable.verdict IS NOT NULL THEN 'taken'
        WHEN decision.verdict IN ('free', 'new_conversation') THEN 'over_quota'
        ELSE decision.verdict
    END AS verdict,
    CASE
        WHEN conversation.has_running_turn
            THEN extract(EPOCH FROM conversation.turn_expires_at - clock.now)::double precision
    END AS lease_remaining_seconds,
    coalesce(
        CASE WHEN conversation.is_expired THEN taken_turn.title ELSE conversation.title END,
        created_conversation.title
    ) AS title
FROM decision
CROSS JOIN clock
LEFT JOIN answerable ON TRUE
LEFT JOIN quota ON TRUE
LEFT JOIN conversation ON TRUE
LEFT JOIN created_conversation ON TRUE
-- Read, so that the turn is taken in any case.
LEFT JOIN taken_turn ON TRUE;
