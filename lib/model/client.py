"""The model: any OpenAI-compatible provider, asked through the package `openai`.

The package sends the request (keys, base URL, errors); Parley reads the raw response. The package's
own reader makes a pydantic object of each chunk, which costs 166 to 195 ms of CPU for 1,000 tokens.

Imported with the first message, by the chat function alone: `import openai` takes about 230 ms.
"""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, suppress
from dataclasses import replace
from typing import Any

import httpx2
import openai

from lib.model._connection import body_of
from lib.model._dialects import Dialect, dialect
from lib.model._events import EventStream
from lib.model._provider import provider, sent_request
from lib.model._refusals.cured_request import CuredRequest, experience_with
from lib.model._refusals.kinds import log_refusal, problem_of, problem_of_refusal
from lib.model._refusals.refusal import Refusal, refusal_in
from lib.model._refusals.requests import chars_of, shortened
from lib.model.cost import Spending, chars_in
from lib.model.reply import (
    CallPiece,
    GarbledStreamError,
    Piece,
    ProviderError,
    Reply,
)
from lib.model.request import ModelRequest, SystemMessage
from lib.problems import AnswerWithheld, ModelFailed, ModelOverloaded, ModelRefused, ModelTimeout
from lib.settings import settings

# After the finish reason comes the usage, or nothing: some providers then hold the connection open
# for minutes, without `[DONE]`.
USAGE_SECONDS = 2.0
# A request is nearly too long from this part of a refused one on, unless it is instructions mostly.
NEARLY, NEARLY_OF_MESSAGES = 0.9, 0.25
# Again after lib/runtime/log.py: where OPENAI_LOG is set, the package chooses a level itself, and
# would log each request whole.
for verbose in ("openai", "httpx2"):
    logging.getLogger(verbose).setLevel(logging.WARNING)
FAILURES = (
    openai.APIError,
    httpx2.HTTPError,
    httpx2.StreamError,
    GarbledStreamError,
    ProviderError,
)


def make_provider() -> None:
    """Make the client of the first model's provider, which imports a part of the package."""
    provider(settings().all_models[0])


async def stream_answer(
    request: ModelRequest, reply: Reply, spending: Spending
) -> AsyncGenerator[Piece]:
    """Ask a model and yield the pieces of its answer as they arrive.

    A request that the provider refuses is changed and sent again, where another one may be
    accepted (lib/model/_refusals).

    Args:
        request: the request.
        reply: filled in while the answer streams.
        spending: gets the cost of each request that is sent.

    Raises:
        ModelRefused: when the key, the model or a setting is wrong, or the quota is used up.
        ModelOverloaded: when the provider answers 429, 503 or 529.
        ModelTimeout: when there is no connection in time, or MODEL_SILENCE_SECONDS of silence.
        AnswerWithheld: when a content filter lets nothing through.
        FileRefused: when the model cannot read a file of the question.
        ConversationTooLong: when the question is too long for the model, even alone; or the request
            is, and may not be shortened.
        ModelFailed: on any other failure; also when the stream is cut, garbled or failed midway, or
            has no answer.
    """
    spoken = dialect(request.model)
    cured = CuredRequest(request, spoken)
    has_begun = False
    while True:
        sent = cured.request
        body = cured.body(sent)
        try:
            with spending.counting(sent, reply) as counted:
                async with aclosing(_stream_once(spoken, sent, body, reply)) as pieces:
                    async for piece in pieces:
                        if not has_begun:
                            has_begun = True
                            cured.note_answer()
                        # Without a call for a piece of text, because each token comes through here.
                        counted.chars += len(piece) if isinstance(piece, str) else chars_in(piece)
                        yield piece
        except FAILURES as error:
            refusal = refusal_in(error, body, sent.model)
            if refusal is None:
                raise problem_of(error) from error
            if has_begun or not cured.cure(refusal):
                problem = problem_of_refusal(refusal, sent)
                if isinstance(problem, ModelRefused):
                    log_refusal(refusal, sent.model)
                # Not from the error, whose text is the provider's.
                raise problem from refusal
        else:
            return


