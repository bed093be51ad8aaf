-- 004 chat messages: the messages of conversations, in the order of `id`; and the summaries of long conversations.
--
-- Locks: SHARE ROW EXCLUSIVE on users and conversations, for a moment (foreign keys of an empty table).
-- Undo: 004_chat_messages.down.sql.

CREATE TABLE IF NOT EXISTS chat_messages (
    id bigint GENERATED ALWAYS AS IDENTITY,
    conversation_id uuid NOT NULL REFERENCES conversations (id) ON DELETE CASCADE,
    user_id varchar(255) REFERENCES users (id) ON DELETE CASCADE,
    message_id varchar(255) NOT NULL DEFAULT gen_random_uuid()::text,
    role varchar(20) NOT NULL,
    content text NOT NULL,
    reply_to bigint,
    finish_reason varchar(20),
    model_name text,
    prompt_tokens integer,
    completion_tokens integer,
    reasoning_tokens integer,
    reasoning_seconds double precision,
    tool_calls json,
    steps json,
    metadata jsonb,
    persona text,
    tone text,
    behavior text,
    context_type text,
    confidence double precision,
    signal_strength double precision,
    context_clarity boolean,
    needs_knowledge boolean NOT NULL DEFAULT FALSE,
    is_mistake boolean NOT NULL DEFAULT FALSE,
    mistake_note text,
    superseded_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    files jsonb,
    refusal varchar(50),
    provider_state json,
    failed_attempts integer,
    owed_attempt boolean,
    model text,
    requested_model text,
    cached_tokens integer,
    -- Not of id alone. A message is read only within its conversation; and with an index on id the planner would
    -- at times walk down all messages of all users to find the last 20 of one conversation.
    PRIMARY KEY (conversation_id, id)
    -- As for conversations: vacuumed in the night in which the clean-up deletes.
) WITH (autovacuum_vacuum_scale_factor = 0.02);

-- The rules of a message, all in one function whose plan is kept: as CHECKs of their own they are parsed for each INSERT,
-- which costs four times as much. An error has the name of the rule, as that of a CHECK has.
CREATE OR REPLACE FUNCTION check_chat_message(message chat_messages)
RETURNS boolean LANGUAGE plpgsql IMMUTABLE SET search_path FROM CURRENT AS $$
DECLARE
    violated CONSTANT text := CASE
        WHEN message.role NOT IN ('user', 'assistant', 'system') THEN 'chk_message_role'
        -- The most that MAX_MESSAGE_CHARS may allow.
        WHEN message.role = 'user' AND length(message.content) > 100000 THEN 'chk_user_message_length'
        WHEN message.reply_to IS NOT NULL AND message.role <> 'assistant' THEN 'chk_reply_to'
        WHEN
            message.finish_reason NOT IN (
                'stop', 'length', 'content_filter', 'tool_calls', 'other',
                'aborted', 'timeout', 'error', 'interrupted'
            )
            THEN 'chk_finish_reason'
        WHEN message.refusal IS NOT NULL AND message.role <> 'user' THEN 'chk_refusal'
        WHEN
            message.failed_attempts IS NOT NULL AND (message.role <> 'user' OR message.failed_attempts <= 0)
            THEN 'chk_failed_attempts'
        WHEN message.owed_attempt IS NOT NULL AND message.role <> 'user' THEN 'chk_owed_attempt'
        WHEN message.provider_state IS NOT NULL AND message.role <> 'assistant' THEN 'chk_provider_state'
        WHEN message.prompt_tokens < 0 THEN 'chk_prompt_tokens'
        WHEN message.cached_tokens < 0 THEN 'chk_cached_tokens'
        WHEN message.completion_tokens < 0 THEN 'chk_completion_tokens'
        WHEN message.reasoning_tokens < 0 THEN 'chk_reasoning_tokens'
        WHEN message.reasoning_seconds < 0 THEN 'chk_reasoning_seconds'
        WHEN message.confidence NOT BETWEEN 0 AND 1 THEN 'chk_confidence'
        WHEN message.signal_strength NOT BETWEEN 0 AND 1 THEN 'chk_signal_strength'
        WHEN length(message.mistake_note) > 1000 THEN 'chk_mistake_note_length'
    END;
