"""POST /api/chat, from the request to the response: take the turn, answer, replay or attach."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from lib.answers.answer import Answer, running_answers
from lib.answers.begin import answer_maker, begin_answer
from lib.answers.follow import follow
from lib.conversations.message import Message
from lib.database.client import database
from lib.http.bodies import read_json
from lib.http.ids import conversation_id_of
from lib.http.responses import json_response
from lib.identity.callers import Caller
from lib.problems import AnswerStopped, ModelNotConfigured, Problem, TurnInProgress, Unauthenticated
from lib.runtime.deadlines import Deadline
from lib.runtime.imports import load, load_ahead
from lib.runtime.trace import trace
from lib.settings import settings
from lib.streams import parts as ui_stream
from lib.streams.response import AnswerStream
from lib.turns.begin import begin_turn
from lib.turns.quota import Quota
from lib.turns.recover import recover_turn
from lib.turns.request import ChatRequest
from lib.turns.turn import Turn, TurnLapsedError

# useChat sends the whole conversation each time, unless it is told otherwise.
MAX_BODY_BYTES = 4 * 1024 * 1024


async def read_chat_request(request: Request) -> ChatRequest:
    """Read a request of POST /api/chat.

    Raises:
        Problem: see `read_json`, and `read_form`.
    """
    content = await read_json(request, MAX_BODY_BYTES)
    read_form = await load(form_reader)
    return read_form(content, request.headers.get("accept", ""))


def form_reader() -> Callable[[dict[str, Any], str], ChatRequest]:
    """Return what reads the forms, which imports pydantic."""
    from lib.chat.forms import read_form

    return read_form


LOOK_AGAIN_SECONDS = 0.25


def warm_up() -> None:
    """Begin at once what the first message of a process waits for, beside reading it.

    That is a connection, and two imports, in the order in which they are needed.
    """
    if settings().openai_api_key is not None:
        database().connect_ahead()
        load_ahead(form_reader, answer_maker)


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
    attempt_id = uuid4()
    takes_turn_until = (time.monotonic() + deadline.cut_at) / 2
    while True:
        try:
            turn = await begin_turn(
                database(),
                caller,
                conversation_id,
                said,
                turn_id=attempt_id,
                client=client,
                lease_ends_at=deadline.ends_at,
                # Later there would be time for half an answer only.
                takes_turn=time.monotonic() < takes_turn_until,
            )
        except TurnLapsedError as lapsed:
            await recover_turn(database(), caller, conversation_id, lapsed.turn_id)
            continue
        if turn.verdict == "answered" and turn.answer is not None:
            return _replay(turn, turn.answer, wants_stream=said.wants_stream)
        if turn.verdict == "taken":
            return await _follow(begin_answer(database(), turn, said, deadline), said, turn.quota)
        if turn.held_id is not None and (running := running_answers.get(turn.held_id)):
            return await _follow(running, said)
        is_late = time.monotonic() + LOOK_AGAIN_SECONDS > deadline.cut_at
        if is_late or turn.verdict == "unanswered" or turn.held_id is None:
            detail = "This message is not answered yet. Send it again to get the answer."
            raise TurnInProgress(detail, retry_after_seconds=LOOK_AGAIN_SECONDS)
        if response := await _attach(turn, turn.held_id, deadline, wants_stream=said.wants_stream):
            return response
        # To ask again is to have its answer, or to take the turn over if it failed.
        said = _asks_for_the_answer_of(turn.question, said)


async def _attach(
    turn: Turn, attempt_id: UUID, deadline: Deadline, *, wants_stream: bool
) -> ASGIApp | None:
    """Attach to an answer that another process makes.

    Returns:
        Its stream; None: it ended before there was any, or as JSON is wanted, ended.

    Raises:
        AnswerStopped: it was, before there was any; so nobody is to answer in its place.
    """
    which = (database(), turn.caller, turn.conversation_id, attempt_id)
    follower = follow(*which, [])
    stream = follower.stream
    if not wants_stream:
        await stream.wait_until_over(deadline.cut_at - time.monotonic())
        if follower.was_stopped:
            raise AnswerStopped
        return None
    await stream.wait_for_first_part()
    if stream.is_over and not (follower.has_begun or follower.was_stopped):
        return None
    return AnswerStream(stream, turn.conversation_id, until=deadline.last_words_at)


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
            await answer.wait_for_first_part()
            headers = quota.headers() if quota else {}
            stream, conversation_id = answer.stream, answer.turn.conversation_id
            return AnswerStream(stream, conversation_id, headers, done=answer.done)
        stored = await asyncio.shield(answer.stored)
    except Problem as problem:
        problem.headers |= quota.headers() if quota else {}
        raise
    return Lasting(_json(answer.turn, stored, quota.headers() if quota else {}), answer)


def _replay(turn: Turn, answer: Message, *, wants_stream: bool) -> Response:
    if not wants_stream:
        return _json(turn, answer, {"idempotent-replayed": "true"})
    headers = ui_stream.headers(turn.conversation_id) | {"idempotent-replayed": "true"}
    return Response(ui_stream.complete_answer(answer), headers=headers)


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