async def _stream_once(
    spoken: Dialect, request: ModelRequest, body: dict[str, Any], reply: Reply
) -> AsyncGenerator[Piece]:
    """Send one request and yield the pieces of its response.

    Raises:
        FAILURES: when there is no response, or it ends before the answer does.
        AnswerWithheld: when a content filter lets nothing through.
        ModelFailed: when the response has no answer.
    """
    events = EventStream()
    reader = spoken.reader(reply, has_tools=bool(request.tools))
    has_thought, has_answer = False, False
    over_at: float | None = None
    try:
        async with sent_request(request.model, spoken.path, body) as response:
            received_bytes = body_of(response)
            received: bytes | None = b""
            while not (received is None or events.is_done or reader.is_over):
                # A coroutine of our own for each token would cost time.
                received = await (
                    anext(received_bytes, None)
                    if over_at is None
                    else _next(received_bytes, over_at)
                )
                for event in events.end() if received is None else events.feed(received):
                    if not (pieces := reader.read(event)):
                        continue
                    has_thought, has_answer = True, has_answer or _is_answer(pieces)
                    # Some servers give a reason with each chunk, so a piece begins the wait again.
                    over_at = None
                    for piece in pieces:
                        yield piece
                if over_at is None and reply.finish_reason is not None:
                    over_at = time.monotonic() + USAGE_SECONDS
    except FAILURES:
        # A failure after the finish reason takes nothing from the answer.
        if reply.finish_reason is None:
            raise
    for piece in reader.end(is_done=events.is_done):
        has_answer = has_answer or _is_answer([piece])
        yield piece
    _check_answer(reply, has_thought=has_thought, has_answer=has_answer)


def is_nearly_too_long(request: ModelRequest) -> bool:
    """Tell whether a request is nearly as long as one that its provider has refused for that.

    As far as this process knows. Not where the instructions are most of it: no other messages would
    make it shorter.
    """
    model = request.model
    refused = experience_with(model.model, model.base_url, dialect(model)).refused_chars
    if refused is None or chars_of(request) <= NEARLY * refused:
        return False
    told = [message for message in request.messages if not isinstance(message, SystemMessage)]
    return chars_of(replace(request, messages=tuple(told))) > NEARLY_OF_MESSAGES * refused


def is_question_mostly(request: ModelRequest) -> bool:
    """Tell whether a request is hardly shorter without the messages before its question."""
    return chars_of(shortened(request, 0)) > NEARLY * chars_of(request)


def may_another_answer(problem: ModelFailed) -> bool:
    """Tell whether the provider of a model, rather than the request, is why it did not answer.

    So another provider may: this one cannot be reached, answers 429 or 529, or has failed (5xx). It
    is not so for a refusal of the message, the key, a setting or the operator's quota.
    """
    cause = problem.__cause__
    if isinstance(problem, ModelOverloaded):
        return True
    if isinstance(problem, (AnswerWithheld, ModelRefused)):
        return False
    if isinstance(cause, openai.APITimeoutError):
        return isinstance(cause.__cause__, httpx2.ConnectTimeout)
    if isinstance(cause, Refusal):
        return cause.is_of_server and type(problem) in (ModelFailed, ModelTimeout)
    return isinstance(cause, openai.APIConnectionError)


def cause_of(error: Exception) -> str:
    """Return the cause of a failure for the log, without the provider's words."""
    cause = error.__cause__ or error
    return str(cause) if isinstance(cause, Refusal) else type(cause).__name__


def _is_answer(pieces: list[Piece]) -> bool:
    return any(isinstance(piece, str | CallPiece) for piece in pieces)


def _check_answer(reply: Reply, *, has_thought: bool, has_answer: bool) -> None:
    """Check that a reply which has ended is an answer.

    Raises:
        AnswerWithheld: when a content filter lets nothing through.
        ModelFailed: when the reply is cut, or empty.
    """
    if not has_answer and reply.finish_reason == "content_filter":
        raise AnswerWithheld
    if not (has_answer or has_thought) or reply.finish_reason is None:
        cause = f"{has_thought=}, {has_answer=}, {reply.finish_reason=}"
        raise ModelFailed from GarbledStreamError(cause)


async def _next(body: AsyncIterator[bytes], over_at: float) -> bytes | None:
    """Return the next bytes of a body.

    Args:
        body: of a response.
        over_at: when to stop waiting, on the clock of `time.monotonic()`.

    Returns:
        Some bytes; None: the body has ended, or the time is over.
    """
    # The time-out alone would not end a flood of heartbeats, for which nothing waits.
    if time.monotonic() < over_at:
        with suppress(TimeoutError):
            async with asyncio.timeout_at(over_at):
                return await anext(body, None)
    return None
