CREATE FUNCTION public.delete_old_chat_messages(retention interval DEFAULT '30 days'::interval, batch integer DEFAULT NULL::integer) RETURNS bigint
    LANGUAGE plpgsql
    AS $$
DECLARE
    expired_before CONSTANT timestamptz := now() - retention;
    deleted_count bigint;
BEGIN
    -- By ctid: the rows that the batch has found are deleted where they lie, not looked up again.
    -- Oldest first, from the index; rows that another cron is deleting are left to it.
    DELETE FROM chat_messages
    WHERE chat_messages.ctid = ANY (ARRAY(
        SELECT expired.ctid
        FROM chat_messages AS expired
        WHERE expired.created_at < expired_before
        ORDER BY expired.created_at
        LIMIT batch
        FOR UPDATE SKIP LOCKED
    ));
    GET DIAGNOSTICS deleted_count = ROW_COUNT;

    -- A conversation that someone is just using is locked by them, and stays.
    DELETE FROM conversations
    WHERE conversations.id = ANY (ARRAY(
        SELECT unused.id
        FROM conversations AS unused
        WHERE
            unused.updated_at < expired_before
            AND NOT EXISTS (
                SELECT FROM chat_messages WHERE chat_messages.conversation_id = unused.id
            )
        LIMIT batch
        FOR UPDATE SKIP LOCKED
    ));

    RETURN deleted_count;
END
$$;

COMMENT ON FUNCTION public.delete_old_chat_messages(retention interval, batch integer) IS 'Parley: deletes chat messages older than the retention period (30 days), and the conversations left empty; all, or one batch; returns the number of messages';

CREATE FUNCTION public.remember_user(user_id text, user_email text, user_name text) RETURNS void
    LANGUAGE sql
    AS $$
            -- An address that another account has is not taken over, and is no reason to refuse.
            WITH profile AS (
                SELECT
                    user_name AS name,
                    CASE
                        WHEN NOT EXISTS (
                            SELECT FROM users AS other
                            WHERE other.email = user_email AND other.id <> user_id
                        ) THEN user_email
                    END AS email
            ),
            refreshed_user AS (
                UPDATE users
                SET
                    email = coalesce(profile.email, users.email),
                    name = coalesce(profile.name, users.name),
                    updated_at = now()
                FROM profile
                WHERE
                    users.id = user_id
                    AND (users.email, users.name) IS DISTINCT FROM
                    (coalesce(profile.email, users.email), coalesce(profile.name, users.name))
            )
            INSERT INTO users (id, email, name)
            SELECT user_id, profile.email, profile.name
            FROM profile
            WHERE NOT EXISTS (SELECT FROM users WHERE users.id = user_id)
            ON CONFLICT DO NOTHING;

            -- Somebody else took the address at this very moment.
            INSERT INTO users (id, name)
            SELECT user_id, user_name
            WHERE NOT EXISTS (SELECT FROM users WHERE users.id = user_id)
            ON CONFLICT DO NOTHING;
        $$;

COMMENT ON FUNCTION public.remember_user(user_id text, user_email text, user_name text) IS 'Parley: store a token''s user, or refresh email and name';

CREATE TABLE public.chat_messages (
    id bigint NOT NULL,
    conversation_id uuid NOT NULL,
    user_id character varying(255),
    message_id character varying(255) DEFAULT (gen_random_uuid())::text NOT NULL,
    role character varying(20) NOT NULL,
    content text NOT NULL,
    reply_to bigint,
    finish_reason character varying(20),
    model_name text,
    prompt_tokens integer,
    completion_tokens integer,
    tool_calls jsonb,
    metadata jsonb,
    persona text,
    tone text,
    behavior text,
    context_type text,
    confidence double precision,
    signal_strength double precision,
    context_clarity boolean,
    needs_knowledge boolean DEFAULT false NOT NULL,
    is_mistake boolean DEFAULT false NOT NULL,
    mistake_note text,
    superseded_at timestamp with time zone,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT chk_completion_tokens CHECK ((completion_tokens >= 0)),
    CONSTRAINT chk_confidence CHECK (((confidence >= (0)::double precision) AND (confidence <= (1)::double precision))),
    CONSTRAINT chk_finish_reason CHECK (((finish_reason)::text = ANY ((ARRAY['stop'::character varying, 'length'::character varying, 'content_filter'::character varying, 'tool_calls'::character varying, 'other'::character varying, 'aborted'::character varying, 'timeout'::character varying, 'error'::character varying, 'interrupted'::character varying])::text[]))),
    CONSTRAINT chk_message_role CHECK (((role)::text = ANY ((ARRAY['user'::character varying, 'assistant'::character varying, 'system'::character varying])::text[]))),
    CONSTRAINT chk_mistake_note_length CHECK ((length(mistake_note) <= 1000)),
    CONSTRAINT chk_prompt_tokens CHECK ((prompt_tokens >= 0)),
    CONSTRAINT chk_reply_to CHECK (((reply_to IS NULL) OR ((role)::text = 'assistant'::text))),
    CONSTRAINT chk_signal_strength CHECK (((signal_strength >= (0)::double precision) AND (signal_strength <= (1)::double precision))),
    CONSTRAINT chk_user_message_length CHECK ((((role)::text <> 'user'::text) OR (length(content) <= 10000)))
);

