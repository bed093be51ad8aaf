"""GET and DELETE /api/chat/:id/stream: resume reading an answer in the making, or stop it."""

import asyncio
import time
from typing import assert_never
from urllib.parse import unquote
from uuid import UUID

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp

from lib.answers.answer import running_answers
from lib.answers.follow import LAST_PART, StreamState, follow, read_stream
from lib.database.client import database
from lib.http.ids import conversation_id_of
from lib.http.queries import parameter, query_string, whole_number
from lib.identity.callers import Caller
from lib.runtime.log import log
from lib.runtime.trace import trace
from lib.streams.response import AnswerStream
from lib.texts import storable
from lib.turns.recover import recover_turn
from lib.turns.stop import stop_turn

# The number of a stream's newest part, for readers that count parts from the end.
TAIL_INDEX = "x-workflow-stream-tail-index"
# A running attempt looks every second whether it must stop. One that has not looked for so
# long is dead, although its lease still runs, and its turn is recovered.
STOP_PATIENCE_SECONDS = 5.0
LOOK_AGAIN_SECONDS = 0.1


@query_string
class StreamQuery:
    """The query string of GET /api/chat/:id/stream."""

    start_index: int = parameter(
        whole_number(-(2**31), 2**31 - 1), default=0, names=("startIndex",)
    )


def conversation_in_path(request: Request, caller: Caller) -> UUID | None:
    """Return the conversation that the path names; None: no conversation can have that id.

    The query is no source of the id: a client may send an `id` there, beside Vercel's own.
    """
    path: bytes = request.scope.get("raw_path") or request.scope["path"].encode()
    chat_id = unquote(path.decode("latin-1").removesuffix("/").split("/")[-2])
    try:
        return conversation_id_of(storable(chat_id), caller)
    except ValueError:
        return None


async def resume_answer(caller: Caller, conversation_id: UUID, start_index: int) -> ASGIApp:
    """Respond with the stream of the conversation's answer from a part on, or 204 without one.

    One round trip; where another process makes the answer, one more for each poll.

    Args:
        caller: the reader.
        conversation_id: id of the conversation.
        start_index: number of the first part to send; negative: counted from the newest part.

    Raises:
        Problem: see `Database.run_as`.
    """
    rows = await read_stream(database(), caller, conversation_id)
    if not rows:
        return Response(status_code=204)
    turn_id = rows[0].turn_id
    running = running_answers.get(turn_id)
    source = running or follow(database(), caller.following(), conversation_id, turn_id, rows)
    stream = source.stream
    await stream.wait_for_first_part()
    # `[DONE]` ends a stream, but clients do not count it as a part.
    count = len(stream.parts) - (1 if stream.is_over else 0)
    position = start_index if start_index >= 0 else max(0, count + start_index)
    # 204, because some clients repeat the request for ever after a stream without parts.
    if stream.is_over and (not source.has_begun or position >= count):
        return Response(status_code=204)
    headers = {TAIL_INDEX: str(count - 1)} if start_index < 0 else {}
    until, done = (None, running.done) if running else (trace().deadline.last_words_at, None)
    return AnswerStream(stream, conversation_id, headers, position=position, until=until, done=done)


async def stop_answer(caller: Caller, conversation_id: UUID) -> None:
    """Stop the answer that is being made in a conversation, and return when its turn is free.

    The text so far is stored, with the finish reason `aborted`. One round trip where no answer is
    being made; otherwise one more for each look whether the turn is free.

    Args:
        caller: the sender of the request.
        conversation_id: id of the conversation; in a conversation of another caller nothing stops.

    Raises:
        Problem: see `Database.run_as`.
    """
    turn = await stop_turn(database(), caller, conversation_id)
    if turn is None:
        return
    caller = caller.following()
    give_up_at = time.monotonic() + STOP_PATIENCE_SECONDS
    if running := running_answers.get(turn.turn_id):
        running.cut("aborted")
        await running.stream.wait_until_over(STOP_PATIENCE_SECONDS)
    while (state := await _state(caller, conversation_id, turn.turn_id)) == "running":
        if time.monotonic() > give_up_at:
            log("stop_not_heard", turn_id=turn.turn_id)
            break
        await asyncio.sleep(LOOK_AGAIN_SECONDS)
    match state:
        case "running":
            await recover_turn(database(), caller, conversation_id, turn.turn_id, "aborted")
        case "lapsed":
            await recover_turn(database(), caller, conversation_id, turn.turn_id)
        case "ended" | "stopped" | None:
            return
        case _:
            assert_never(state)


async def _state(caller: Caller, conversation_id: UUID, turn_id: UUID) -> StreamState | None:
    """Return the state of an attempt; None: it has ended without an answer."""
    rows = await read_stream(database(), caller, conversation_id, turn_id, LAST_PART)
    return rows[0].state if rows else None
