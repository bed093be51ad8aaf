-- begin_turn
-- Decides whether a message is answered now; if so, stores it and takes the turn.
--
-- Exactly once is decided here: requests may be repeated any number of times and in any order, and a question still
-- gets one current answer. A function, because it locks the conversation before it reads the messages, and because its
-- plan is kept: planning takes longer than all that the statement does.
--
-- Parameters
--   conversation_id      uuid              the conversation; created if there is none
--   user_id              text              the caller; null: anonymous
--   message_id           text              id of the user message; null: regenerate the last answer
--   content              text              its text; null when message_id is null
--   files                jsonb             its files; null: none
--   metadata             jsonb             the sender's own data, stored with the message; null: none
--   replaced_message_id  text              the user message that this one replaces under a new id
--   regenerates          boolean           true: answer a question again that has an answer already
--   answer_message_id    text              with regenerates: the answer to replace; null: the last
--   title                text              title of a new conversation
--   turn_id              uuid              token of this attempt; its own retries send the same
--   lease_seconds        double precision  seconds until the lease ends, unless it is prolonged
--   takes_turn           boolean           false: only look whether the message is answered
--   max_messages         integer           messages that a conversation may hold
--   quota_subject        text              the subject whose quota an answer counts against
--   messages_per_minute  integer           answers allowed in a minute; 0: any number
--   messages_per_day     integer           answers allowed in a day; 0: any number
--   retention_days       integer           older messages count as deleted; 0: keep all
--   now                  timestamptz       null: the database's clock
--
-- Returns 1 row: minute_remaining, minute_reset_seconds, day_remaining, day_reset_seconds as count_use returns
-- them (null: nothing was counted); held_turn_id, token of the attempt that held the turn before (null: none);
-- verdict; lease_remaining_seconds of a running turn (null: none is running); current_title, the conversation's
-- title (null: it has none, or there is no conversation).
-- The verdicts:
--   taken              the turn is this attempt's: ask the model, then finish_turn or release_turn
--   answered           the answer is stored: send it again
--   being_answered     another attempt is answering: follow its stream
--   unanswered         no attempt is answering, and takes_turn is false
--   lapsed             the lease of an attempt has run out: store the parts that it has left, then call again
--   turn_in_progress   another message of this conversation is being answered
--   moved_on           the message has no answer, and later messages are stored
--   archived, full     the conversation takes no new messages
--   nothing_to_answer  there is no question whose answer could be regenerated
--   message_id_taken   the id belongs to a message that is not the user's
--   over_quota         the quota allows no further answer
-- Raises unique_violation (conversations_pkey) when another session creates the conversation at the same moment.
-- Retry once; a second violation means that the conversation belongs to someone else.
-- Index conversations_pkey, chat_messages_pkey, uq_chat_messages_message_id, uq_chat_messages_reply_to.
CREATE OR REPLACE FUNCTION begin_turn(
    conversation_id uuid,
    user_id text,
    message_id text,
    content text,
    files jsonb,
    metadata jsonb,
    replaced_message_id text,
    regenerates boolean,
    answer_message_id text,
    title text,
    turn_id uuid,
    lease_seconds double precision,
    takes_turn boolean,
    max_messages integer,
    quota_subject text,
    messages_per_minute integer,
    messages_per_day integer,
    retention_days integer,
    now timestamptz
)
RETURNS TABLE (
    minute_remaining integer,
    minute_reset_seconds double precision,
    day_remaining integer,
    day_reset_seconds double precision,
    held_turn_id uuid,
    verdict text,
    lease_remaining_seconds double precision,
    current_title varchar
)
LANGUAGE plpgsql VOLATILE SET plan_cache_mode = force_generic_plan AS $$
#variable_conflict use_column
BEGIN
    -- The lock comes first, in a statement of its own. In READ COMMITTED a statement keeps the snapshot that it took
    -- before it waited for a lock: a statement that locked and decided at once would not see the answer of the
    -- request before it, and the model would answer a second time. (NO KEY: the foreign keys of messages that are
    -- being inserted need not wait.)
    PERFORM FROM conversations
    WHERE
        conversations.id = begin_turn.conversation_id
        AND conversations.user_id IS NOT DISTINCT FROM begin_turn.user_id
    FOR NO KEY UPDATE;

    RETURN QUERY
    WITH
    clock AS (
        SELECT
            coalesce(begin_turn.now, now()) AS now,
            coalesce(begin_turn.now, now())
            + make_interval(secs => begin_turn.lease_seconds) AS lease_ends_at
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
            coalesce(conversations.turn_expires_at <= clock.now, FALSE) AS has_lapsed_turn,
            -- Not deleted yet, but hidden from all readers: the conversation begins again.
            NOT is_kept(conversations.updated_at, begin_turn.retention_days, begin_turn.now) AS is_expired
        FROM conversations
        CROSS JOIN clock
        WHERE
            conversations.id = begin_turn.conversation_id
            AND conversations.user_id IS NOT DISTINCT FROM begin_turn.user_id
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
            chat_messages.conversation_id = begin_turn.conversation_id
            AND chat_messages.user_id IS NOT DISTINCT FROM begin_turn.user_id
            AND chat_messages.superseded_at IS NULL
            AND is_kept(chat_messages.created_at, begin_turn.retention_days, begin_turn.now)
    ),

    -- The message that the request names, of any role.
    named_message AS (
        SELECT
            current_messages.id,
            current_messages.role
        FROM current_messages
        WHERE current_messages.message_id = begin_turn.message_id
    ),

    -- The stored question of the request: the question of the answer to be replaced, else the named message, else
    -- the message to be replaced, else the last question. None: the message is new.
    question AS (
        SELECT
            current_messages.id,
            current_messages.message_id,
            CASE
                WHEN current_messages.message_id = begin_turn.message_id
                    THEN
                        current_messages.content <> begin_turn.content
                        OR coalesce(current_messages.files, '[]') <> coalesce(begin_turn.files, '[]')
                -- Another id: the question is the message to be replaced.
                ELSE NOT begin_turn.regenerates
            END AS is_edited
        FROM current_messages
        WHERE
            current_messages.role = 'user'
            AND current_messages.id = coalesce(
                (
                    SELECT replaced.reply_to
                    FROM current_messages AS replaced
                    WHERE
                        begin_turn.regenerates
                        AND replaced.message_id = begin_turn.answer_message_id
                ),
                (SELECT named_message.id FROM named_message),
                (
                    SELECT replaced.id
                    FROM current_messages AS replaced
                    WHERE replaced.message_id = begin_turn.replaced_message_id
                ),
                (
                    SELECT last_message.id
                    FROM current_messages AS last_message
                    WHERE begin_turn.message_id IS NULL AND last_message.role = 'user'
                    ORDER BY last_message.id DESC
                    LIMIT 1
                )
            )
    ),

    decision AS (
        SELECT
            question.id AS question_id,
            coalesce(question.is_edited, FALSE) AS is_edited,
            -- A retry of a message that got no answer is not counted.
            question.id IS NULL OR question.is_edited OR coalesce(
                answer.finish_reason NOT IN ('error', 'interrupted'), answer.id IS NOT NULL
            ) AS is_counted,
            CASE
                WHEN conversation.turn_id = begin_turn.turn_id THEN 'taken'
                WHEN question.id IS NULL AND begin_turn.message_id IS NULL THEN 'nothing_to_answer'
                WHEN conversation.id IS NULL THEN 'new_conversation'
                WHEN conversation.has_lapsed_turn THEN 'lapsed'
                -- Before 'answered', because the old answer stays while a new one is made.
                WHEN
                    NOT question.is_edited
                    AND conversation.has_running_turn
                    AND conversation.turn_message_id = question.message_id
                    THEN 'being_answered'
                WHEN
                    NOT begin_turn.regenerates AND NOT question.is_edited
                    AND answer.id IS NOT NULL
                    AND coalesce(answer.finish_reason, 'stop') NOT IN ('error', 'interrupted')
                    THEN 'answered'
                WHEN
                    NOT begin_turn.regenerates AND NOT question.is_edited
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
                    AND begin_turn.max_messages <= (
                        SELECT count(*)
                        FROM (
                            SELECT FROM current_messages LIMIT begin_turn.max_messages
                        ) AS counted
                    )
                    THEN 'full'
                WHEN NOT begin_turn.takes_turn THEN 'unanswered'
                ELSE 'free'
            END AS verdict
        FROM clock
        LEFT JOIN conversation ON TRUE
        LEFT JOIN question ON TRUE
        LEFT JOIN current_messages AS answer ON question.id = answer.reply_to
    ),

    -- Counts only a message that is about to be answered, in the transaction that stores it. (CASE, so that no plan
    -- calls the function before the decision is known.)
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
                CASE WHEN decision.is_counted THEN begin_turn.quota_subject END,
                begin_turn.user_id,
                begin_turn.messages_per_minute,
                begin_turn.messages_per_day,
                clock.now
            ) AS counted
        WHERE
            decision.verdict IN ('free', 'new_conversation')
            AND decision.is_counted
            AND (begin_turn.messages_per_minute > 0 OR begin_turn.messages_per_day > 0)
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
            begin_turn.conversation_id,
            begin_turn.user_id,
            begin_turn.title,
            begin_turn.turn_id,
            begin_turn.message_id,
            clock.lease_ends_at,
            clock.now,
            clock.now
        FROM answerable
        CROSS JOIN clock
        WHERE answerable.verdict = 'new_conversation'
        RETURNING conversations.id, conversations.title
    ),

    -- An edit replaces the question and all messages after it. (finish_turn replaces an answer, when there is a new
    -- one.)
    superseded_messages AS (
        UPDATE chat_messages
        SET superseded_at = clock.now
        FROM answerable
        CROSS JOIN clock
        WHERE
            answerable.verdict = 'free'
            AND chat_messages.conversation_id = begin_turn.conversation_id
            AND chat_messages.user_id IS NOT DISTINCT FROM begin_turn.user_id
            AND chat_messages.superseded_at IS NULL
            AND chat_messages.role <> 'system'
            AND (
                (answerable.is_edited AND chat_messages.id >= answerable.question_id)
                -- A message that has expired but is not deleted yet gives up its id.
                OR (
                    (answerable.question_id IS NULL OR answerable.is_edited)
                    AND chat_messages.message_id = begin_turn.message_id
                )
            )
        RETURNING chat_messages.id
    ),

    -- Counted, so that the replaced message gives up its id before the new message takes it.
    superseded AS (
        SELECT count(superseded_messages.id) AS message_count FROM superseded_messages
    ),

    stored_message AS (
        INSERT INTO chat_messages (
            conversation_id, user_id, message_id, role, content, files, metadata, created_at, updated_at
        )
        SELECT
            begin_turn.conversation_id,
            begin_turn.user_id,
            begin_turn.message_id,
            'user',
            begin_turn.content,
            begin_turn.files,
            begin_turn.metadata,
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
            turn_id = begin_turn.turn_id,
            turn_message_id = coalesce(
                (SELECT stored_message.message_id FROM stored_message),
                (SELECT question.message_id FROM question)
            ),
            turn_expires_at = clock.lease_ends_at,
            title = CASE WHEN conversation.is_expired THEN begin_turn.title ELSE conversations.title END,
            status = CASE WHEN conversation.is_expired THEN 'active' ELSE conversations.status END,
            created_at = CASE WHEN conversation.is_expired THEN clock.now ELSE conversations.created_at END,
            updated_at = clock.now
        FROM answerable
        CROSS JOIN clock
        CROSS JOIN conversation
        WHERE
            answerable.verdict = 'free'
            AND conversations.id = begin_turn.conversation_id
            AND conversations.user_id IS NOT DISTINCT FROM begin_turn.user_id
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
    -- Joined, so that the turn is taken in every plan.
    LEFT JOIN taken_turn ON TRUE;
END
$$;
COMMENT ON FUNCTION begin_turn(
    uuid, text, text, text, jsonb, jsonb, text, boolean, text, text, uuid, double precision, boolean,
    integer, text, integer, integer, integer, timestamptz
)
IS 'Parley: decides whether a message is answered now; if so, stores it and takes the turn';
REVOKE EXECUTE ON FUNCTION begin_turn(
    uuid, text, text, text, jsonb, jsonb, text, boolean, text, text, uuid, double precision, boolean,
    integer, text, integer, integer, integer, timestamptz
) FROM public;
GRANT EXECUTE ON FUNCTION begin_turn(
    uuid, text, text, text, jsonb, jsonb, text, boolean, text, text, uuid, double precision, boolean,
    integer, text, integer, integer, integer, timestamptz
) TO parley_app;
