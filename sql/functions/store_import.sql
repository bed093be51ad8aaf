-- store_import
-- Stores conversations and messages that the caller brings along from elsewhere, as far as they are not there already.
--
-- Safe to repeat: a message is there already if the conversation has its id as a current message, or has its id and its
-- time. Nothing that is stored is changed, and nothing is stored before or between messages: an id orders them, so only
-- the end of a conversation can grow.
-- Imports of one user run one after the other (an advisory lock). A conversation that another session has locked is
-- left out rather than waited for, because deletions lock many of them in other orders.
--
-- Parameters
--   user_id              text         the caller, a user
--   given_conversations  json         array of objects: id; source_id (null: none), which is meant if the caller owns a
--                                     conversation of that id; title, titled_at, status, created_at, updated_at
--   given_messages       json         array of objects: position; conversation_id, the `id` of the given conversation;
--                                     reply_position, the position of the question (null: none, or not given);
--                                     answers_stored, true: the question is the last stored one; and columns of
--                                     chat_messages: message_id, role, content, finish_reason, model_name, tool_calls,
--                                     steps, metadata, is_mistake, mistake_note, superseded_at, created_at, updated_at
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
    created_ids uuid[];
    locked_ids uuid[];
    outcomes jsonb;
    changed_ids uuid[];
    stored_bytes bigint;
