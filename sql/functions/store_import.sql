-- store_import
-- Stores conversations and messages that the caller brings along from elsewhere, as far as they are not there already.
--
-- Safe to repeat: a message is there already if the conversation has its id as a current message, or has its id and its
-- time. Nothing that is stored is changed, and nothing is stored before or between messages: an id orders them, so only
-- the end of a conversation can grow.
-- Imports of one user run one after the other (an advisory lock). A conversation that another session has locked is
-- left out rather than waited for, because deletions lock many of them in other orders.
-- Arrays by position, of types of one length, which are read in constant time: the planner does not know how many rows
-- JSON holds, and compared each with each in joins of them. 4,000 messages took more than 30 s so, and take 1.3 s.
--
-- Parameters
--   user_id              text         the caller, a user
--   given_conversations  json         array of objects: position, from 1 on; id; source_id (null: none), which is meant
--                                     if the caller owns a conversation of that id; title, titled_at, status,
--                                     created_at, updated_at
--   given_messages       json         array of objects: position, from 1 on; place, the position of the conversation;
--                                     reply_position, the position of the question (null: none, or not given);
--                                     answers_stored, true: the question is the last stored one; and columns of
--                                     chat_messages: message_id, role, content, finish_reason, model_name, model,
--                                     requested_model, tool_calls, steps, metadata, is_mistake, mistake_note, superseded_at, created_at, updated_at
--   max_messages         integer      messages that a conversation may hold
--   quota_subjects       text[]       the subjects whose day counts the bytes, as count_bytes takes them; {}: none
--   bytes_per_day        bigint[]     bytes that each may store in a day; 0: any number
--   now                  timestamptz  null: the database's clock
--
-- Returns a row for each kind ('conversation' or 'message') and outcome: row_count. The outcomes: new; already_there;
-- id_taken, another caller has the id; turn_in_progress, the conversation is in use at this moment; later_messages, the
-- conversation has messages that come after; conversation_full.
-- Raises PA011 when the bytes of a day do not suffice, and stores nothing.
-- Index conversations_pkey, chat_messages_pkey, uq_chat_messages_message_id, uq_chat_messages_reply_to,
-- idx_chat_messages_conversation_created.
CREATE OR REPLACE FUNCTION store_import(
    user_id text,
    given_conversations json,
    given_messages json,
    max_messages integer,
    quota_subjects text[],
    bytes_per_day bigint[],
    now timestamptz
)
RETURNS TABLE (kind text, outcome text, row_count bigint)
-- enable_seqscan: a plan that is made while a table is empty, and kept, would read it whole when it has grown.
LANGUAGE plpgsql VOLATILE
SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET search_path FROM CURRENT AS $$
#variable_conflict use_column
DECLARE
    nobody CONSTANT uuid := '00000000-0000-0000-0000-000000000000';
    created_count bigint;
    created_bytes bigint;
    setting text;
    -- Of each given conversation: the caller's row that it is (nobody: the id is another caller's), whether it is free,
    -- the end of its messages and their number.
    target_ids uuid[];
    are_free boolean[];
    newest_ids bigint[];
    newest_times timestamptz[];
    current_counts bigint[];
    all_counts bigint[];
    -- The last question of each, a current one and any.
    current_questions bigint[];
    all_questions bigint[];
    -- Of each given message: the row that it is or becomes (0: none), whether it is new.
    row_ids bigint[];
    are_new boolean[];
    outcomes jsonb;
    numbers bigint[];
    changed_ids uuid[];
    stored_bytes bigint;
