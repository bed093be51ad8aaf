"""The export: all data of one user, as JSON lines, in one response or in several.

The rows of a kind come in the order of columns that never change, and a cursor is the place of the
last row that was sent. So a row that is there from the first request to the last one is exported
once, whatever is added or deleted in between. A row that is added meanwhile is exported, unless its
place was passed.
"""

import asyncio
import json
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from starlette.types import Receive, Scope, Send

from lib.database.client import Database
from lib.database.statements import Statement
from lib.http.cursors import Column, read_signed_cursor, signed_cursor
from lib.identity.callers import Caller
from lib.identity.clients import hashed
from lib.problems import InvalidRequest, Problem
from lib.runtime.log import log
from lib.runtime.trace import trace
from lib.settings import settings

# The rows of the first batch of each kind, and the most of a later one.
BATCH = 200
MAX_BATCH = 2000
# The bytes of a batch. A batch of a slow reader is small, so that the export ends in time with a
# cursor; one of a fast reader is large, because each costs a round trip.
FIRST_BYTES, MIN_BYTES, MAX_BYTES = 256 * 1024, 32 * 1024, 1536 * 1024
QUICK_SECONDS, SLOW_SECONDS = 0.5, 2.0
# A line with a cursor follows so many bytes: what a reader gets twice, whose connection broke.
CURSOR_BYTES = 2 * 1024 * 1024
# The `type` of each line, but for `cursor`, and `end` of the last one.
type Kind = Literal[
    "user",
    "quota",
    "known_network",
    "user_settings",
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

    kind: Literal["user", "quota", "known_network", "user_settings"]
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

    byte_count: int
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


@dataclass(frozen=True, slots=True)
class Section:
    """The rows of one kind.

    Attributes:
        statement: reads a batch of them.
        order: the columns of their order, with the types that a cursor has of them.
        are_long: one may hold megabytes, so the statement ends a batch by its bytes.
        most: rows of a batch.
    """

    statement: Statement[Any]
    order: dict[str, type[Column]]
    are_long: bool = False
    most: int = MAX_BATCH


SECTIONS: dict[Kind, Section] = {
    "conversation": Section(EXPORT_CONVERSATIONS, {"id": UUID}),
    "message": Section(EXPORT_MESSAGES, {"created_at": datetime, "id": int}, are_long=True),
    "task": Section(EXPORT_TASKS, {"id": str}),
    "tool_run": Section(EXPORT_TOOL_RUNS, {"created_at": datetime, "run_key": str}, most=BATCH),
    "stream_batch": Section(
        EXPORT_STREAM_BATCHES, {"conversation_id": UUID, "first_part": int}, most=BATCH
    ),
    "finished_stream": Section(
        EXPORT_FINISHED_STREAMS, {"conversation_id": UUID, "turn_id": UUID}, are_long=True
    ),
    "file": Section(EXPORT_FILES, {"id": UUID}, most=BATCH),
}
# A place within a file: its id, and the first of its bytes that were not sent.
IN_FILE = (UUID, int)
# A place before the first row of a kind has no columns.
PLACES: dict[str, tuple[tuple[type[Column], ...], ...]] = {
    "file_bytes": (IN_FILE,),
    **{kind: ((), tuple(section.order.values())) for kind, section in SECTIONS.items()},
}


@dataclass(frozen=True, slots=True)
class Place:
    """The place of an export: behind a row of a kind, or before the first one."""

    kind: Kind
    row: tuple[Column, ...] = ()


@dataclass(frozen=True, slots=True)
class Batch:
    """Some lines, and the place behind them; None: they are the last ones."""

    lines: bytes
    next_place: Place | None


class Pace:
    """The size of the next batch: it grows while batches are read and sent quickly."""

    def __init__(self) -> None:
        """Start with small batches."""
        self.bytes = FIRST_BYTES

    def adapt(self, seconds: float) -> None:
        """Take the time that the reading or the sending of the last batch took."""
        if seconds < QUICK_SECONDS:
            self.bytes = min(2 * self.bytes, MAX_BYTES)
        elif seconds > SLOW_SECONDS:
            self.bytes = max(self.bytes // 2, MIN_BYTES)


async def export_everything(database: Database, caller: Caller, cursor: str | None) -> "Export":
    """Return the response that streams all data of a user, as one JSON object a line.

    Each line has a `type` (see `Kind`) and the columns of a row. A line `{"type": "cursor",
    "cursor"}` comes every few megabytes: an export whose connection broke goes on from there. The
    last line is `{"type": "end", "complete": true}`, or has `complete` false and the cursor of the
    rest, because the function's time is over or a problem has come. One round trip a batch.

    Args:
        database: the database.
        caller: the user.
        cursor: of an earlier export of this user; None: from the beginning.

    Raises:
        InvalidRequest: when the cursor is none of this user's.
        Problem: see `Database.run_as`; a problem after the first batch becomes the last line.
    """
    reading = _Reading(database, caller)
    batches = reading.batches_from(None if cursor is None else _place(cursor, caller))
    # The first batch is read before the status is sent, so that an account that is switched off
    # gets a 403.
    return Export(await anext(batches), batches, reading.pace, caller)


class Export:
    """The response. It reads the next batch while it sends one, so it needs the memory of two."""

    def __init__(
        self, first: Batch, later: AsyncGenerator[Batch], pace: Pace, caller: Caller
    ) -> None:
        """Take the first batch, those that are still to be read, and what their size goes by."""
        self._first = first
        self._later = later
        self._pace = pace
        self._caller = caller
        # Of the last batch.
        self._seconds = 0.0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send batches while the reader is there and time is left, and then the last line."""
        del scope
        headers = {
            "content-type": "application/x-ndjson; charset=utf-8",
            "content-disposition": 'attachment; filename="export.jsonl"',
            "cache-control": "no-store",
        }
        raw = [(name.encode(), value.encode()) for name, value in headers.items()]
        await send({"type": "http.response.start", "status": 200, "headers": raw})
        leaving = asyncio.create_task(_left(receive))
        try:
            async with aclosing(self._later):
                end = await self._send_batches(send, leaving)
        finally:
            leaving.cancel()
        await send({"type": "http.response.body", "body": _json_line(end)})

    async def _send_batches(self, send: Send, leaving: asyncio.Task[None]) -> dict[str, Any]:
        """Send batches; return the last line."""
        batch, bytes_since_cursor = self._first, 0
        while True:
            started_at = time.monotonic()
            is_last = batch.next_place is None or leaving.done() or not self._has_time(started_at)
            reading = None if is_last else asyncio.create_task(anext(self._later))
            try:
                bytes_since_cursor += len(batch.lines)
                lines = batch.lines
                if reading is not None and bytes_since_cursor >= CURSOR_BYTES:
                    lines += _json_line({"type": "cursor", "cursor": self._cursor(batch)})
                    bytes_since_cursor = 0
                await send({"type": "http.response.body", "body": lines, "more_body": True})
                if reading is None:
                    return self._end(batch)
                next_batch = await reading
            except Exception as error:  # noqa: BLE001 (the status is sent, so this is the last resort)
                problem = error if isinstance(error, Problem) else Problem()
                trace().code = problem.code
                log("export_failed", error=error, code=problem.code)
                return self._end(batch) | {"code": problem.code, "detail": problem.detail}
            finally:
                if reading is not None and not reading.done():
                    reading.cancel()
                    await asyncio.wait([reading])
            self._seconds = time.monotonic() - started_at
            self._pace.adapt(self._seconds)
            batch = next_batch

    def _has_time(self, now: float) -> bool:
        """Tell whether there is time for another batch, though it takes twice that of the last."""
        return now + 2 * self._seconds < trace().deadline.cut_at

    def _end(self, batch: Batch) -> dict[str, Any]:
        if batch.next_place is None:
            return {"type": "end", "complete": True}
        return {"type": "end", "complete": False, "cursor": self._cursor(batch)}

    def _cursor(self, batch: Batch) -> str:
        assert batch.next_place is not None
        place = batch.next_place
        return signed_cursor("export", self._caller.user_id or "", place.kind, *place.row)


class _Reading:
    """Reads the rows of one user, kind by kind."""

    def __init__(self, database: Database, caller: Caller) -> None:
        self._database = database
        self._caller = caller
        self._user = {"user_id": caller.user_id}
        self._unexpired = self._user | {"retention_days": settings().retention_days, "now": None}
        self.pace = Pace()

    async def batches_from(self, place: Place | None) -> AsyncGenerator[Batch]:
        """Yield batches, the first one even if it is empty; None: from the profile on."""
        kinds = list(SECTIONS)
        if place is None:
            place = Place(kinds[0])
            yield Batch(await self._profile(), place)
        if place.kind == "file_bytes":
            file_id, first_byte = place.row
            assert isinstance(file_id, UUID)
            assert isinstance(first_byte, int)
            async for batch in self._bytes_of(file_id, first_byte):
                yield batch
            place = Place("file", (file_id,))
        row = place.row
        for kind in kinds[kinds.index(place.kind) :]:
            async for batch in self._rows(kind, row):
                yield batch
            row = ()
        yield Batch(b"", None)

    async def _profile(self) -> bytes:
        call = EXPORT_PROFILE(
            **self._user, quota_subject=hashed("user", self._caller.user_id or ""), now=None
        )
        rows = await self._database.run_as(self._caller, None, call)
        return b"".join(_line(row.kind, row.content) for row in rows)

    async def _rows(self, kind: Kind, row: tuple[Column, ...]) -> AsyncGenerator[Batch]:
        """Yield batches of the rows of a kind that stand behind a row; (): of all of them."""
        section = SECTIONS[kind]
        parameters = self._user if kind == "task" else self._unexpired
        count = BATCH
        while True:
            max_bytes = self.pace.bytes
            limits = {"batch_size": count} | ({"max_bytes": max_bytes} if section.are_long else {})
            place = dict.fromkeys(section.order) | dict(zip(section.order, row, strict=False))
            call = section.statement(
                **parameters,
                **{f"cursor_{column}": value for column, value in place.items()},
                **limits,
            )
            rows = await self._database.run_as(self._caller, None, call)
            lines = [_line(kind, each.content) for each in rows]
            byte_count = sum(map(len, lines))
            is_last = len(rows) < count and not (section.are_long and byte_count >= max_bytes)
            if rows:
                row = tuple(getattr(rows[-1], column) for column in section.order)
            if kind == "file":
                for line, file in zip(lines, rows, strict=True):
                    yield Batch(line, Place("file_bytes", (file.id, 0)))
                    async for batch in self._bytes_of(file.id, 0):
                        yield batch
            elif rows:
                # Behind the last one not another look, or an account that is written to all the
                # time would have an export without an end.
                yield Batch(b"".join(lines), _next_kind(kind) if is_last else Place(kind, row))
            if is_last:
                return
            # As many as the bytes allow, by the average of the last ones.
            count = max(1, min(section.most, self.pace.bytes * len(rows) // max(byte_count, 1)))

    async def _bytes_of(self, file_id: UUID, first_byte: int) -> AsyncGenerator[Batch]:
        """Yield the bytes of a file from one on, in lines; none, if it was deleted meanwhile."""
        while True:
            # A multiple of 3, so that the lines of a file join to one text in base64.
            wanted = self.pace.bytes // 4 * 3
            call = EXPORT_FILE_BYTES(
                **self._user, file_id=file_id, first_byte=first_byte, byte_count=wanted
            )
            rows = await self._database.run_as(self._caller, None, call)
            if not rows or not rows[0].byte_count:
                return
            first_byte += rows[0].byte_count
            yield Batch(
                _line("file_bytes", rows[0].content), Place("file_bytes", (file_id, first_byte))
            )
            if rows[0].byte_count < wanted:
                return


def _next_kind(kind: Kind) -> Place:
    kinds = list(SECTIONS)
    return Place(kinds[kinds.index(kind) + 1])


def _place(cursor: str, caller: Caller) -> Place:
    """Read a cursor.

    Raises:
        InvalidRequest: when it is none of this caller's.
    """
    try:
        kind, *row = read_signed_cursor("export", caller.user_id or "", cursor, PLACES)
    except ValueError as error:
        errors = [{"field": "cursor", "detail": str(error)}]
        raise InvalidRequest(errors=errors) from error
    return Place(kind, tuple(row))


async def _left(receive: Receive) -> None:
    """Wait until the reader has gone."""
    while (await receive())["type"] != "http.disconnect":
        pass


def _line(kind: Kind, content: str) -> bytes:
    """Return a row as a line. The database has made its JSON, which is not parsed again."""
    return f'{{"type": "{kind}", {content.removeprefix("{")}\n'.encode()


def _json_line(content: dict[str, Any]) -> bytes:
    return json.dumps(content).encode() + b"\n"