BEGIN
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
        RETURNING conversations.id
    )

    SELECT coalesce(array_agg(created_conversations.id), '{}') INTO created_ids FROM created_conversations;

    -- In a statement of its own, as in begin_turn: what follows sees what was stored before the lock.
    locked_ids := ARRAY(
        SELECT conversations.id
        FROM conversations
        WHERE
            conversations.id = any(ARRAY(
                SELECT each.id
                FROM
                    json_to_recordset(given_conversations) AS given (id uuid, source_id uuid)
                CROSS JOIN LATERAL unnest(ARRAY[given.id, given.source_id]) AS each (id)
            ))
            AND conversations.user_id = store_import.user_id
        ORDER BY conversations.id
        FOR NO KEY UPDATE SKIP LOCKED
    );

    WITH
    -- Each given conversation, and the caller's row that it is; none: the id is another caller's.
    targets AS MATERIALIZED (
        SELECT
            given.id AS given_id,
            found.id,
            coalesce(found.turn_id IS NULL AND found.id = any(locked_ids), FALSE) AS is_free
        FROM json_to_recordset(given_conversations) AS given (id uuid, source_id uuid)
        LEFT JOIN LATERAL (
            SELECT
                conversations.id,
                conversations.turn_id
            FROM conversations
            WHERE
                conversations.id = any(ARRAY[given.id, given.source_id])
                AND conversations.user_id = store_import.user_id
            ORDER BY conversations.id = given.source_id DESC NULLS LAST
            LIMIT 1
        ) AS found ON TRUE
    ),

    -- The end of each, and the number of its messages.
    ends AS MATERIALIZED (
        SELECT
            targets.given_id,
            newest.id AS newest_id,
            newest.created_at AS newest_at,
            (
                SELECT count(*)
                FROM chat_messages
                WHERE
                    chat_messages.conversation_id = targets.id
                    AND chat_messages.user_id = store_import.user_id
                    AND chat_messages.superseded_at IS NULL
                    AND chat_messages.role <> 'system'
            ) AS current_count
        FROM targets
        LEFT JOIN LATERAL (
            SELECT
                chat_messages.id,
                chat_messages.created_at
            FROM chat_messages
            WHERE
                chat_messages.conversation_id = targets.id
                -- CASE: see list_turn_messages.
                AND CASE WHEN chat_messages.user_id = store_import.user_id THEN chat_messages.role <> 'system' END
            ORDER BY chat_messages.id DESC
            LIMIT 1
        ) AS newest ON TRUE
    ),

    given AS MATERIALIZED (
        SELECT
            given.*,
            targets.id AS target_id,
            targets.is_free,
            coalesce(
                (
                    SELECT chat_messages.id
                    FROM chat_messages
                    WHERE
                        given.superseded_at IS NULL
                        AND chat_messages.conversation_id = targets.id
                        AND chat_messages.user_id = store_import.user_id
                        AND chat_messages.message_id = given.message_id
                        AND chat_messages.superseded_at IS NULL
                ),
                (
                    SELECT max(chat_messages.id)
                    FROM chat_messages
                    WHERE
                        chat_messages.conversation_id = targets.id
                        AND chat_messages.created_at = given.created_at
                        AND CASE
                            WHEN chat_messages.user_id = store_import.user_id
                                THEN chat_messages.message_id = given.message_id
                        END
                )
            ) AS stored_id
        FROM
            json_to_recordset(given_messages) AS given (
                position integer, conversation_id uuid, reply_position integer, answers_stored boolean,
                message_id text, role text, content text, finish_reason text, model_name text, tool_calls json,
                steps json, metadata jsonb, is_mistake boolean, mistake_note text, superseded_at timestamptz,
                created_at timestamptz, updated_at timestamptz
            )
        INNER JOIN targets ON given.conversation_id = targets.given_id
    ),

    compared AS (
        SELECT
            given.position,
            given.conversation_id,
            given.target_id,
            given.is_free,
            given.stored_id,
            given.superseded_at,
            max(given.position) FILTER (WHERE given.stored_id IS NOT NULL) OVER whole AS last_stored_position,
            max(given.stored_id) OVER whole AS last_stored_id,
            first_value(given.created_at) OVER (
                PARTITION BY given.conversation_id ORDER BY given.stored_id IS NOT NULL, given.position
            ) AS first_new_at,
            count(*) FILTER (WHERE given.stored_id IS NULL AND given.superseded_at IS NULL) OVER (
                PARTITION BY given.conversation_id ORDER BY given.position
            ) AS new_count
        FROM given
        WINDOW whole AS (PARTITION BY given.conversation_id)
    ),

    decided AS MATERIALIZED (
        SELECT
            compared.position,
            compared.target_id,
            CASE
                WHEN compared.target_id IS NULL THEN 'id_taken'
                WHEN compared.stored_id IS NOT NULL THEN 'already_there'
                WHEN NOT compared.is_free THEN 'turn_in_progress'
                WHEN
                    compared.position < compared.last_stored_position
                    OR (
                        compared.last_stored_id IS NOT NULL
                        AND ends.newest_id <> compared.last_stored_id
                    )
                    OR (compared.last_stored_id IS NULL AND ends.newest_at > compared.first_new_at)
                    THEN 'later_messages'
                WHEN
                    compared.superseded_at IS NULL
                    AND ends.current_count + compared.new_count > store_import.max_messages
                    THEN 'conversation_full'
                ELSE 'new'
            END AS outcome
        FROM compared
        INNER JOIN ends ON compared.conversation_id = ends.given_id
    ),

    numbered AS MATERIALIZED (
        SELECT
            ordered.position,
            reserved.id
        FROM (
            SELECT
                decided.position,
                row_number() OVER (ORDER BY decided.position) AS place
            FROM decided
            WHERE decided.outcome = 'new'
        ) AS ordered
        INNER JOIN
            unnest(reserve_message_ids((SELECT count(*) FROM decided WHERE decided.outcome = 'new')))
            WITH ORDINALITY AS reserved (id, place)
            ON ordered.place = reserved.place
    ),

    answered AS (
        SELECT
            given.position,
            CASE
                WHEN given.answers_stored
                    THEN (
                        SELECT chat_messages.id
                        FROM chat_messages
                        WHERE
                            chat_messages.conversation_id = given.target_id
                            AND CASE
                                WHEN chat_messages.user_id = store_import.user_id
                                    THEN
                                        chat_messages.role = 'user'
                                        -- A replaced answer may be that of a replaced question.
                                        AND (chat_messages.superseded_at IS NULL OR given.superseded_at IS NOT NULL)
                            END
                        ORDER BY chat_messages.id DESC
                        LIMIT 1
                    )
                ELSE coalesce(question.stored_id, new_question.id)
            END AS question_id
        FROM given
        LEFT JOIN given AS question ON given.reply_position = question.position
        LEFT JOIN numbered AS new_question ON given.reply_position = new_question.position
        WHERE given.role = 'assistant'
    ),

    stored_messages AS (
        INSERT INTO chat_messages (
            id, conversation_id, user_id, message_id, role, content, reply_to, finish_reason, model_name, tool_calls,
            steps, metadata, is_mistake, mistake_note, superseded_at, created_at, updated_at
        )
        OVERRIDING SYSTEM VALUE
        SELECT
            numbered.id, given.target_id, store_import.user_id, given.message_id, given.role, given.content,
            -- A question has one current answer.
            CASE
                WHEN
                    given.superseded_at IS NOT NULL
                    OR NOT EXISTS (
                        SELECT FROM chat_messages
                        WHERE
                            chat_messages.conversation_id = given.target_id
                            AND chat_messages.user_id = store_import.user_id
                            AND chat_messages.reply_to = answered.question_id
                            AND chat_messages.superseded_at IS NULL
                    )
                    THEN answered.question_id
            END,
            given.finish_reason, given.model_name, given.tool_calls, given.steps, given.metadata,
            coalesce(given.is_mistake, FALSE), given.mistake_note, given.superseded_at, given.created_at,
            given.updated_at
        FROM numbered
        INNER JOIN given ON numbered.position = given.position
        LEFT JOIN answered ON numbered.position = answered.position
        ORDER BY numbered.id
        RETURNING
            chat_messages.conversation_id,
            octet_length(chat_messages.content)
            + coalesce(pg_column_size(chat_messages.tool_calls), 0)
            + coalesce(pg_column_size(chat_messages.steps), 0)
            + coalesce(pg_column_size(chat_messages.metadata), 0) AS bytes
    )

    SELECT
        (
            SELECT jsonb_object_agg(counted.outcome, counted.row_count)
            FROM (
                SELECT
                    decided.outcome,
                    count(*) AS row_count
                FROM decided
                GROUP BY decided.outcome
            ) AS counted
        ),
        array_agg(DISTINCT stored_messages.conversation_id),
        sum(stored_messages.bytes)
    INTO outcomes, changed_ids, stored_bytes
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

    IF stored_bytes > 0 AND cardinality(store_import.quota_subjects) > 0 THEN
        PERFORM count_bytes(
            store_import.quota_subjects, store_import.bytes_per_day, stored_bytes, store_import.now
        );
    END IF;

    RETURN QUERY
    SELECT
        'conversation',
        CASE
            WHEN given.id = any(created_ids) THEN 'new'
            WHEN
                EXISTS (
                    SELECT FROM conversations
                    WHERE
                        conversations.id = any(ARRAY[given.id, given.source_id])
                        AND conversations.user_id = store_import.user_id
                )
                THEN 'already_there'
            ELSE 'id_taken'
        END AS conversation_outcome,
        count(*)
    FROM json_to_recordset(given_conversations) AS given (id uuid, source_id uuid)
    GROUP BY conversation_outcome;
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
