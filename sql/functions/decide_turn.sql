-- decide_turn
-- Decides whether a message is answered now; if so, stores it and takes the turn.
--
-- Exactly once is decided here: requests may be repeated any number of times and in any order, and a question still
-- gets one current answer. begin_turn calls it for each message but the plain new one, after it has locked the
-- conversation: so this reads the messages as they are under the lock. A function, because its plan is kept: planning
-- takes longer than all that the statement does.
--
-- Parameters
--   conversation_id      uuid              the conversation; created if there is none
--   user_id              text              the caller; null: anonymous
--   message_id           text              id of the user message; null: regenerate the last answer
--   content              text              its text; null when message_id is null
--   files                jsonb             its files; null: none
--   file_bytes           bigint            bytes of its files that store_message_files stores after this
--   steps                json              its parts in their order, where text and files alone do not tell them; null:
--                                          they do
--   metadata             jsonb             the sender's own data, stored with the message; null: none
--   replaced_message_id  text              the user message that this one replaces under a new id
--   regenerates          boolean           true: answer a question again that has an answer already
--   answer_message_id    text              with regenerates: the answer to replace; null: the last
--   title                text              title of a conversation that is new, or whose title has expired
--   turn_id              uuid              token of this attempt; its own retries send the same
--   lease_seconds        double precision  seconds until the lease ends, unless it is prolonged
--   takes_turn           boolean           false: only look whether the message is answered
--   max_messages         integer           messages that a conversation may hold
--   quota_subjects       text[]            the subjects that an answer counts for, as count_use takes them; {}: none
--   messages_per_minute  integer[]         answers that each may ask for in a minute; 0: any number
--   messages_per_day     integer[]         answers that each may ask for in a day; 0: any number
--   bytes_per_day        bigint[]          bytes of messages that each may store in a day; 0: any number
--   tokens_per_day       bigint[]          tokens after which each gets no further answer that day; 0: any number
--   model                text              name of the model that the request asks for; null: none
--   persona              text              as requested, stored with the message; null: none
--   tone                 text              likewise
--   behavior             text              likewise
--   retention_days       integer           older messages count as deleted; 0: keep all
--   now                  timestamptz       null: the database's clock
--
-- Returns 1 row: quota_number and quota_refusal, which are count_use's subject_number and refusal, and
-- minute_remaining, minute_reset_seconds, day_remaining, day_reset_seconds as count_use returns them (null: nothing
-- was counted); held_turn_id, token of the attempt that held the turn before (null: none); verdict; may_ask_title,
-- true for the one attempt that may ask the model for a title of the conversation, and for the repetition of an
-- attempt that the provider has failed; lease_remaining_seconds of a running turn (null: none is running);
-- current_title, the conversation's title (null: it has none, the title has expired, or there is no conversation).
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
--   over_quota         a quota allows no further answer, or not so many bytes; nothing is stored or counted
-- Each attempt that takes the turn is counted, because each asks the model. One kind is free: the attempt after one
-- that the provider itself has failed (owed_attempt), and that three times for a question. A stop, a killed function
-- or a lost reader owe nothing, or a caller could have answers without end.
-- Raises unique_violation (conversations_pkey) when another session creates the conversation at the same moment.
-- Retry once; a second violation means that the conversation belongs to someone else.
-- Index conversations_pkey, chat_messages_pkey, uq_chat_messages_message_id, uq_chat_messages_reply_to.
CREATE OR REPLACE FUNCTION decide_turn(
    conversation_id uuid,
    user_id text,
    message_id text,
    content text,
    files jsonb,
    file_bytes bigint,
    steps json,
    metadata jsonb,
    replaced_message_id text,
    regenerates boolean,
    answer_message_id text,
    title text,
    turn_id uuid,
    lease_seconds double precision,
    takes_turn boolean,
    max_messages integer,
    quota_subjects text[],
    messages_per_minute integer[],
    messages_per_day integer[],
    bytes_per_day bigint[],
    tokens_per_day bigint[],
    model text,
    persona text,
    tone text,
    behavior text,
    retention_days integer,
    now timestamptz
)
RETURNS TABLE (
    quota_number integer,
    quota_refusal text,
    minute_remaining integer,
    minute_reset_seconds double precision,
    day_remaining integer,
    day_reset_seconds double precision,
    held_turn_id uuid,
    verdict text,
    may_ask_title boolean,
    lease_remaining_seconds double precision,
    current_title varchar
)
LANGUAGE plpgsql VOLATILE SET plan_cache_mode = force_generic_plan SET search_path FROM CURRENT AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    WITH
    clock AS (
        SELECT
            coalesce(decide_turn.now, now()) AS now,
            coalesce(decide_turn.now, now())
            + make_interval(secs => decide_turn.lease_seconds) AS lease_ends_at
    ),

    conversation AS (
        SELECT
            conversations.id,
            conversations.status,
            conversations.turn_id,
            conversations.turn_message_id,
            conversations.turn_expires_at,
            coalesce(conversations.turn_expires_at > clock.now, FALSE) AS has_running_turn,
            coalesce(conversations.turn_expires_at <= clock.now, FALSE) AS has_lapsed_turn,
            CASE
                WHEN is_kept(conversations.titled_at, decide_turn.retention_days, decide_turn.now)
                    THEN conversations.title
            END AS title,
            -- Not deleted yet, but hidden from all readers: the conversation begins again.
            NOT is_kept(conversations.updated_at, decide_turn.retention_days, decide_turn.now) AS is_expired,
            -- No question since the attempt that created it, or with which it began again.
            conversations.created_at = conversations.updated_at AS is_new
        FROM conversations
        CROSS JOIN clock
        WHERE
            conversations.id = decide_turn.conversation_id
            AND conversations.user_id IS NOT DISTINCT FROM decide_turn.user_id
    ),

    current_messages AS NOT MATERIALIZED (
        SELECT
            chat_messages.id,
            chat_messages.message_id,
            chat_messages.role,
            chat_messages.content,
            chat_messages.files,
            chat_messages.steps,
            chat_messages.reply_to,
            chat_messages.finish_reason,
            chat_messages.failed_attempts,
            chat_messages.owed_attempt
        FROM chat_messages
        WHERE
            chat_messages.conversation_id = decide_turn.conversation_id
            AND chat_messages.user_id IS NOT DISTINCT FROM decide_turn.user_id
            AND chat_messages.superseded_at IS NULL
            AND is_kept(chat_messages.created_at, decide_turn.retention_days, decide_turn.now)
    ),

    -- The message that the request names, of any role.
    named_message AS (
        SELECT
            current_messages.id,
            current_messages.role
        FROM current_messages
        WHERE current_messages.message_id = decide_turn.message_id
    ),

    -- The stored question of the request: the question of the answer to be replaced, else the named message, else
    -- the message to be replaced, else the last question. None: the message is new.
    question AS (
        SELECT
            current_messages.id,
            current_messages.message_id,
            CASE
                WHEN current_messages.message_id = decide_turn.message_id
                    THEN
                        current_messages.content <> decide_turn.content
                        OR coalesce(current_messages.files, '[]') <> coalesce(decide_turn.files, '[]')
                        -- As text where it is the same: a conversion to jsonb costs more.
                        OR (
                            current_messages.steps::text IS DISTINCT FROM decide_turn.steps::text
                            AND current_messages.steps::jsonb IS DISTINCT FROM decide_turn.steps::jsonb
                        )
                -- Another id: the question is the message to be replaced.
                ELSE NOT decide_turn.regenerates
            END AS is_edited,
            coalesce(current_messages.owed_attempt AND current_messages.failed_attempts <= 3, FALSE) AS has_owed_attempt
        FROM current_messages
        WHERE
            current_messages.role = 'user'
            AND current_messages.id = coalesce(
                (
                    SELECT replaced.reply_to
                    FROM current_messages AS replaced
                    WHERE
                        decide_turn.regenerates
                        AND replaced.message_id = decide_turn.answer_message_id
                ),
                (SELECT named_message.id FROM named_message),
                (
                    SELECT replaced.id
                    FROM current_messages AS replaced
                    WHERE replaced.message_id = decide_turn.replaced_message_id
                ),
                (
                    SELECT last_message.id
                    FROM current_messages AS last_message
                    WHERE decide_turn.message_id IS NULL AND last_message.role = 'user'
                    ORDER BY last_message.id DESC
                    LIMIT 1
                )
            )
    ),

    decision AS (
        SELECT
            question.id AS question_id,
            coalesce(question.is_edited, FALSE) AS is_edited,
            coalesce(question.has_owed_attempt AND NOT question.is_edited, FALSE) AS is_owed,
            -- A failed answer has begun, and so has the request for its title.
            answer.id IS NOT NULL AS has_answer,
            question.id IS NULL OR question.is_edited AS stores_message,
            CASE
                WHEN conversation.turn_id = decide_turn.turn_id THEN 'taken'
                WHEN question.id IS NULL AND decide_turn.message_id IS NULL THEN 'nothing_to_answer'
                WHEN conversation.id IS NULL THEN 'new_conversation'
                WHEN conversation.has_lapsed_turn THEN 'lapsed'
                -- Before 'answered', because the old answer stays while a new one is made.
                WHEN
                    NOT question.is_edited
                    AND conversation.has_running_turn
                    AND conversation.turn_message_id = question.message_id
                    THEN 'being_answered'
                WHEN
                    NOT decide_turn.regenerates AND NOT question.is_edited
                    AND answer.id IS NOT NULL
                    AND coalesce(answer.finish_reason, 'stop') NOT IN ('error', 'interrupted')
                    THEN 'answered'
                WHEN
                    NOT decide_turn.regenerates AND NOT question.is_edited
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
                    AND decide_turn.max_messages <= (
                        SELECT count(*)
                        FROM (
                            SELECT
                            FROM current_messages
                            WHERE current_messages.role <> 'system'
                            LIMIT decide_turn.max_messages
                        ) AS counted
                    )
                    THEN 'full'
                WHEN NOT decide_turn.takes_turn THEN 'unanswered'
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
            counted.subject_number,
            counted.refusal,
            counted.minute_remaining,
            counted.minute_reset_seconds,
            counted.day_remaining,
            counted.day_reset_seconds
        FROM decision
        CROSS JOIN clock
        CROSS JOIN
            LATERAL count_use(
                CASE WHEN NOT decision.is_owed THEN decide_turn.quota_subjects END,
                decide_turn.messages_per_minute,
                decide_turn.messages_per_day,
                decide_turn.bytes_per_day,
                decide_turn.tokens_per_day,
                CASE
                    WHEN decision.stores_message
                        THEN
                            octet_length(decide_turn.content)
                            + decide_turn.file_bytes
                            + coalesce(pg_column_size(decide_turn.files), 0)
                            + coalesce(pg_column_size(decide_turn.steps), 0)
                            + coalesce(pg_column_size(decide_turn.metadata), 0)
                    ELSE 0
                END,
                clock.now
            ) AS counted
        WHERE
            decision.verdict IN ('free', 'new_conversation')
            AND NOT decision.is_owed
            AND cardinality(decide_turn.quota_subjects) > 0
    ),

    answerable AS (
        SELECT
            decision.question_id,
            decision.is_edited,
            decision.is_owed,
            decision.has_answer,
            decision.stores_message,
            decision.verdict
        FROM decision
        LEFT JOIN quota ON TRUE
        WHERE
            decision.verdict IN ('free', 'new_conversation')
            AND coalesce(quota.is_allowed, TRUE)
    ),

    created_conversation AS (
        INSERT INTO conversations (
            id, user_id, key_hash, title, titled_at, turn_id, turn_message_id, turn_expires_at, created_at, updated_at,
            message_count, last_message, model
        )
        SELECT
            decide_turn.conversation_id,
            decide_turn.user_id,
            -- Of act_as_caller; empty without a key, as for every user.
            decode(nullif(current_setting('parley.key_hash', TRUE), ''), 'hex'),
            decide_turn.title,
            clock.now,
            decide_turn.turn_id,
            decide_turn.message_id,
            clock.lease_ends_at,
            clock.now,
            clock.now,
            1,
            left(decide_turn.content, 120),
            decide_turn.model
        FROM answerable
        CROSS JOIN clock
        WHERE answerable.verdict = 'new_conversation'
        RETURNING conversations.id, conversations.title
    ),

    -- An edit replaces the question and all messages after it. (finish_turn replaces an answer, when there is a new
    -- one.)
    -- Another attempt is owed once, so the mark goes. (One UPDATE for both, because a second one would cost every turn.)
    marked_messages AS (
        UPDATE chat_messages
        SET
            superseded_at = CASE WHEN answerable.is_owed THEN chat_messages.superseded_at ELSE clock.now END,
            owed_attempt = NULL
        FROM answerable
        CROSS JOIN clock
        WHERE
            answerable.verdict = 'free'
            AND chat_messages.conversation_id = decide_turn.conversation_id
            AND chat_messages.user_id IS NOT DISTINCT FROM decide_turn.user_id
            AND chat_messages.superseded_at IS NULL
            AND chat_messages.role <> 'system'
            AND (
                (answerable.is_edited AND chat_messages.id >= answerable.question_id)
                OR (answerable.is_owed AND chat_messages.id = answerable.question_id)
                -- A message that has expired but is not deleted yet gives up its id.
                OR (
                    answerable.stores_message
                    AND chat_messages.message_id = decide_turn.message_id
                )
            )
        RETURNING chat_messages.id
    ),

    -- Counted, so that the replaced message gives up its id before the new message takes it.
    marked AS (
        SELECT count(marked_messages.id) AS message_count FROM marked_messages
    ),

    stored_message AS (
        INSERT INTO chat_messages (
            conversation_id, user_id, message_id, role, content, files, steps, metadata, persona, tone, behavior,
            created_at, updated_at
        )
        SELECT
            decide_turn.conversation_id,
            decide_turn.user_id,
            decide_turn.message_id,
            'user',
            decide_turn.content,
            decide_turn.files,
            decide_turn.steps,
            decide_turn.metadata,
            decide_turn.persona,
            decide_turn.tone,
            decide_turn.behavior,
            clock.now,
            clock.now
        FROM answerable
        CROSS JOIN clock
        CROSS JOIN marked
        WHERE
            (answerable.verdict = 'free' AND answerable.stores_message)
            OR EXISTS (SELECT FROM created_conversation)
        RETURNING chat_messages.message_id
    ),

    taken_turn AS (
        UPDATE conversations
        SET
            turn_id = decide_turn.turn_id,
            turn_message_id = coalesce(
                (SELECT stored_message.message_id FROM stored_message),
                (SELECT question.message_id FROM question)
            ),
            turn_expires_at = clock.lease_ends_at,
            title = CASE WHEN new_title.is_taken THEN decide_turn.title ELSE conversations.title END,
            titled_at = CASE WHEN new_title.is_taken THEN clock.now ELSE conversations.titled_at END,
            status = CASE WHEN conversation.is_expired THEN 'active' ELSE conversations.status END,
            created_at = CASE WHEN conversation.is_expired THEN clock.now ELSE conversations.created_at END,
            updated_at = clock.now,
            -- One that begins again has neither its old model nor its old instructions.
            model = coalesce(decide_turn.model, CASE WHEN NOT conversation.is_expired THEN conversations.model END),
            instructions = CASE WHEN NOT conversation.is_expired THEN conversations.instructions END,
            message_count = kept_messages.message_count + answerable.stores_message::integer,
            last_message = CASE
                WHEN answerable.stores_message THEN left(decide_turn.content, 120)
                ELSE (
                    SELECT left(current_messages.content, 120)
                    FROM current_messages
                    WHERE current_messages.id = kept_messages.last_id
                )
            END
        FROM answerable
        CROSS JOIN clock
        CROSS JOIN conversation
        -- Those that an edit leaves.
        CROSS JOIN
            LATERAL (
                SELECT
                    count(*)::integer AS message_count,
                    max(current_messages.id) AS last_id
                FROM current_messages
                WHERE
                    current_messages.role <> 'system'
                    AND NOT (answerable.is_edited AND current_messages.id >= answerable.question_id)
            ) AS kept_messages
        -- A title that has expired gives way to the new message. A message that is stored already cannot be the title
        -- from now on: it expires earlier.
        CROSS JOIN
            LATERAL (
                SELECT
                    conversation.is_expired OR (
                        conversation.title IS NULL
                        AND decide_turn.title <> ''
                        AND EXISTS (SELECT FROM stored_message)
                    ) AS is_taken
            ) AS new_title
        WHERE
            answerable.verdict = 'free'
            AND conversations.id = decide_turn.conversation_id
            AND conversations.user_id IS NOT DISTINCT FROM decide_turn.user_id
        RETURNING CASE WHEN new_title.is_taken THEN conversations.title END AS title
    )

    SELECT
        quota.subject_number AS quota_number,
        quota.refusal AS quota_refusal,
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
            WHEN answerable.verdict IS NOT NULL
                THEN
                    answerable.verdict = 'new_conversation'
                    OR conversation.is_expired
                    OR (answerable.is_owed AND NOT answerable.has_answer)
            -- This attempt's own retry, after a first try that was carried out.
            ELSE coalesce(decision.verdict = 'taken' AND conversation.is_new, FALSE)
        END AS may_ask_title,
        CASE
            WHEN conversation.has_running_turn
                THEN extract(EPOCH FROM conversation.turn_expires_at - clock.now)::double precision
        END AS lease_remaining_seconds,
        coalesce(
            taken_turn.title,
            CASE WHEN NOT conversation.is_expired THEN conversation.title END,
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
COMMENT ON FUNCTION decide_turn(
    uuid, text, text, text, jsonb, bigint, json, jsonb, text, boolean, text, text, uuid, double precision, boolean,
    integer, text[], integer[], integer[], bigint[], bigint[], text, text, text, text, integer, timestamptz
)
IS 'Parley: decides whether a message is answered now; if so, stores it and takes the turn';