COMMENT ON TABLE public.chat_messages IS 'Parley: messages, append-only; a replaced one is marked, never changed';

COMMENT ON COLUMN public.chat_messages.id IS 'Order of the messages, and the cursor of a page';

COMMENT ON COLUMN public.chat_messages.conversation_id IS 'The conversation; named session_id by some clients';

COMMENT ON COLUMN public.chat_messages.user_id IS 'Owner of the conversation (NULL for anonymous)';

COMMENT ON COLUMN public.chat_messages.message_id IS 'The id that clients see: the client''s own for a user message';

COMMENT ON COLUMN public.chat_messages.role IS 'Message author: user, assistant, or system';

COMMENT ON COLUMN public.chat_messages.content IS 'Message text content';

COMMENT ON COLUMN public.chat_messages.reply_to IS 'chat_messages.id of the question that this answers';

COMMENT ON COLUMN public.chat_messages.finish_reason IS 'Why the answer ended: the model''s reason (stop, length, content_filter, tool_calls, other), or aborted (stopped by the user), timeout (cut before the deadline), error (the model failed), interrupted (the function was killed)';

COMMENT ON COLUMN public.chat_messages.model_name IS 'Model that answered, as the provider names it';

COMMENT ON COLUMN public.chat_messages.prompt_tokens IS 'Tokens read by the model, as the provider counts';

COMMENT ON COLUMN public.chat_messages.completion_tokens IS 'Tokens written by the model, as the provider counts';

COMMENT ON COLUMN public.chat_messages.tool_calls IS 'Tool calls of the answer, with arguments and results';

COMMENT ON COLUMN public.chat_messages.metadata IS 'Free metadata of the client that sent the message';

COMMENT ON COLUMN public.chat_messages.persona IS 'Persona used for the answer';

COMMENT ON COLUMN public.chat_messages.tone IS 'Tone of the answer: casual, technical';

COMMENT ON COLUMN public.chat_messages.behavior IS 'Behavior of the answer: normal, cautious';

COMMENT ON COLUMN public.chat_messages.context_type IS 'Kind of context that the question was about';

COMMENT ON COLUMN public.chat_messages.confidence IS 'Version 1''s score, 0 to 1; kept for rows brought over';

COMMENT ON COLUMN public.chat_messages.signal_strength IS 'How clear the question''s intent was, 0 to 1; replaces confidence';

COMMENT ON COLUMN public.chat_messages.context_clarity IS 'Was the context clear?';

COMMENT ON COLUMN public.chat_messages.needs_knowledge IS 'Did the question need knowledge from elsewhere?';

COMMENT ON COLUMN public.chat_messages.is_mistake IS 'Marked as a mistake by the user';

COMMENT ON COLUMN public.chat_messages.mistake_note IS 'What was wrong';

COMMENT ON COLUMN public.chat_messages.superseded_at IS 'When an edit or a new answer replaced it; NULL: current';

COMMENT ON COLUMN public.chat_messages.created_at IS 'When it was stored; retention counts from here';

COMMENT ON COLUMN public.chat_messages.updated_at IS 'Moves only when a flag is set: content never changes';

ALTER TABLE public.chat_messages ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.chat_messages_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public.conversations (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    user_id character varying(255),
    title character varying(255),
    status character varying(20) DEFAULT 'active'::character varying NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    turn_id uuid,
    turn_message_id character varying(255),
    turn_expires_at timestamp with time zone,
    CONSTRAINT chk_conversation_status CHECK (((status)::text = ANY ((ARRAY['active'::character varying, 'archived'::character varying])::text[])))
);

COMMENT ON TABLE public.conversations IS 'Parley: a thread of messages';

COMMENT ON COLUMN public.conversations.id IS 'Random, or UUIDv5 of owner and the id that the client made';

COMMENT ON COLUMN public.conversations.user_id IS 'Owner; NULL: anonymous, reached by knowing the id';

COMMENT ON COLUMN public.conversations.title IS 'The beginning of the first message until there is a better one';

COMMENT ON COLUMN public.conversations.status IS 'active, or archived: refuses new messages';

COMMENT ON COLUMN public.conversations.created_at IS 'When the first message came';

COMMENT ON COLUMN public.conversations.updated_at IS 'When it was last used; orders the list';

COMMENT ON COLUMN public.conversations.turn_id IS 'Token of the attempt that is answering: who does not hold it writes nothing; NULL: the turn is free';

COMMENT ON COLUMN public.conversations.turn_message_id IS 'message_id of the question being answered';

COMMENT ON COLUMN public.conversations.turn_expires_at IS 'When the lease ends by itself: the deadline of the function that holds it, by this database''s clock';

CREATE TABLE public.schema_migrations (
    name text NOT NULL,
    applied_at timestamp with time zone DEFAULT now() NOT NULL
);