BEGIN
    IF violated IS NOT NULL THEN
        RAISE EXCEPTION USING
            ERRCODE = 'check_violation',
            MESSAGE = format('new row for relation "chat_messages" violates check constraint "%s"', violated),
            TABLE = 'chat_messages',
            CONSTRAINT = violated;
    END IF;
    RETURN TRUE;
END
$$;
COMMENT ON FUNCTION check_chat_message(chat_messages) IS 'Parley: the rules of a message, as a CHECK';
-- squawk-ignore ban-drop-constraint
ALTER TABLE chat_messages DROP CONSTRAINT IF EXISTS chk_chat_message;
ALTER TABLE chat_messages ADD CONSTRAINT chk_chat_message CHECK (check_chat_message(chat_messages));

-- begin_turn: is the message stored already? It also keeps a message from being stored twice.
CREATE UNIQUE INDEX IF NOT EXISTS uq_chat_messages_message_id
ON chat_messages (conversation_id, message_id) WHERE superseded_at IS NULL;
-- decide_turn, list_turn_messages: a question has one current answer, even if the code is wrong.
CREATE UNIQUE INDEX IF NOT EXISTS uq_chat_messages_reply_to
ON chat_messages (conversation_id, reply_to) WHERE superseded_at IS NULL AND reply_to IS NOT NULL;
-- export_messages: the order of the batch, also of many messages with one time; sum_usage; the ON DELETE CASCADE of users.
CREATE INDEX IF NOT EXISTS idx_chat_messages_user_id ON chat_messages (user_id, created_at, id);
-- delete_old_chat_messages, count_old_chat_messages, count_backlog: the oldest.
CREATE INDEX IF NOT EXISTS idx_chat_messages_created_at ON chat_messages (created_at DESC);
-- count_old_conversations, count_old_titles: the newest message of a conversation.
CREATE INDEX IF NOT EXISTS idx_chat_messages_conversation_created
ON chat_messages (conversation_id, created_at DESC);
-- list_turn_messages: the system messages of a conversation. Few conversations have one, so it is small.
CREATE INDEX IF NOT EXISTS idx_chat_messages_system ON chat_messages (conversation_id) WHERE role = 'system';
-- list_mistakes: the order of the page. Few answers are marked, so it is small.
CREATE INDEX IF NOT EXISTS idx_chat_messages_mistakes
ON chat_messages (user_id, created_at DESC, id DESC) WHERE is_mistake;

