"""POST /api/chat, from the request to the response: take the turn, answer, replay or attach."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace
from typing import assert_never
from uuid import UUID, uuid4

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from lib.answers.answer import Answer, running_answers
from lib.answers.begin import answer_maker, begin_answer
from lib.answers.follow import follow
from lib.chat.place import Place, place_of
from lib.conversations.conversation import FIND_CONVERSATION
from lib.conversations.message import Message
from lib.database.client import database
from lib.http.bodies import read_json
from lib.http.responses import json_response
from lib.identity.callers import Caller
from lib.identity.conversation_keys import HEADER
from lib.problems import (
    AnswerStopped,
    ModelNotConfigured,
    NotFound,
    Problem,
    TurnInProgress,
    Unauthenticated,
)
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

# useChat sends the whole conversation each time, unless it is configured otherwise.
MAX_BODY_BYTES = 4 * 1024 * 1024
LOOK_AGAIN_SECONDS = 0.25


async def read_chat_request(request: Request, caller: Caller) -> ChatRequest:
    """Read a request of POST /api/chat. Files are for users, unless ANONYMOUS_FILES opens them.

    Raises:
        Problem: see `read_json`, and `read_form`.
    """
    content = await read_json(request, MAX_BODY_BYTES)
    read_form = await load(form_reader)
    return read_form(
        content,
        request.headers.get("accept", ""),
        may_send_files=caller.user_id is not None or settings().anonymous_files,
    )


def form_reader() -> Callable[..., ChatRequest]:
    """Import `read_form`, which imports pydantic, and return it."""
    from lib.chat.forms import read_form

    return read_form


def warm_up() -> None:
    """Start the work that the first message of a process needs, while its request is read.

    That is a database connection, and two imports in the order of their use.
    """
    if settings().has_model:
        database().connect_ahead()
        load_ahead(form_reader, answer_maker)


async def answer_chat(caller: Caller, request: ChatRequest) -> ASGIApp:
    """Answer one message.

    Two round trips: begin_turn before the model is asked, finish_turn after it has answered. One to
    replay a stored answer.

    Args:
        caller: the sender of the message.
        request: the message.

    Returns:
        JSON; or a stream, which has a part or has waited for one as long as a proxy does.

    Raises:
        Problem: when the request fails before the first byte of the response.
    """
    if not settings().has_model:
        raise ModelNotConfigured
    if request.tool_choice is not None and caller.user_id is None:
        detail = "Sign in first: tools work for users only."
        raise Unauthenticated(detail)
    place = place_of(caller, request)
    try:
        return await _respond(place, request)
    except NotFound as problem:
        await _count_guess(place)
        refusal = place.refusal(problem)
        refusal.headers |= place.headers()
        raise refusal from problem
    except Problem as problem:
        problem.headers |= place.headers()
        raise
    except Exception as error:
        raise Problem(headers=place.headers()) from error


async def _count_guess(place: Place) -> None:
    """Count a message that has reached no conversation as a guess of its client.

    The step of begin_turn has ended with an error, which took its counts back: so one more round
    trip. A message that begins a conversation is no guess, because the quota counts it.

    Raises:
        TooManyGuesses: when the client has guessed too often.
        Problem: see `Database.run_as`.
    """
    caller = place.caller
    if caller.user_id is None and caller.approach != "read":
        find = FIND_CONVERSATION(
            conversation_id=place.conversation_id,
            user_id=None,
            retention_days=settings().retention_days,
            now=None,
        )
        await database().run_as(replace(caller, approach="read"), place.conversation_id, find)


async def _respond(place: Place, request: ChatRequest) -> ASGIApp:
    """Take the turn and answer, replay the stored answer, or join the attempt that makes it."""
    caller, conversation_id = place.caller, place.conversation_id
    deadline = trace().deadline
    attempt_id = uuid4()
    # After half of its time, this function could make half an answer only.
    takes_turn_until = (time.monotonic() + deadline.cut_at) / 2
    while True:
        try:
            turn = await begin_turn(
                database(),
                caller,
                conversation_id,
                request,
                turn_id=attempt_id,
                deadline=deadline.ends_at,
                takes_turn=time.monotonic() < takes_turn_until,
            )
        except TurnLapsedError as lapsed:
            is_late = time.monotonic() + LOOK_AGAIN_SECONDS > deadline.cut_at
            if lapsed.turn_id in running_answers and not is_late:
                # It lives: the database was out of reach, and its next batch prolongs the lease.
                await asyncio.sleep(LOOK_AGAIN_SECONDS)
                continue
            await recover_turn(database(), caller.following(), conversation_id, lapsed.turn_id)
            continue
        match turn.verdict:
            case "taken":
                answer = begin_answer(database(), turn, request, deadline)
                return await _send(answer, request, turn.quota, place.made_key)
            case "answered" if turn.answer is not None:
                return _replay(turn, turn.answer, wants_stream=request.wants_stream)
            case "answered" | "being_answered" | "unanswered":
                response = await _join(turn, request, deadline)
            case _:
                assert_never(turn.verdict)
        if response is not None:
            return response
        # The next begin_turn finds that attempt's answer, or takes the turn if the attempt failed.
        request = _request_for_answer_to(turn.question, request)


async def _join(turn: Turn, request: ChatRequest, deadline: Deadline) -> ASGIApp | None:
    """Respond with the answer that another attempt makes.

    Returns:
        None: see `_attach`.

    Raises:
        TurnInProgress: when this function has no time left to wait for the answer.
    """
    if turn.held_id is not None and (running := running_answers.get(turn.held_id)):
        return await _send(running, request)
    is_late = time.monotonic() + LOOK_AGAIN_SECONDS > deadline.cut_at
    if is_late or turn.verdict == "unanswered" or turn.held_id is None:
        detail = "This message is not answered yet. Send it again to get the answer."
        raise TurnInProgress(detail, retry_after_seconds=LOOK_AGAIN_SECONDS)
    return await _attach(turn, turn.held_id, deadline, wants_stream=request.wants_stream)


async def _attach(
    turn: Turn, attempt_id: UUID, deadline: Deadline, *, wants_stream: bool
) -> ASGIApp | None:
    """Attach to an answer that another process makes.

    Returns:
        The answer's stream. None: the answer ended without a part; or, for JSON, it ended.

    Raises:
        AnswerStopped: when the answer was stopped before its first part; no other attempt may then
            answer in its place.
    """
    follower = follow(database(), turn.caller, turn.conversation_id, attempt_id, [])
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


def _request_for_answer_to(question: Message, request: ChatRequest) -> ChatRequest:
    """Return a request for the answer that is being made, not for another one after it."""
    return replace(
        request,
        message_id=question.message_id,
        text=question.content,
        files=question.files,
        steps=question.steps,
        replaced_message_id=None,
        regenerates=False,
        answer_message_id=None,
    )


async def _send(
    answer: Answer, request: ChatRequest, quota: Quota | None = None, made_key: str | None = None
) -> ASGIApp:
    """Respond with an answer of this process: its stream, or JSON when it has ended.

    A key that this request has made is in a header, and in the JSON; the stream, which is stored
    and sent to all readers, does not have it.
    """
    headers = quota.headers() if quota else {}
    if made_key is not None:
        headers[HEADER] = made_key
    try:
        if request.wants_stream:
            await answer.wait_for_first_part()
            stream, conversation_id = answer.stream, answer.turn.conversation_id
            return AnswerStream(stream, conversation_id, headers, done=answer.done)
        stored = await asyncio.shield(answer.stored)
    except Problem as problem:
        problem.headers |= headers
        raise
    return HeldResponse(_json(answer.turn, stored, headers, made_key), answer.done)


def _replay(turn: Turn, answer: Message, *, wants_stream: bool) -> Response:
    if not wants_stream:
        return _json(turn, answer, {"idempotent-replayed": "true"})
    headers = ui_stream.headers(turn.conversation_id) | {"idempotent-replayed": "true"}
    return Response(ui_stream.complete_answer(answer), headers=headers)


def _json(
    turn: Turn, answer: Message, headers: dict[str, str], made_key: str | None = None
) -> Response:
    content: dict[str, object] = {
        "conversation_id": turn.conversation_id,
        # Read before the answer was made: a refusal is an earlier attempt's.
        "user_message": replace(turn.question, refusal=None),
        "message": answer,
        "finish_reason": answer.client_finish_reason,
    }
    if made_key is not None:
        content["conversation_key"] = made_key
    return json_response(content, {"x-conversation-id": str(turn.conversation_id)} | headers)


class HeldResponse:
    """A response that is sent at once, but returns only when the instance may freeze."""

    def __init__(self, response: Response, done: asyncio.Event) -> None:
        """Take the response, and the event that is set when the instance may freeze."""
        self._response = response
        self._done = done

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the response, and wait for the event."""
        await self._response(scope, receive, send)
        await self._done.wait()
