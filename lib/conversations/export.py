"""The export: all data of one user, as JSON lines."""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from starlette.types import Receive, Scope, Send

from lib.database.client import Database
from lib.database.statements import Statement
from lib.identity.callers import Caller
from lib.identity.clients import hashed
from lib.problems import Problem
from lib.runtime.log import log
from lib.runtime.trace import trace
from lib.settings import settings

BATCH = 200
# For long rows: a message may hold megabytes of images, and a stream holds an answer.
SMALL_BATCH = 20
# The `type` of each line but the last, which has the type `end`.
type Kind = Literal[
    "user",
    "quota",
    "known_network",
    "conversation",
    "message",
    "task",
    "tool_run",
    "stream_batch",
    "finished_stream",
    "file",
    "file_bytes",
]


@dataclass(frozen=True, slots=True)
class ProfileRow:
    """A row of export_profile."""

    kind: Literal["user", "quota", "known_network"]
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


@dataclass(frozen=True, slots=True)
class FileRow:
    """A row of export_files."""

    id: UUID
    size: int
    content: str


@dataclass(frozen=True, slots=True)
class FileBytesRow:
    """The row of export_file_bytes."""

    content: str


# Of a batch: an export has to be complete, however much there is, and nobody watches it come.
TIMEOUT_MS = 30_000
EXPORT_PROFILE = Statement("conversations/export_profile", ProfileRow, timeout_ms=TIMEOUT_MS)
EXPORT_CONVERSATIONS = Statement(
    "conversations/export_conversations", ConversationRow, timeout_ms=TIMEOUT_MS
)
EXPORT_MESSAGES = Statement("conversations/export_messages", MessageRow, timeout_ms=TIMEOUT_MS)
EXPORT_TASKS = Statement("conversations/export_tasks", TaskRow, timeout_ms=TIMEOUT_MS)
EXPORT_TOOL_RUNS = Statement("conversations/export_tool_runs", ToolRunRow, timeout_ms=TIMEOUT_MS)
EXPORT_STREAM_BATCHES = Statement(
    "conversations/export_stream_batches", StreamBatchRow, timeout_ms=TIMEOUT_MS
)
EXPORT_FINISHED_STREAMS = Statement(
    "conversations/export_finished_streams", FinishedStreamRow, timeout_ms=TIMEOUT_MS
)
EXPORT_FILES = Statement("conversations/export_files", FileRow, timeout_ms=TIMEOUT_MS)
EXPORT_FILE_BYTES = Statement(
    "conversations/export_file_bytes", FileBytesRow, timeout_ms=TIMEOUT_MS
)
# Of one line. A multiple of 3, so that the lines of a file join to one text in base64.
LINE_BYTES = 1_500_000
LONG_ROWS = (EXPORT_MESSAGES, EXPORT_FINISHED_STREAMS)


async def export_everything(database: Database, caller: Caller) -> "Export":
    """Return the response that streams all data of a user, as one JSON object a line.

    Each line has a `type` (see `Kind`) and the columns of a row. The last line is
    `{"type": "end", "complete": true}`: a stream without it was cut. One round trip a batch.

    Raises:
        Problem: see `Database.run_as`; a problem after the first batch becomes the last line.
    """
    batches = _batches(database, caller)
    # The first batch is read before the status is sent, so that an account that is switched off
    # gets a 403.
    return Export(await anext(batches), batches)