COMMENT ON TABLE chat_messages IS 'Parley: messages, append-only; a replaced one is marked, never changed';
COMMENT ON COLUMN chat_messages.id IS 'Order of the messages, and the cursor of a page';
COMMENT ON COLUMN chat_messages.conversation_id IS 'The conversation; named session_id by some clients';
COMMENT ON COLUMN chat_messages.user_id IS 'Owner of the conversation (NULL for anonymous)';
COMMENT ON COLUMN chat_messages.message_id IS 'The id that clients see: the client''s own for a user message';
COMMENT ON COLUMN chat_messages.role IS 'Message author: user, assistant, or system';
COMMENT ON COLUMN chat_messages.content IS 'Message text content';
-- No foreign key: it would look up the answers of each message that retention deletes, one by one.
COMMENT ON COLUMN chat_messages.reply_to IS 'chat_messages.id of the question that this answers';
COMMENT ON COLUMN chat_messages.finish_reason IS 'Why the answer ended: the model''s reason (stop, length, content_filter, tool_calls, other), or aborted (stopped by the user), timeout (cut before the deadline), error (the model failed), interrupted (the function was killed)';
COMMENT ON COLUMN chat_messages.model_name IS 'Model that answered, as the provider names it';
COMMENT ON COLUMN chat_messages.model IS 'Model that answered, as users see its name in MODELS; NULL: unknown';
COMMENT ON COLUMN chat_messages.requested_model
IS 'Model that was asked for, if another one stood in for it; NULL: none did';
COMMENT ON COLUMN chat_messages.prompt_tokens
IS 'Tokens read by the model, as the provider counts; of a question: by requests for it whose cost is in no stored answer (titles, analyses, attempts without an answer), estimated where the provider does not count; never shown to a client with the question';
COMMENT ON COLUMN chat_messages.completion_tokens IS 'Tokens written by the model; of a question: see prompt_tokens';
COMMENT ON COLUMN chat_messages.cached_tokens
IS 'Those of prompt_tokens that the provider read from its cache, as it counts; NULL: unknown';
COMMENT ON COLUMN chat_messages.reasoning_tokens
IS 'Those of completion_tokens with which the model thought, as the provider counts; NULL: unknown';
COMMENT ON COLUMN chat_messages.reasoning_seconds
IS 'How long the model''s thoughts came, over all steps, with one decimal; NULL: none came, or the function was killed';
-- json, not jsonb, so that fields keep their order, and a later request tells the calls in the bytes of the first one.
COMMENT ON COLUMN chat_messages.tool_calls IS 'Tool calls of the answer, with arguments and results';
-- json, not jsonb, for its texts: jsonb refuses half a surrogate pair.
COMMENT ON COLUMN chat_messages.steps
IS 'Steps of the answer, each a list of its parts in order: reasoning, source, file and data whole, text as its number of characters in content, call as the next one in tool_calls; NULL: content and tool_calls tell the steps. Of a user message: one list of its parts in order, file as the next one in files; NULL: one text, then the files';
COMMENT ON COLUMN chat_messages.metadata IS 'Free metadata of the client that sent the message';
COMMENT ON COLUMN chat_messages.persona IS 'Persona used for the answer; of a question: the one that it asks for';
COMMENT ON COLUMN chat_messages.tone IS 'Tone of the answer: casual, technical; of a question: the one that it asks for';
COMMENT ON COLUMN chat_messages.behavior IS 'Behavior of the answer: normal, cautious; of a question: the one that it asks for';
COMMENT ON COLUMN chat_messages.context_type IS 'Kind of context that the question was about';
COMMENT ON COLUMN chat_messages.confidence IS 'Version 1''s score, 0 to 1; kept for rows brought over';
COMMENT ON COLUMN chat_messages.signal_strength IS 'How clear the question''s intent was, 0 to 1; replaces confidence';
COMMENT ON COLUMN chat_messages.context_clarity IS 'Was the context clear?';
COMMENT ON COLUMN chat_messages.needs_knowledge IS 'Did the question need knowledge from elsewhere?';
COMMENT ON COLUMN chat_messages.is_mistake IS 'Marked as a mistake by the user';
COMMENT ON COLUMN chat_messages.mistake_note IS 'The user''s note on the mistake';
COMMENT ON COLUMN chat_messages.superseded_at IS 'When an edit or a new answer replaced it; NULL: current';
COMMENT ON COLUMN chat_messages.created_at IS 'When it was stored; retention counts from here';
COMMENT ON COLUMN chat_messages.updated_at IS 'Moves only when a flag is set: content never changes';
COMMENT ON COLUMN chat_messages.files
IS 'Files of a user message, each as the AI SDK has it: mediaType, url (https, or data), filename';
COMMENT ON COLUMN chat_messages.refusal
IS 'Code of the problem for which the provider refused this message alone, so that no later request tells it; NULL: it did not, or it has answered since';
-- json, not jsonb: a provider may sign its fields, so they keep the order and the spelling in which they came.
COMMENT ON COLUMN chat_messages.provider_state
IS 'What goes back to the provider of the answer with it: model, base_url and api, from which it came, and steps, each with the step''s own state and those of its calls, or sealed, the same encrypted (REASONING=hide); never shown to a client; NULL: nothing';

