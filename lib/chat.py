"""POST /api/chat, from the request to the response: take the turn, answer, replay or attach."""

import asyncio
import time
from dataclasses import replace
from uuid import UUID, uuid4

from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from lib import ui_stream
from lib.answers import KEEP_ALIVE_SECONDS, Answer, begin_answer, find_running_answer
from lib.callers import Caller
from lib.chat_requests import ChatRequest
from lib.database import database
from lib.functions import json_response
from lib.ids import conversation_id_of
from lib.messages import Message
from lib.problems import ModelNotConfigured, Problem, TurnInProgress, Unauthenticated
from lib.quotas import Quota
from lib.settings import settings
from lib.trace import trace
from lib.turns import Turn, begin_turn

# A reader that takes nothing for so long has gone, whether or not anybody says so.
STALL_SECONDS = 15.0
LOOK_AGAIN_SECONDS = 0.25


async def answer_chat(caller: Caller, said: ChatRequest, client: str) -> ASGIApp:
    """Answer one message.

    Two round trips: begin_turn before the model is asked, finish_turn after it has answered; to
    replay a stored answer, one.

    Args:
        caller: who says it.
        said: what.
        client: network address that it came from.

    Returns:
        The response: JSON, or a stream that has begun or is silent for now.

    Raises:
        Problem: whatever went wrong before the first byte.
    """
    if settings().openai_api_key is None:
        raise ModelNotConfigured
    if said.tool_choice is not None and caller.user_id is None:
        detail = "Sign in first: tools work for users only."
        raise Unauthenticated(detail)
    conversation_id = uuid4()
    if said.chat_id is not None:
        conversation_id = conversation_id_of(said.chat_id, caller, said.chat_id_field)
    named = {"x-conversation-id": str(conversation_id)}
    try:
        return await _respond(caller, conversation_id, said, client)
    except Problem as problem:
        problem.headers |= named
        raise
    except Exception as error:
        raise Problem(headers=named) from error


async def _respond(
    caller: Caller, conversation_id: UUID, said: ChatRequest, client: str
) -> ASGIApp:
    deadline = trace().deadline
    turn_id = uuid4()
    takes_turn_until = (time.monotonic() + deadline.cut_at) / 2
    while True:
        turn = await begin_turn(
            database(),
            caller,
            conversation_id,
            said,
            turn_id=turn_id,
            client=client,
            lease_ends_at=deadline.ends_at,
            # Later there would be time for half an answer only.
            takes_turn=time.monotonic() < takes_turn_until,
        )
        if turn.verdict == "answered" and turn.answer is not None:
            return _replay(turn, turn.answer, wants_stream=said.wants_stream)
        if turn.verdict == "taken":
            return await _follow(begin_answer(database(), turn, said, deadline), said, turn.quota)
        if running := find_running_answer(conversation_id, turn.question.id):
            return await _follow(running, said)
        is_late = time.monotonic() + LOOK_AGAIN_SECONDS > deadline.cut_at
        if is_late or turn.verdict == "unanswered":
            detail = "This message is not answered yet. Send it again to get the answer."
            raise TurnInProgress(detail, retry_after_seconds=LOOK_AGAIN_SECONDS)
        # Another process is answering it. To ask again is to wait for its answer, and to take the
        # turn over should it fail.
        said = _asks_for_the_answer_of(turn.question, said)
        await asyncio.sleep(LOOK_AGAIN_SECONDS)


def _asks_for_the_answer_of(question: Message, said: ChatRequest) -> ChatRequest:
    """Return what asks for the answer that is being made, not for another one after it."""
    return replace(
        said,
        message_id=question.message_id,
        text=question.content,
        files=question.files,
        replaced_message_id=None,
        regenerates=False,
        answer_message_id=None,
    )


async def _follow(answer: Answer, said: ChatRequest, quota: Quota | None = None) -> ASGIApp:
    """Answer with an answer in the making, as a stream or, when it is done, as JSON."""
    try:
        if said.wants_stream:
            await answer.wait_for_first_part(KEEP_ALIVE_SECONDS)
            return AnswerStream(answer, quota)
        stored = await asyncio.shield(answer.stored)
    except Problem as problem:
        problem.headers |= quota.headers() if quota else {}
        raise
    return Lasting(_json(answer.turn, stored, quota.headers() if quota else {}), answer)


def _replay(turn: Turn, answer: Message, *, wants_stream: bool) -> Response:
    if not wants_stream:
        return _json(turn, answer, {"idempotent-replayed": "true"})
    named = {"x-conversation-id": str(turn.conversation_id), "idempotent-replayed": "true"}
    return Response(ui_stream.whole(answer), headers=ui_stream.HEADERS | named)


def _json(turn: Turn, answer: Message, headers: dict[str, str]) -> Response:
    content = {
        "conversation_id": turn.conversation_id,
        "user_message": turn.question,
        "message": answer,
        "finish_reason": answer.client_finish_reason,
    }
    return json_response(content, {"x-conversation-id": str(turn.conversation_id)} | headers)


class Lasting:
    """A response that is sent at once, and does not return before its answer is done with."""

    def __init__(self, response: Response, answer: Answer) -> None:
        """Take the response, and the answer that it tells of."""
        self._response = response
        self._answer = answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the response, and stay."""
        await self._response(scope, receive, send)
        await self._answer.done.wait()


class AnswerStream:
    """The response that reads an answer in the making.

    It may die at any time without harm to the answer; but it does not return before the answer is
    stored, since the instance may freeze then. Not Starlette's `StreamingResponse`, which cancels
    what it reads from when the reader leaves.
    """

    def __init__(self, answer: Answer, quota: Quota | None) -> None:
        """Take an answer; from here on a failure is a part of the stream.

        Args:
            answer: which.
            quota: what is left of the caller's; None: this reader was not counted.
        """
        self._answer = answer
        self._quota = quota

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the answer to one reader, and stay until it is stored."""
        del scope
        reading = asyncio.create_task(self._send(send))
        leaving = asyncio.create_task(_wait_for_disconnect(receive))
        await asyncio.wait({reading, leaving}, return_when=asyncio.FIRST_COMPLETED)
        for task in (reading, leaving):
            task.cancel()
        await asyncio.wait({reading, leaving})
        await self._answer.done.wait()

    async def _send(self, send: Send) -> None:
        headers = ui_stream.HEADERS | {
            "x-conversation-id": str(self._answer.turn.conversation_id),
        }
        headers |= self._quota.headers() if self._quota else {}
        raw = [(name.encode(), value.encode()) for name, value in headers.items()]
        await send({"type": "http.response.start", "status": 200, "headers": raw})
        async for parts in self._answer.read():
            async with asyncio.timeout(STALL_SECONDS):
                await send({"type": "http.response.body", "body": parts, "more_body": True})
        async with asyncio.timeout(STALL_SECONDS):
            await send({"type": "http.response.body", "body": b""})


async def _wait_for_disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
