"""POST /api/chat: send a message, get its answer.

Accepts   {"message": "text", "conversation_id"?, "message_id"?, "stream"?}, or the body that the AI
          SDK's useChat sends: {"id", "messages" or "message", "trigger"?, "messageId"?}; up to 4 MB
Answers   200 {"conversation_id", "user_message", "message", "finish_reason"}, or a UI message
          stream (for `stream`, for Accept: text/event-stream, or for the AI SDK's body)
Problems  400, 401, 404 not_found (not yours), 409 turn_in_progress, conversation_moved_on, …,
          413, 415, 422 invalid_request, nothing_to_answer, 429 quota_exceeded,
          502 and 504 the model failed, 503 model_not_configured, model_overloaded,
          database_unavailable, identity_provider_unavailable
Database  1 round trip before the model is asked: begin_turn.sql; 1 after: finish_turn.sql
"""

from starlette.requests import Request
from starlette.types import ASGIApp

from lib.chat.post import answer_chat, read_chat_request, warm_up
from lib.functions import function
from lib.identity.callers import caller_of


async def post(request: Request) -> ASGIApp:
    """Answer one message."""
    caller = await caller_of(request)
    warm_up()
    return await answer_chat(caller, await read_chat_request(request, caller))


app = function(POST=post)