COMMENT ON COLUMN chat_messages.failed_attempts
IS 'How often the provider itself has failed to answer this message; NULL: never';
COMMENT ON COLUMN chat_messages.owed_attempt
IS 'TRUE: the provider failed the last attempt at this message, so the next one is not counted; NULL: it is';

ALTER TABLE chat_messages ENABLE ROW LEVEL SECURITY;

DROP POLICY IF EXISTS own_chat_messages ON chat_messages;
CREATE POLICY own_chat_messages ON chat_messages TO parley_app
USING (
    CASE
        WHEN user_id IS NULL
            THEN conversation_id = nullif(current_setting('parley.conversation_id', TRUE), '')::uuid
        ELSE user_id = nullif(current_setting('parley.user_id', TRUE), '')
    END
);
COMMENT ON POLICY own_chat_messages ON chat_messages
IS 'The caller''s, and those of the conversation without an owner whose id the caller knows';

-- Makes the number and the last of a conversation's messages unknown when some are deleted, until the next turn counts
-- them again. It locks the conversation also where they are unknown already: a turn may be counting. For an operator's
-- own DELETE: delete_old_chat_messages does so before, in an order of locks that no turn waits for.
CREATE OR REPLACE FUNCTION forget_message_counts()
RETURNS trigger LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    IF current_setting('parley.are_counts_forgotten', TRUE) = 'true' THEN
        RETURN NULL;
    END IF;
    UPDATE conversations
    SET
        message_count = NULL,
        last_message = NULL
    -- An array, so that each is looked up by its key in every plan.
    WHERE conversations.id = ANY(ARRAY(SELECT DISTINCT deleted_messages.conversation_id FROM deleted_messages));
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION forget_message_counts()
IS 'Parley: makes the number and the last of a conversation''s messages unknown when some are deleted';

DROP TRIGGER IF EXISTS forget_message_counts ON chat_messages;
CREATE TRIGGER forget_message_counts
AFTER DELETE ON chat_messages
REFERENCING OLD TABLE AS deleted_messages
FOR EACH STATEMENT EXECUTE FUNCTION forget_message_counts();

-- A summary reaches from the first message of its conversation through one message. The next one is made of it and of
-- the messages after it, and stands beside it: so an edit in the middle takes away the summaries that tell the replaced
-- messages, and leaves the one before them.
--
-- No foreign key to chat_messages: see chat_messages.reply_to. None of user_id: the row goes with its conversation.
CREATE TABLE IF NOT EXISTS conversation_summaries (
    conversation_id uuid NOT NULL REFERENCES conversations (id) ON DELETE CASCADE,
    through_id bigint NOT NULL,
    user_id varchar(255),
    content text,
    oldest_at timestamptz,
    model text,
    claim_id uuid,
    claim_expires_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (conversation_id, through_id),
    CONSTRAINT chk_summary_is_whole CHECK ((content IS NULL) = (oldest_at IS NULL))
);
-- claim_summary: one attempt at a time makes a summary of a conversation, even if the code is wrong.
CREATE UNIQUE INDEX IF NOT EXISTS uq_conversation_summaries_claim
ON conversation_summaries (conversation_id) WHERE content IS NULL;

