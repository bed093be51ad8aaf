-- begin_tool_run :one
-- Record a tool run for the question of this attempt's turn, before the tool has its effect.
--
-- Sent after lock_conversation and before the effect, in the same round trip, which fails as a whole.
-- Raises unique_violation (tool_runs_pkey) when the tool was run before, and not_null_violation
-- (conversation_id) when the attempt has lost the turn.
--
-- Parameters
--   conversation_id  uuid         the conversation
--   user_id          text         the caller
--   turn_id          uuid         token of this attempt
--   question_id      bigint       chat_messages.id of the question
--   run_key          text         key of the run, the same in each attempt
--   tool_call_id     text         id of the call, as the model named it
--   tool_name        text         the tool
--   arguments        jsonb        arguments of the call
--   now              timestamptz  the time; null: the database's clock
--
-- Returns 1 row: run_key.
-- Index conversations_pkey.
INSERT INTO tool_runs (
    conversation_id,
    question_id,
    run_key,
    user_id,
    turn_id,
    tool_call_id,
    tool_name,
    arguments,
    created_at
)
VALUES (
    (
        SELECT conversations.id
        FROM conversations
        WHERE
            conversations.id = %(conversation_id)s::uuid
            AND conversations.user_id = %(user_id)s::text
            AND conversations.turn_id = %(turn_id)s::uuid
    ),
    %(question_id)s::bigint,
    %(run_key)s::text,
    %(user_id)s::text,
    %(turn_id)s::uuid,
    %(tool_call_id)s::text,
    %(tool_name)s::text,
    %(arguments)s::jsonb,
    coalesce(%(now)s::timestamptz, clock_timestamp())
)
RETURNING tool_runs.run_key;
