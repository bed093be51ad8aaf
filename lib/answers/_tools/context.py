"""What a tool works with: its caller, the database, and the answer that it shows things in."""

import asyncio
import json
import re
from bisect import bisect_right
from dataclasses import asdict
from typing import Any
from uuid import uuid4

import psycopg

from lib.answers._files.kept import KeptFiles
from lib.answers.part_writer import PartWriter
from lib.conversations.conversation import LOCK_CONVERSATION
from lib.conversations.parts import Data, File, Source, ToolCall
from lib.conversations.steps import Step, add_part
from lib.database.client import Database
from lib.database.statements import Call
from lib.http.responses import plain_json
from lib.identity.callers import Caller
from lib.problems import AnswerNotStored
from lib.runtime.log import log
from lib.texts import MAX_URL_CHARS, page_url, storable_json, storable_text
from lib.tools import ToolError
from lib.turns.tool_runs import BEGIN_TOOL_RUN
from lib.turns.turn import Turn

# Of a result, as the JSON text that the model gets.
MAX_OUTPUT_CHARS = 32_768
MAX_PROGRESS_CHARS = 8192
MAX_DATA_CHARS = 32_768
MAX_FILE_BYTES = 1_048_576
MAX_NAME_CHARS = 255
# The shortest time between two states of a call.
PROGRESS_SECONDS = 0.1
# Of one answer: how many parts its tools may show, and how much these may have in all: bytes of
# files, characters of progress and of data, which may come again and again under one id.
MAX_SHOWN_PARTS = 100
MAX_SHOWN_CHARS = 2_097_152
DATA_NAME = re.compile(r"[a-z0-9-]{1,64}")
# The stream tells the conversation's new title under this name.
RESERVED_NAMES = ("conversation", "summary")
MEDIA_TYPE = re.compile(r"[a-z0-9]+/[a-z0-9][a-z0-9.+-]{0,99}")


class AlreadyRunError(Exception):
    """An earlier attempt has run this call; that run's outcome counts."""


class Shown:
    """What the tools of one answer have shown, so that it stays bounded."""

    def __init__(self, parts: PartWriter, files: KeptFiles) -> None:
        """Take the writer of the answer, and what stores its files."""
        self._parts = parts
        self._files = files
        self._count = 0
        self._chars = 0
        self._is_full = False

    def add(self, part: Source | File | Data, tool: str) -> bool:
        """Show a part in the step that runs; return whether there was room for it."""
        has_room = self._has_room(len(_text_of(asdict(part))), tool, has_place=self._has_place)
        if has_room:
            self._count += self._parts.add(part)
        return has_room

    async def keep(
        self, media_type: str, data: bytes, filename: str | None, tool: str
    ) -> File | None:
        """Store a file, and return its part; None: there is no room for it."""
        if not self._has_room(len(data), tool, has_place=self._has_place):
            return None
        return await self._files.keep(media_type, data, filename)

    def add_progress(self, call: ToolCall, output: object) -> None:
        """Show what a running call has come to so far, if there is room for it."""
        if self._has_room(len(_text_of(output)), call.name):
            self._parts.add_progress(call, output)

    @property
    def _has_place(self) -> bool:
        return self._count < MAX_SHOWN_PARTS

    def _has_room(self, chars: int, tool: str, *, has_place: bool = True) -> bool:
        self._chars += chars
        has_room = has_place and self._chars <= MAX_SHOWN_CHARS
        if not (has_room or self._is_full):
            self._is_full = True
            log("tool_shows_too_much", tool=tool)
        return has_room