BEGIN
    -- Each that waits has a connection, which other users need.
    setting := set_config('lock_timeout', '3s', TRUE);
    PERFORM pg_advisory_xact_lock(hashtextextended('parley import ' || store_import.user_id, 0));

    WITH created_conversations AS (
        INSERT INTO conversations (id, user_id, title, titled_at, status, created_at, updated_at, message_count)
        SELECT
            given.id, store_import.user_id, given.title, given.titled_at, given.status, given.created_at,
            given.updated_at, 0
        FROM
            json_to_recordset(given_conversations) AS given (
                id uuid, source_id uuid, title text, titled_at timestamptz, status text, created_at timestamptz,
                updated_at timestamptz
            )
        WHERE
            NOT EXISTS (
                SELECT FROM conversations
                WHERE
                    conversations.id = any(ARRAY[given.id, given.source_id])
                    AND conversations.user_id = store_import.user_id
            )
        ORDER BY given.id
        ON CONFLICT DO NOTHING
        RETURNING 200 + coalesce(octet_length(conversations.title), 0) AS bytes
    )

    SELECT
        count(*),
        sum(created_conversations.bytes)
    INTO created_count, created_bytes
    FROM created_conversations;

    -- In a statement of its own, as in begin_turn: those after it see what was stored before the lock.
    SELECT
        array_agg(coalesce(found.id, nobody) ORDER BY given.position),
        array_agg(locked.id IS NOT NULL AND locked.turn_id IS NULL ORDER BY given.position)
    INTO target_ids, are_free
    FROM json_to_recordset(given_conversations) AS given (position integer, id uuid, source_id uuid)
    LEFT JOIN LATERAL (
        SELECT conversations.id
        FROM conversations
        WHERE
            conversations.id = any(ARRAY[given.id, given.source_id])
            AND conversations.user_id = store_import.user_id
        ORDER BY conversations.id = given.source_id DESC NULLS LAST
        LIMIT 1
    ) AS found ON TRUE
    LEFT JOIN LATERAL (
        SELECT
            conversations.id,
            conversations.turn_id
        FROM conversations
        WHERE
            conversations.id = found.id
            AND conversations.user_id = store_import.user_id
        FOR NO KEY UPDATE SKIP LOCKED
    ) AS locked ON TRUE;

    SELECT
        array_agg(coalesce(newest.id, 0) ORDER BY target.position),
        array_agg(coalesce(newest.created_at, '-infinity') ORDER BY target.position),
        array_agg(
            CASE
                WHEN newest.id IS NULL THEN 0
                ELSE (
                    SELECT count(*)
                    FROM chat_messages
                    WHERE
                        chat_messages.conversation_id = target.id
                        AND chat_messages.user_id = store_import.user_id
                        AND chat_messages.superseded_at IS NULL
                        AND chat_messages.role <> 'system'
                )
            END
            ORDER BY target.position
        )
    INTO newest_ids, newest_times, current_counts
    FROM unnest(target_ids) WITH ORDINALITY AS target (id, position)
    LEFT JOIN LATERAL (
        SELECT
            chat_messages.id,
            chat_messages.created_at
        FROM chat_messages
        WHERE
            chat_messages.conversation_id = target.id
            -- CASE: see list_turn_messages.
            AND CASE WHEN chat_messages.user_id = store_import.user_id THEN chat_messages.role <> 'system' END
        ORDER BY chat_messages.id DESC
        LIMIT 1
    ) AS newest ON TRUE;

    -- Two given conversations may be one that is stored: the second is stored when it is sent again.
    are_free := ARRAY(
        SELECT are_free[target.position] AND target.position = min(target.position) OVER (PARTITION BY target.id)
        FROM unnest(target_ids) WITH ORDINALITY AS target (id, position)
        ORDER BY target.position
    );

    SELECT
        array_agg(coalesce(counted.message_count, 0) ORDER BY target.position),
        array_agg(counted.current_question ORDER BY target.position),
        array_agg(counted.last_question ORDER BY target.position)
    INTO all_counts, current_questions, all_questions
    FROM unnest(target_ids, newest_ids) WITH ORDINALITY AS target (id, newest_id, position)
    LEFT JOIN LATERAL (
        SELECT
            count(*) AS message_count,
            max(chat_messages.id) FILTER (
                WHERE chat_messages.role = 'user' AND chat_messages.superseded_at IS NULL
            ) AS current_question,
            max(chat_messages.id) FILTER (WHERE chat_messages.role = 'user') AS last_question
        FROM chat_messages
        WHERE
            target.newest_id > 0
            AND chat_messages.conversation_id = target.id
            AND chat_messages.user_id = store_import.user_id
    ) AS counted ON TRUE;

    WITH
    given AS (
        SELECT
            given.position,
            given.place,
            given.superseded_at,
            given.created_at,
            coalesce(
                (
                    SELECT chat_messages.id
                    FROM chat_messages
                    WHERE
                        given.superseded_at IS NULL
                        AND chat_messages.conversation_id = target_ids[given.place]
                        AND chat_messages.user_id = store_import.user_id
                        AND chat_messages.message_id = given.message_id
                        AND chat_messages.superseded_at IS NULL
                ),
                (
                    SELECT max(chat_messages.id)
                    FROM chat_messages
                    WHERE
                        chat_messages.conversation_id = target_ids[given.place]
                        AND chat_messages.created_at = given.created_at
                        AND CASE
                            WHEN chat_messages.user_id = store_import.user_id
                                THEN chat_messages.message_id = given.message_id
                        END
                )
            ) AS stored_id
        FROM
            json_to_recordset(given_messages) AS given (
                position integer, place integer, message_id text, superseded_at timestamptz, created_at timestamptz
            )
    ),

    compared AS (
        SELECT
            given.position,
            given.place,
            given.superseded_at,
            given.stored_id,
            max(given.position) FILTER (WHERE given.stored_id IS NOT NULL) OVER whole AS last_stored_position,
            max(given.stored_id) OVER whole AS last_stored_id,
            first_value(given.created_at) OVER (
                PARTITION BY given.place ORDER BY given.stored_id IS NOT NULL, given.position
            ) AS first_new_at,
            count(*) FILTER (WHERE given.stored_id IS NULL AND given.superseded_at IS NULL) OVER so_far AS new_count,
            count(*) FILTER (WHERE given.stored_id IS NULL) OVER so_far AS all_new_count
        FROM given
        WINDOW whole AS (PARTITION BY given.place), so_far AS (PARTITION BY given.place ORDER BY given.position)
    ),

    decided AS MATERIALIZED (
        SELECT
            compared.position,
            compared.stored_id,
            CASE
                WHEN target_ids[compared.place] = nobody THEN 'id_taken'
                WHEN compared.stored_id IS NOT NULL THEN 'already_there'
                WHEN NOT are_free[compared.place] THEN 'turn_in_progress'
                WHEN
                    compared.position < compared.last_stored_position
                    OR newest_ids[compared.place] <> compared.last_stored_id
                    OR (
                        compared.last_stored_id IS NULL
                        AND newest_times[compared.place] > compared.first_new_at
                    )
                    THEN 'later_messages'
                WHEN
                    compared.superseded_at IS NULL
                    AND current_counts[compared.place] + compared.new_count > store_import.max_messages
                    -- Replaced messages, too, have an end.
                    OR all_counts[compared.place] + compared.all_new_count > 4 * store_import.max_messages::bigint
                    THEN 'conversation_full'
                ELSE 'new'
            END AS outcome
        FROM compared
    )

    SELECT
        array_agg(coalesce(decided.stored_id, 0) ORDER BY decided.position),
        array_agg(decided.outcome = 'new' ORDER BY decided.position),
        (
            SELECT jsonb_object_agg(counted.outcome, counted.row_count)
            FROM (
                SELECT
                    each.outcome,
                    count(*) AS row_count
                FROM decided AS each
                GROUP BY each.outcome
            ) AS counted
        )
    INTO row_ids, are_new, outcomes
    FROM decided;

    numbers := reserve_message_ids(coalesce((outcomes ->> 'new')::bigint, 0));
    row_ids := ARRAY(
        SELECT CASE WHEN each.is_new THEN numbers[each.new_count] ELSE each.row_id END
        FROM (
            SELECT
                given.row_id,
                given.is_new,
                given.position,
                count(*) FILTER (WHERE given.is_new) OVER (ORDER BY given.position) AS new_count
            FROM unnest(row_ids, are_new) WITH ORDINALITY AS given (row_id, is_new, position)
        ) AS each
        ORDER BY each.position
    );

    WITH
    answered AS (
        SELECT
            given.*,
            CASE
                WHEN given.answers_stored
                    -- A replaced answer may be that of a replaced question.
                    THEN CASE
                        WHEN given.superseded_at IS NULL THEN current_questions[given.place]
                        ELSE all_questions[given.place]
                    END
                ELSE nullif(row_ids[given.reply_position], 0)
            END AS question_id
        FROM
            json_to_recordset(given_messages) AS given (
                position integer, place integer, reply_position integer, answers_stored boolean, message_id text,
                role text, content text, finish_reason text, model_name text, model text, requested_model text,
                tool_calls json, steps json,
                metadata jsonb, is_mistake boolean, mistake_note text, superseded_at timestamptz,
                created_at timestamptz, updated_at timestamptz
            )
        WHERE are_new[given.position]
    ),

    numbered AS (
        SELECT
            answered.*,
            row_number() OVER (
                PARTITION BY answered.place, answered.question_id, answered.superseded_at IS NULL
                ORDER BY answered.position
            ) AS number
        FROM answered
    ),

    stored_messages AS (
        INSERT INTO chat_messages (
            id, conversation_id, user_id, message_id, role, content, reply_to, finish_reason, model_name, model,
            requested_model, tool_calls, steps, metadata, is_mistake, mistake_note, superseded_at, created_at, updated_at
        )
        OVERRIDING SYSTEM VALUE
        SELECT
            row_ids[answered.position], target_ids[answered.place], store_import.user_id, answered.message_id,
            answered.role, answered.content,
            -- A question has one current answer.
            CASE
                WHEN
                    answered.superseded_at IS NOT NULL
                    OR answered.number = 1 AND NOT EXISTS (
                        SELECT FROM chat_messages
                        WHERE
                            chat_messages.conversation_id = target_ids[answered.place]
                            AND chat_messages.user_id = store_import.user_id
                            AND chat_messages.reply_to = answered.question_id
                            AND chat_messages.superseded_at IS NULL
                    )
                    THEN answered.question_id
            END,
            answered.finish_reason, answered.model_name, answered.model, answered.requested_model, answered.tool_calls,
            answered.steps, answered.metadata, coalesce(answered.is_mistake, FALSE), answered.mistake_note,
            answered.superseded_at, answered.created_at, answered.updated_at
        FROM numbered AS answered
        ORDER BY answered.position
        RETURNING
            chat_messages.conversation_id,
            octet_length(chat_messages.content)
            + coalesce(pg_column_size(chat_messages.tool_calls), 0)
            + coalesce(pg_column_size(chat_messages.steps), 0)
            + coalesce(pg_column_size(chat_messages.metadata), 0) AS bytes
    )

    SELECT
        array_agg(DISTINCT stored_messages.conversation_id),
        sum(stored_messages.bytes)
    INTO changed_ids, stored_bytes
    FROM stored_messages;

    UPDATE conversations
    SET
        updated_at = greatest(conversations.updated_at, counted.asked_at),
        message_count = counted.message_count,
        last_message = counted.last_message
    FROM
        unnest(changed_ids) AS changed (id)
    CROSS JOIN
        LATERAL (
            SELECT
                count(*) AS message_count,
                max(chat_messages.created_at) FILTER (WHERE chat_messages.role = 'user') AS asked_at,
                left((array_agg(chat_messages.content ORDER BY chat_messages.id DESC))[1], 120) AS last_message
            FROM chat_messages
            WHERE
                chat_messages.conversation_id = changed.id
                AND chat_messages.user_id = store_import.user_id
                AND chat_messages.superseded_at IS NULL
                AND chat_messages.role <> 'system'
        ) AS counted
    WHERE
        conversations.id = changed.id
        AND conversations.user_id = store_import.user_id;

    stored_bytes := coalesce(stored_bytes, 0) + coalesce(created_bytes, 0);
    IF stored_bytes > 0 AND cardinality(store_import.quota_subjects) > 0 THEN
        PERFORM count_bytes(
            store_import.quota_subjects, store_import.bytes_per_day, stored_bytes, store_import.now
        );
    END IF;

    RETURN QUERY
    SELECT
        'conversation',
        counted.outcome,
        counted.row_count
    FROM (
        SELECT
            count(*) FILTER (WHERE target.id = nobody) AS taken_count,
            count(*) AS given_count
        FROM unnest(target_ids) AS target (id)
    ) AS all_counts
    CROSS JOIN
        LATERAL (
            VALUES
            ('new', created_count),
            ('already_there', all_counts.given_count - all_counts.taken_count - created_count),
            ('id_taken', all_counts.taken_count)
        ) AS counted (outcome, row_count)
    WHERE counted.row_count > 0;
    RETURN QUERY
    SELECT
        'message',
        counted.key,
        counted.value::bigint
    FROM jsonb_each_text(outcomes) AS counted;
END
$$;
COMMENT ON FUNCTION store_import(text, json, json, integer, text[], bigint[], timestamptz)
IS 'Parley: stores conversations and messages that a user brings along from elsewhere';
