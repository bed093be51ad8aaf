-- finish_turn :one
-- Store the answer and give the turn back, if this attempt still holds it.
--
-- The function does it; this calls it, and returns current_title as title.
-- Parameters, result and indexes: sql/functions/finish_turn.sql.
SELECT
    finished.id,
    finished.created_at,
    finished.current_title AS title
FROM finish_turn(
    caller_id => %(caller_id)s::text,
    reachable_id => %(reachable_id)s::uuid,
    needs_account => %(needs_account)s::boolean,
    token_issued_at => %(token_issued_at)s::timestamptz,
    key_hash => %(key_hash)s::bytea,
    client_subject => %(client_subject)s::text,
    timeout_ms => %(timeout_ms)s::integer,
    approach => %(approach)s::text,
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
    reasoning_tokens => %(reasoning_tokens)s::integer,
    reasoning_seconds => %(reasoning_seconds)s::double precision,
    tool_calls => %(tool_calls)s::json,
    steps => %(steps)s::json,
    provider_state => %(provider_state)s::json,
    persona => %(persona)s::text,
    tone => %(tone)s::text,
    behavior => %(behavior)s::text,
    context_type => %(context_type)s::text,
    signal_strength => %(signal_strength)s::double precision,
    context_clarity => %(context_clarity)s::boolean,
    needs_knowledge => %(needs_knowledge)s::boolean,
    refusal => %(refusal)s::text,
    has_provider_failed => %(has_provider_failed)s::boolean,
    paid_prompt_tokens => %(paid_prompt_tokens)s::integer,
    paid_completion_tokens => %(paid_completion_tokens)s::integer,
    quota_subjects => %(quota_subjects)s::text[],
    title => %(title)s::text,
    first_title => %(first_title)s::text,
    stored_parts => %(stored_parts)s::integer,
    parts => %(parts)s::text,
    title_parts => %(title_parts)s::text,
    last_parts => %(last_parts)s::text,
    now => %(now)s::timestamptz
) AS finished;