class RunContext:
    """The `ToolContext` of one run.

    Attributes:
        caller: see `ToolContext`.
        run_key: identifies the run among those of its question.
        has_begun: it is stored that the tool runs.
        shown: the parts that the tool has shown.
    """

    def __init__(
        self, database: Database, turn: Turn, call: ToolCall, run_key: str, shown: Shown
    ) -> None:
        """Take what the tool works on."""
        self.caller: Caller = turn.caller
        self.run_key = run_key
        self.has_begun = False
        self.shown = Step()
        self._all_shown = shown
        self._is_over = False
        # A state of the call that waits for its time, and the timer that it waits for.
        self._progress: list[object] = []
        self._timer: asyncio.TimerHandle | None = None
        self._database = database
        self._turn = turn
        self._call = call

    async def run(self, *calls: Call[Any]) -> Any:  # noqa: ANN401 (the protocol has the overloads)
        """See `ToolContext.run`."""
        if self.has_begun:
            return await self._database.run_as(self.caller, None, *calls)
        _, _, *rows = await self._begin_tool_run(*calls)
        return rows[0] if len(calls) == 1 else tuple(rows)

    async def read(self, call: Call[Any]) -> Any:  # noqa: ANN401 (likewise)
        """See `ToolContext.read`."""
        return await self._database.run_as(self.caller, None, call)

    async def begin(self) -> None:
        """See `ToolContext.begin`."""
        if not self.has_begun:
            await self._begin_tool_run()

    def progress(self, output: object) -> None:
        """See `ToolContext.progress`."""
        self._check()
        self._progress = [plain_output(output, MAX_PROGRESS_CHARS)]
        if self._timer is None:
            self._show_progress()

    def source(
        self,
        url: str | None = None,
        *,
        title: str | None = None,
        media_type: str | None = None,
        filename: str | None = None,
    ) -> None:
        """See `ToolContext.source`."""
        source = Source(
            id=f"source_{uuid4().hex}",
            url=None if url is None else _checked_url(url),
            title=_name(title),
            media_type=None if media_type is None else _checked_media_type(media_type),
            filename=_name(filename),
        )
        if url is None and source.title is None and source.filename is None:
            message = "a source needs a URL, a title or a filename"
            raise ValueError(message)
        self._show(source)

    def show(self, name: str, data: object, id: str | None = None) -> None:  # noqa: A002 (the SDK's)
        """See `ToolContext.show`."""
        if not DATA_NAME.fullmatch(name) or name in RESERVED_NAMES:
            message = f"a name has 1 to 64 characters a-z, 0-9 and -, and is not {RESERVED_NAMES}"
            raise ValueError(message)
        if id is not None and not 0 < len(id) <= MAX_NAME_CHARS:
            message = f"an id has 1 to {MAX_NAME_CHARS} characters"
            raise ValueError(message)
        plain = _plain(data)
        if len(_text_of(plain)) > MAX_DATA_CHARS:
            message = f"the data are longer than {MAX_DATA_CHARS} characters of JSON"
            raise ValueError(message)
        self._show(Data(name=name, data=plain, id=None if id is None else storable_text(id)))

    async def file(self, media_type: str, data: bytes, filename: str | None = None) -> None:
        """See `ToolContext.file`."""
        if len(data) > MAX_FILE_BYTES:
            message = f"the file has more than {MAX_FILE_BYTES} bytes"
            raise ValueError(message)
        self._check()
        media_type, name = _checked_media_type(media_type), _name(filename)
        if part := await self._all_shown.keep(media_type, data, name, self._call.name):
            self._show(part)

    def end(self) -> None:
        """End the run: from now on the tool shows nothing."""
        self._is_over = True
        if self._timer is not None:
            self._timer.cancel()

    def _show(self, part: Source | File | Data) -> None:
        self._check()
        if self._all_shown.add(part, self._call.name):
            add_part([self.shown], part)

    def _show_progress(self) -> None:
        """Show the newest state, and the next one no sooner than PROGRESS_SECONDS later."""
        self._timer = None
        if self._progress:
            self._all_shown.add_progress(self._call, self._progress.pop())
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(PROGRESS_SECONDS, self._show_progress)

    def _check(self) -> None:
        if self._is_over:
            message = "the call has ended: a tool shows nothing after it has returned"
            raise RuntimeError(message)

    async def _begin_tool_run(self, *calls: Call[Any]) -> tuple[list[Any], ...]:
        conversation = {
            "conversation_id": self._turn.conversation_id,
            "user_id": self.caller.user_id,
        }
        try:
            rows: tuple[list[Any], ...] = await self._database.run_as(
                self.caller,
                None,
                LOCK_CONVERSATION(**conversation),
                BEGIN_TOOL_RUN(
                    **conversation,
                    turn_id=self._turn.id,
                    question_id=self._turn.question.id,
                    run_key=self.run_key,
                    tool_call_id=self._call.id,
                    tool_name=self._call.name,
                    arguments=json.dumps(self._call.arguments),
                    now=None,
                ),
                *calls,
            )
        except psycopg.errors.IntegrityError as error:
            # begin_tool_run violates these two; others are of the tool's own statements.
            if error.diag.constraint_name == "tool_runs_pkey":
                raise AlreadyRunError from error
            if (error.diag.table_name, error.diag.column_name) == ("tool_runs", "conversation_id"):
                raise AnswerNotStored from error
            raise
        self.has_begun = True
        return rows


def plain_output(output: object, max_chars: int = MAX_OUTPUT_CHARS) -> object:
    """Return a tool's result as plain JSON, for the model and for pages.

    A result that is too long is cut once: the model, the page and history get the same text, whose
    end says so. A text is cut itself, any other JSON is cut as text.

    Args:
        output: any value that `plain_json` makes JSON of.
        max_chars: the most characters of the JSON text.

    Raises:
        ToolError: when it is no JSON; the tool's effect stays.
    """
    try:
        plain = _plain(output)
    except (TypeError, ValueError, RecursionError):
        message = "It was run, but its result cannot be shown."
        raise ToolError(message) from None
    whole = _text_of(plain)
    if len(whole) <= max_chars:
        return plain
    text = plain if isinstance(plain, str) else whole
    note = f"\n\n[Cut: the result has {len(text)} characters. Ask for less.]"
    # The JSON text of a text has quotes around it, and its line breaks and quotes escaped.
    room = max_chars - len(_text_of(note))
    kept = bisect_right(range(room + 1), room, key=lambda end: len(_text_of(text[:end])) - 2) - 1
    return text[:kept] + note


def _plain(value: object) -> object:
    """Return a value as plain JSON that Postgres can store.

    Raises:
        TypeError, ValueError, RecursionError: when it is no JSON.
    """
    return storable_json(json.loads(json.dumps(value, default=plain_json, allow_nan=False)))


def _text_of(value: object) -> str:
    """Return a value as JSON text, as the model gets it."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _checked_url(url: str) -> str:
    """Return a URL that a page may link to.

    Raises:
        ValueError: when it is none (`page_url`).
    """
    if page_url(url) is None:
        message = (
            f"a page's URL is http or https, has no user, and {MAX_URL_CHARS} characters at most"
        )
        raise ValueError(message)
    return url


def _checked_media_type(media_type: str) -> str:
    if not MEDIA_TYPE.fullmatch(media_type):
        message = "a media type is written as in image/png"
        raise ValueError(message)
    return media_type


def _name(name: str | None) -> str | None:
    """Return a title or a filename, cut to MAX_NAME_CHARS; None: it is empty."""
    return storable_text(name or "")[:MAX_NAME_CHARS] or None
