"""The export: everything of one user, as JSON lines."""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from starlette.types import Receive, Scope, Send

from lib.database.client import Database
from lib.database.statements import Statement
from lib.identity.callers import Caller
from lib.problems import Problem
from lib.runtime.log import log
from lib.runtime.trace import trace
from lib.settings import settings

BATCH = 200
# Of what is long: a message may hold megabytes of images, a stream a whole answer.
SMALL_BATCH = 20


@dataclass(frozen=True, slots=True)
class ProfileRow:
    """A row of export_profile."""

    kind: str
    content: str


@dataclass(frozen=True, slots=True)
class ConversationRow:
    """A row of export_conversations."""

    id: UUID
    content: str


@dataclass(frozen=True, slots=True)
class MessageRow:
    """A row of export_messages."""

    id: int
    created_at: datetime
    content: str


@dataclass(frozen=True, slots=True)
class TaskRow:
    """A row of export_tasks."""

    id: str
    content: str


@dataclass(frozen=True, slots=True)
class ToolRunRow:
    """A row of export_tool_runs."""

    created_at: datetime
    run_key: str
    content: str


@dataclass(frozen=True, slots=True)
class StreamBatchRow:
    """A row of export_stream_batches."""

    conversation_id: UUID
    first_part: int
    content: str


@dataclass(frozen=True, slots=True)
class FinishedStreamRow:
    """A row of export_finished_streams."""

    conversation_id: UUID
    turn_id: UUID
    content: str


EXPORT_PROFILE = Statement("conversations/export_profile", ProfileRow)
EXPORT_CONVERSATIONS = Statement("conversations/export_conversations", ConversationRow)
EXPORT_MESSAGES = Statement("conversations/export_messages", MessageRow)
EXPORT_TASKS = Statement("conversations/export_tasks", TaskRow)
EXPORT_TOOL_RUNS = Statement("conversations/export_tool_runs", ToolRunRow)
EXPORT_STREAM_BATCHES = Statement("conversations/export_stream_batches", StreamBatchRow)
EXPORT_FINISHED_STREAMS = Statement("conversations/export_finished_streams", FinishedStreamRow)
# Those whose rows are long.
LONG = (EXPORT_MESSAGES, EXPORT_FINISHED_STREAMS)


async def export_everything(database: Database, caller: Caller) -> "Export":
    """Return the response that streams everything of a user's: a JSON object a line.

    Each has a `type` (user, quota, conversation, message, task, tool_run, stream_batch,
    finished_stream) and the columns of a row. The last is `{"type": "end", "complete": true}`: a
    stream without it was cut. One round trip a batch.

    Raises:
        Problem: see `Database.run_as`; later it becomes the last line.
    """
    lines = _lines(database, caller)
    # Before the status is sent: an account that is switched off is no stream.
    return Export(await anext(lines), lines)


class Export:
    """The response. Rows are read while they are sent, so it needs the memory of one batch."""

    def __init__(self, first: bytes, rest: AsyncIterator[bytes]) -> None:
        """Take the lines that are read already, and those to come."""
        self._first = first
        self._rest = rest

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send everything."""
        del scope, receive
        headers = {
            "content-type": "application/x-ndjson; charset=utf-8",
            "content-disposition": 'attachment; filename="export.jsonl"',
            "cache-control": "no-store",
        }
        raw = [(name.encode(), value.encode()) for name, value in headers.items()]
        await send({"type": "http.response.start", "status": 200, "headers": raw})
        await send({"type": "http.response.body", "body": self._first, "more_body": True})
        async for lines in _to_the_end(self._rest):
            await send({"type": "http.response.body", "body": lines, "more_body": True})
        await send({"type": "http.response.body", "body": b""})


async def _to_the_end(rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Yield batches of lines, then the line that tells whether that was all."""
    end: dict[str, Any] = {"type": "end", "complete": True}
    try:
        async for lines in rest:
            yield lines
    except Exception as error:  # noqa: BLE001 (the status is sent: the last resort is here)
        problem = error if isinstance(error, Problem) else Problem()
        trace().code = problem.code
        log("export_failed", error=error, code=problem.code)
        end = {"type": "end", "complete": False, "code": problem.code, "detail": problem.detail}
    yield json.dumps(end).encode() + b"\n"


async def _lines(database: Database, caller: Caller) -> AsyncIterator[bytes]:
    """Yield batches of lines: first who it is, even if that is nothing."""
    whose = {"user_id": caller.user_id}
    kept = {"retention_days": settings().retention_days, "now": None}
    profile = await database.run_as(caller, None, EXPORT_PROFILE(**whose))
    yield b"".join(_line(row.kind, row.content) for row in profile)
    paged: list[tuple[str, Statement[Any], tuple[str, ...], dict[str, Any]]] = [
        ("conversation", EXPORT_CONVERSATIONS, ("id",), whose | kept),
        ("message", EXPORT_MESSAGES, ("created_at", "id"), whose | kept),
        ("task", EXPORT_TASKS, ("id",), whose),
        ("tool_run", EXPORT_TOOL_RUNS, ("created_at", "run_key"), whose | kept),
        ("stream_batch", EXPORT_STREAM_BATCHES, ("conversation_id", "first_part"), whose | kept),
        ("finished_stream", EXPORT_FINISHED_STREAMS, ("conversation_id", "turn_id"), whose | kept),
    ]
    for kind, statement, order, parameters in paged:
        last: Any = None
        while True:
            size = SMALL_BATCH if statement in LONG else BATCH
            position = {f"cursor_{column}": last and getattr(last, column) for column in order}
            rows = await database.run_as(
                caller, None, statement(**parameters, **position, batch_size=size)
            )
            yield b"".join(_line(kind, row.content) for row in rows)
            if len(rows) < size:
                break
            last = rows[-1]


def _line(kind: str, content: str) -> bytes:
    """Return a row as a line; its JSON is the database's own, which is not read again."""
    return f'{{"type": "{kind}", {content.removeprefix("{")}\n'.encode()
