-- begin_turn :one
-- Decide what becomes of a message, and if it is to be answered, store it and take the turn.
--
-- The whole of "exactly once": whatever is repeated, in whatever order, one question has one current
-- answer. A function (018_begin_turn.sql): it waits for its turn before it looks at what is stored, and
-- keeps its plan, which takes longer to make than all that it does.
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
SELECT
    begun.minute_remaining,
    begun.minute_reset_seconds,
    begun.day_remaining,
    begun.day_reset_seconds,
    begun.held_turn_id,
    begun.verdict,
    begun.lease_remaining_seconds,
    begun.current_title AS title
FROM begin_turn(
    conversation_id => %(conversation_id)s::uuid,
    user_id => %(user_id)s::text,
    message_id => %(message_id)s::text,
    content => %(content)s::text,
    files => %(files)s::jsonb,
    metadata => %(metadata)s::jsonb,
    replaced_message_id => %(replaced_message_id)s::text,
    regenerates => %(regenerates)s::boolean,
    answer_message_id => %(answer_message_id)s::text,
    title => %(title)s::text,
    turn_id => %(turn_id)s::uuid,
    lease_seconds => %(lease_seconds)s::double precision,
    takes_turn => %(takes_turn)s::boolean,
    max_messages => %(max_messages)s::integer,
    quota_subject => %(quota_subject)s::text,
    messages_per_minute => %(messages_per_minute)s::integer,
    messages_per_day => %(messages_per_day)s::integer,
    retention_days => %(retention_days)s::integer,
    now => %(now)s::timestamptz
) AS begun;
