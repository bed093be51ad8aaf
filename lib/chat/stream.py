"""GET and DELETE /api/chat/:id/stream: come back to an answer that is being made, or stop it."""

import asyncio
import time
from urllib.parse import unquote
from uuid import UUID

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp

from lib.answers.answer import running_answers
from lib.answers.follow import LAST_PART, follow, read_stream
from lib.database.client import database
from lib.http.ids import conversation_id_of
from lib.http.queries import parameter, query_string, whole_number
from lib.identity.callers import Caller
from lib.problems import InvalidRequest
from lib.runtime.log import log
from lib.runtime.trace import trace
from lib.streams.response import AnswerStream
from lib.texts import storable
from lib.turns.recover import recover_turn
from lib.turns.stop import stop_turn

# The tail of a stream, for readers that ask for parts counted from its end.
TAIL_INDEX = "x-workflow-stream-tail-index"
# Whoever answers looks four times a second whether it is to stop. Who has not for so long is not
# there any more, whatever its lease says: its turn is ended for it.
STOP_PATIENCE_SECONDS = 5.0
LOOK_AGAIN_SECONDS = 0.1


@query_string
class StreamQuery:
    """The query string of GET /api/chat/:id/stream."""

    start_index: int = parameter(
        whole_number(-(2**31), 2**31 - 1), default=0, names=("startIndex",)
    )


def conversation_in_path(request: Request, caller: Caller) -> UUID | None:
    """Return which conversation the path names; None: no conversation has such an id.

    From the path, since the query may have an `id` of the client's besides Vercel's.
    """
    path: bytes = request.scope.get("raw_path") or request.scope["path"].encode()
    chat_id = unquote(path.decode("latin-1").removesuffix("/").split("/")[-2])
    try:
        return conversation_id_of(storable(chat_id), caller)
    except (InvalidRequest, ValueError):
        return None


async def resume_answer(caller: Caller, conversation_id: UUID, start_index: int) -> ASGIApp:
    """Answer with the stream of the conversation's answer, from a part on, or 204 without one.

    One round trip, and one each time that it is looked for more, where another process makes it.

    Args:
        caller: who asks.
        conversation_id: which conversation.
        start_index: number of the first part that is wanted; negative: counted from the end of
            what is there.

    Raises:
        Problem: see `Database.run_as`.
    """
    rows = await read_stream(database(), caller, conversation_id)
    if not rows:
        return Response(status_code=204)
    turn_id = rows[0].turn_id
    running = running_answers.get(turn_id)
    source = running or follow(database(), caller, conversation_id, turn_id, rows)
    stream = source.stream
    await stream.wait_for_first_part()
    # What ends a stream is no part to who counts them.
    count = len(stream.parts) - (1 if stream.is_over else 0)
    position = start_index if start_index >= 0 else max(0, count + start_index)
    # That there is nothing, in so many words: a stream without parts has some clients ask for ever.
    if stream.is_over and (not source.has_begun or position >= count):
        return Response(status_code=204)
    headers = {TAIL_INDEX: str(count - 1)} if start_index < 0 else {}
    until, done = (None, running.done) if running else (trace().deadline.last_words_at, None)
    return AnswerStream(stream, conversation_id, headers, position=position, until=until, done=done)


async def stop_answer(caller: Caller, conversation_id: UUID) -> None:
    """Stop the answer that is being made in a conversation, and return when its turn is free.

    What there is of it is stored, marked `aborted`. One round trip where nothing is being made;
    another each time that it is looked whether the turn is free.

    Args:
        caller: who asks.
        conversation_id: which conversation; nothing happens if it is not the caller's.

    Raises:
        Problem: see `Database.run_as`.
    """
    turn = await stop_turn(database(), caller, conversation_id)
    if turn is None:
        return
    turn_id = turn.turn_id
    give_up_at = time.monotonic() + STOP_PATIENCE_SECONDS
    if turn.is_running and (running := running_answers.get(turn_id)):
        running.cut("aborted")
        await running.stream.wait_until_over(STOP_PATIENCE_SECONDS)
    while (state := await _state(caller, conversation_id, turn_id)) == "running":
        if time.monotonic() > give_up_at:
            log("stop_not_heard", turn_id=turn_id)
            break
        await asyncio.sleep(LOOK_AGAIN_SECONDS)
    if state in {"running", "lapsed"}:
        reason = "aborted" if state == "running" else "interrupted"
        await recover_turn(database(), caller, conversation_id, turn_id, reason)


async def _state(caller: Caller, conversation_id: UUID, turn_id: UUID) -> str | None:
    """Tell how an attempt stands; None: it is over."""
    rows = await read_stream(database(), caller, conversation_id, turn_id, LAST_PART)
    return rows[0].state if rows else None