COMMENT ON TABLE conversation_summaries
IS 'Parley: what the messages before the window of a long conversation say; the model gets it in their place';
COMMENT ON COLUMN conversation_summaries.conversation_id IS 'The conversation';
COMMENT ON COLUMN conversation_summaries.through_id
IS 'chat_messages.id up to which the summary reaches, from the first message on';
COMMENT ON COLUMN conversation_summaries.user_id IS 'Owner of the conversation; NULL: anonymous';
COMMENT ON COLUMN conversation_summaries.content IS 'The summary; NULL: it is being made';
COMMENT ON COLUMN conversation_summaries.oldest_at
IS 'created_at of the oldest message that it was made of, also through earlier summaries; retention counts from here';
COMMENT ON COLUMN conversation_summaries.model IS 'Model that wrote it, as the configuration names it';
COMMENT ON COLUMN conversation_summaries.claim_id
IS 'Token of the attempt that makes it; NULL: it is made';
COMMENT ON COLUMN conversation_summaries.claim_expires_at IS 'When another attempt may make it instead';
COMMENT ON COLUMN conversation_summaries.created_at IS 'When it was stored, or claimed';

ALTER TABLE conversation_summaries ENABLE ROW LEVEL SECURITY;

DROP POLICY IF EXISTS own_conversation_summaries ON conversation_summaries;
CREATE POLICY own_conversation_summaries ON conversation_summaries TO parley_app
USING (
    CASE
        WHEN user_id IS NULL
            THEN conversation_id = nullif(current_setting('parley.conversation_id', TRUE), '')::uuid
        ELSE user_id = nullif(current_setting('parley.user_id', TRUE), '')
    END
);
COMMENT ON POLICY own_conversation_summaries ON conversation_summaries
IS 'The caller''s, and those of the conversation without an owner whose id the caller knows';

-- A summary dies with any message that it tells: with the oldest one when its period is over, and with those that an
-- operator deletes by hand. One that is being made goes too, so that it is not stored afterwards.
CREATE OR REPLACE FUNCTION forget_summaries_of_deleted()
RETURNS trigger LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    DELETE FROM conversation_summaries
    USING (
        SELECT
            deleted_messages.conversation_id,
            min(deleted_messages.id) AS first_id
        FROM deleted_messages
        WHERE deleted_messages.superseded_at IS NULL
        GROUP BY deleted_messages.conversation_id
        -- Each conversation is looked up by its key in every plan.
        OFFSET 0
    ) AS deleted
    WHERE
        conversation_summaries.conversation_id = deleted.conversation_id
        AND conversation_summaries.through_id >= deleted.first_id;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION forget_summaries_of_deleted()
IS 'Parley: deletes the summaries of messages that are deleted';

DROP TRIGGER IF EXISTS forget_summaries_of_deleted ON chat_messages;
CREATE TRIGGER forget_summaries_of_deleted
AFTER DELETE ON chat_messages
REFERENCING OLD TABLE AS deleted_messages
FOR EACH STATEMENT EXECUTE FUNCTION forget_summaries_of_deleted();

-- And it dies with a message that an edit or a new answer replaces, or that its user marks as a mistake: it tells what
-- does not hold. For each row: a trigger of some columns alone gets no table of the rows, and one of all columns would
-- run in each turn that marks a question.
CREATE OR REPLACE FUNCTION forget_summaries_of_replaced()
RETURNS trigger LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    DELETE FROM conversation_summaries
    WHERE
        conversation_summaries.conversation_id = NEW.conversation_id
        AND conversation_summaries.through_id >= NEW.id;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION forget_summaries_of_replaced()
IS 'Parley: deletes the summaries of a message that is replaced, or marked as a mistake';

DROP TRIGGER IF EXISTS forget_summaries_of_replaced ON chat_messages;
CREATE TRIGGER forget_summaries_of_replaced
AFTER UPDATE OF superseded_at, is_mistake, mistake_note ON chat_messages
FOR EACH ROW WHEN (
    (old.superseded_at IS NULL AND new.superseded_at IS NOT NULL)
    OR old.is_mistake IS DISTINCT FROM new.is_mistake
    OR old.mistake_note IS DISTINCT FROM new.mistake_note
)
EXECUTE FUNCTION forget_summaries_of_replaced();