class Export:
    """The response. It reads each batch while it sends, so it needs the memory of one."""

    def __init__(self, first_batch: bytes, later_batches: AsyncIterator[bytes]) -> None:
        """Take the lines of the first batch, and those of the batches that are still to be read."""
        self._first_batch = first_batch
        self._later_batches = later_batches

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send all batches, and the last line."""
        del scope, receive
        headers = {
            "content-type": "application/x-ndjson; charset=utf-8",
            "content-disposition": 'attachment; filename="export.jsonl"',
            "cache-control": "no-store",
        }
        raw = [(name.encode(), value.encode()) for name, value in headers.items()]
        await send({"type": "http.response.start", "status": 200, "headers": raw})
        await send({"type": "http.response.body", "body": self._first_batch, "more_body": True})
        async for batch in _with_end(self._later_batches):
            await send({"type": "http.response.body", "body": batch, "more_body": True})
        await send({"type": "http.response.body", "body": b""})


async def _with_end(batches: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Yield batches of lines, then the last line, which tells whether the export is complete."""
    end: dict[str, Any] = {"type": "end", "complete": True}
    try:
        async for batch in batches:
            yield batch
    except Exception as error:  # noqa: BLE001 (the status is sent, so this is the last resort)
        problem = error if isinstance(error, Problem) else Problem()
        trace().code = problem.code
        log("export_failed", error=error, code=problem.code)
        end = {"type": "end", "complete": False, "code": problem.code, "detail": problem.detail}
    yield json.dumps(end).encode() + b"\n"


async def _batches(database: Database, caller: Caller) -> AsyncIterator[bytes]:
    """Yield batches of lines: the profile first, even if it is empty."""
    user = {"user_id": caller.user_id}
    unexpired = user | {"retention_days": settings().retention_days, "now": None}
    subject = hashed("user", caller.user_id or "")
    profile = await database.run_as(
        caller, None, EXPORT_PROFILE(user_id=caller.user_id, quota_subject=subject, now=None)
    )
    yield b"".join(_line(row.kind, row.content) for row in profile)
    # The statement of each kind, the columns of its order, and its parameters.
    exports: list[tuple[Kind, Statement[Any], tuple[str, ...], dict[str, Any]]] = [
        ("conversation", EXPORT_CONVERSATIONS, ("id",), unexpired),
        ("message", EXPORT_MESSAGES, ("created_at", "id"), unexpired),
        ("task", EXPORT_TASKS, ("id",), user),
        ("tool_run", EXPORT_TOOL_RUNS, ("created_at", "run_key"), unexpired),
        ("stream_batch", EXPORT_STREAM_BATCHES, ("conversation_id", "first_part"), unexpired),
        ("finished_stream", EXPORT_FINISHED_STREAMS, ("conversation_id", "turn_id"), unexpired),
    ]
    for kind, statement, order, parameters in exports:
        last_row: Any = None
        while True:
            size = SMALL_BATCH if statement in LONG_ROWS else BATCH
            position = {
                f"cursor_{column}": last_row and getattr(last_row, column) for column in order
            }
            rows = await database.run_as(
                caller, None, statement(**parameters, **position, batch_size=size)
            )
            yield b"".join(_line(kind, row.content) for row in rows)
            if len(rows) < size:
                break
            last_row = rows[-1]
    async for batch in _file_batches(database, caller, unexpired):
        yield batch


async def _file_batches(
    database: Database, caller: Caller, parameters: dict[str, Any]
) -> AsyncIterator[bytes]:
    """Yield the files: each a line, and then lines with its bytes, which need the memory of one."""
    last_id: UUID | None = None
    while True:
        files = await database.run_as(
            caller, None, EXPORT_FILES(**parameters, cursor_id=last_id, batch_size=BATCH)
        )
        for file in files:
            yield _line("file", file.content)
            for first_byte in range(0, file.size, LINE_BYTES):
                call = EXPORT_FILE_BYTES(
                    user_id=caller.user_id,
                    file_id=file.id,
                    first_byte=first_byte,
                    byte_count=LINE_BYTES,
                )
                # None, if the file was deleted meanwhile.
                for row in await database.run_as(caller, None, call):
                    yield _line("file_bytes", row.content)
        if len(files) < BATCH:
            break
        last_id = files[-1].id


def _line(kind: Kind, content: str) -> bytes:
    """Return a row as a line. The database has made its JSON, which is not parsed again."""
    return f'{{"type": "{kind}", {content.removeprefix("{")}\n'.encode()
