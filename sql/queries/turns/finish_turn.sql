-- finish_turn :one
-- Store the answer and give the turn back, if this attempt still holds it.
--
-- May be sent again when it is unknown whether it arrived: it then finds what it stored. A function
-- (019_finish_turn.sql), as begin_turn is. What the answer replaces (an earlier answer, and what was
-- said after that) is superseded now, since now there is an answer. The answer's stream becomes one piece,
-- for who still reads it.
--
-- Parameters
--   conversation_id    uuid         which
--   user_id            text         the caller; null: anonymous
--   turn_id            uuid         token of this attempt
--   answer_message_id  text         id of the answer, as clients see it
--   question_id        bigint       chat_messages.id of the question
--   content            text         the answer's text; '' if nothing but tool calls came
--   finish_reason      text         see the column
--   model_name         text         as the provider names it; null: it did not say
--   prompt_tokens      integer      null: the provider did not say
--   completion_tokens  integer      null: the provider did not say
--   tool_calls         jsonb        what tools were called, with what came of it; null: none
--   persona            text         as chosen; null: none was
--   tone               text         as chosen, or as the analysis says; null: neither
--   behavior           text         as chosen, or as the analysis says; null: neither
--   context_type       text         this and the following as the analysis says; null: it does not
--   signal_strength    double precision  0 to 1
--   context_clarity    boolean      was the context clear?
--   needs_knowledge    boolean      did the question need knowledge from elsewhere? null: false
--   title              text         a title by the model; null: none came
--   first_title        text         the automatic one; a title that is another by now is its user's,
--                                   and stays
--   stored_parts       integer      how many parts of its stream are known to be stored in batches
--   parts              text         those after them, up to the end of what the model said
--   title_parts        text         what then tells of the new title, if the conversation takes it
--   last_parts         text         what ends the stream
--   now                timestamptz  null: the database's clock
--
-- Returns 1 row: id, created_at of the answer, and the conversation's title as it is now. 0 rows: the
-- lease was lost, or the conversation is gone, and nothing was stored.
-- Index conversations_pkey, chat_messages_pkey, uq_chat_messages_message_id, tool_runs_pkey,
-- stream_batches_pkey, finished_streams_pkey.
SELECT
    finished.id,
    finished.created_at,
    finished.current_title AS title
FROM finish_turn(
    conversation_id => %(conversation_id)s::uuid,
    user_id => %(user_id)s::text,
    turn_id => %(turn_id)s::uuid,
    answer_message_id => %(answer_message_id)s::text,
    question_id => %(question_id)s::bigint,
    content => %(content)s::text,
    finish_reason => %(finish_reason)s::text,
    model_name => %(model_name)s::text,
    prompt_tokens => %(prompt_tokens)s::integer,
    completion_tokens => %(completion_tokens)s::integer,
    tool_calls => %(tool_calls)s::jsonb,
    persona => %(persona)s::text,
    tone => %(tone)s::text,
    behavior => %(behavior)s::text,
    context_type => %(context_type)s::text,
    signal_strength => %(signal_strength)s::double precision,
    context_clarity => %(context_clarity)s::boolean,
    needs_knowledge => %(needs_knowledge)s::boolean,
    title => %(title)s::text,
    first_title => %(first_title)s::text,
    stored_parts => %(stored_parts)s::integer,
    parts => %(parts)s::text,
    title_parts => %(title_parts)s::text,
    last_parts => %(last_parts)s::text,
    now => %(now)s::timestamptz
) AS finished;