COMMENT ON TABLE public.schema_migrations IS 'Parley: the migrations of sql/migrations that are applied';

COMMENT ON COLUMN public.schema_migrations.name IS 'Its file''s name, without .sql';

COMMENT ON COLUMN public.schema_migrations.applied_at IS 'When it was applied';

CREATE TABLE public.tasks (
    id bigint NOT NULL,
    user_id character varying(255) NOT NULL,
    title character varying(200) NOT NULL,
    description character varying(1000) DEFAULT ''::character varying,
    completed boolean DEFAULT false NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT chk_task_title CHECK ((length((title)::text) >= 1))
);

COMMENT ON TABLE public.tasks IS 'Parley: the users'' tasks';

COMMENT ON COLUMN public.tasks.id IS 'Identifier, in the order of creation';

COMMENT ON COLUMN public.tasks.user_id IS 'Owner';

COMMENT ON COLUMN public.tasks.title IS 'What is to be done, 1 to 200 characters';

COMMENT ON COLUMN public.tasks.description IS 'Details, up to 1,000 characters';

COMMENT ON COLUMN public.tasks.completed IS 'Is it done?';

COMMENT ON COLUMN public.tasks.created_at IS 'When it was added';

COMMENT ON COLUMN public.tasks.updated_at IS 'When it was last changed';

ALTER TABLE public.tasks ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.tasks_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public.users (
    id character varying(255) DEFAULT (gen_random_uuid())::text NOT NULL,
    email character varying(255),
    name character varying(255),
    hashed_password character varying(255),
    is_active boolean DEFAULT true NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL
);

COMMENT ON TABLE public.users IS 'Parley: the users that were seen, and local accounts';

COMMENT ON COLUMN public.users.id IS 'The subject (sub) of the user''s token, or made here for a local account';

COMMENT ON COLUMN public.users.email IS 'Address in small letters; from the token, or given at registration';

COMMENT ON COLUMN public.users.name IS 'Display name';

COMMENT ON COLUMN public.users.hashed_password IS 'bcrypt; NULL unless it is a local account';

COMMENT ON COLUMN public.users.is_active IS 'false: every request is refused with 403';

COMMENT ON COLUMN public.users.created_at IS 'First seen';

COMMENT ON COLUMN public.users.updated_at IS 'Last change of email or name';

ALTER TABLE ONLY public.chat_messages
    ADD CONSTRAINT chat_messages_pkey PRIMARY KEY (conversation_id, id);

ALTER TABLE ONLY public.conversations
    ADD CONSTRAINT conversations_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.schema_migrations
    ADD CONSTRAINT schema_migrations_pkey PRIMARY KEY (name);

ALTER TABLE ONLY public.tasks
    ADD CONSTRAINT tasks_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.users
    ADD CONSTRAINT users_pkey PRIMARY KEY (id);

CREATE INDEX idx_chat_messages_conversation_created ON public.chat_messages USING btree (conversation_id, created_at DESC);

CREATE INDEX idx_chat_messages_created_at ON public.chat_messages USING btree (created_at DESC);

CREATE INDEX idx_chat_messages_user_id ON public.chat_messages USING btree (user_id, created_at);

CREATE INDEX idx_conversations_created_at ON public.conversations USING btree (created_at);

CREATE INDEX idx_conversations_updated_at ON public.conversations USING btree (updated_at DESC);

CREATE INDEX idx_conversations_user_id ON public.conversations USING btree (user_id);

CREATE INDEX idx_conversations_user_recent ON public.conversations USING btree (user_id, updated_at DESC, id DESC);

CREATE INDEX idx_conversations_user_status ON public.conversations USING btree (user_id, status, updated_at DESC, id DESC);

CREATE INDEX idx_tasks_title ON public.tasks USING btree (user_id, title);

CREATE INDEX idx_tasks_user_id ON public.tasks USING btree (user_id, id DESC);

CREATE UNIQUE INDEX ix_users_email ON public.users USING btree (email);

CREATE UNIQUE INDEX uq_chat_messages_message_id ON public.chat_messages USING btree (conversation_id, message_id) WHERE (superseded_at IS NULL);

CREATE UNIQUE INDEX uq_chat_messages_reply_to ON public.chat_messages USING btree (reply_to) WHERE ((superseded_at IS NULL) AND (reply_to IS NOT NULL));

ALTER TABLE ONLY public.chat_messages
    ADD CONSTRAINT chat_messages_conversation_id_fkey FOREIGN KEY (conversation_id) REFERENCES public.conversations(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.chat_messages
    ADD CONSTRAINT chat_messages_user_id_fkey FOREIGN KEY (user_id) REFERENCES public.users(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.conversations
    ADD CONSTRAINT conversations_user_id_fkey FOREIGN KEY (user_id) REFERENCES public.users(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.tasks
    ADD CONSTRAINT tasks_user_id_fkey FOREIGN KEY (user_id) REFERENCES public.users(id) ON DELETE CASCADE;
