"""The turns that `make try-model` takes: each asks the running product for one thing.

They are those that differ between providers: tools forced and free, a history with tool calls in
it, a picture, and answers that are stopped, left and read again.
"""

import base64
import json
import struct
import time
import zlib
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from uuid import uuid4

import httpx2

LONG_QUESTION = "Count from 1 to 200 in words, one number a line, and write nothing else."
PICTURE_PIXELS = 64
RED = b"\xff\0\0"


class TurnFailed(Exception):
    """A turn did not do what it was asked for; the text says why."""


@dataclass(slots=True)
class Outcome:
    """The outcome of one turn.

    Attributes:
        name: what was tried.
        failure: why it failed; '': it did not.
        remark: a fact that is no failure.
        first_token_seconds: from the request to the first text or tool call; None: there was none.
        prompt_tokens: the provider's count; None: unknown.
        completion_tokens: likewise.
    """

    name: str
    failure: str = ""
    remark: str = ""
    first_token_seconds: float | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None


class Trial:
    """Takes turns with a running product, in conversations of its own."""

    def __init__(self, base_url: str, token: str, timeout_seconds: float) -> None:
        """Take the product.

        Args:
            base_url: its address.
            token: the token of the user that has the conversations.
            timeout_seconds: the longest silence of the product; longer is a failure.
        """
        timeout = httpx2.Timeout(timeout_seconds, connect=10)
        self._client = httpx2.Client(base_url=base_url, timeout=timeout, trust_env=False)
        self._user = {"authorization": f"Bearer {token}"}
        self._chat_id, self._message_id = str(uuid4()), ""

    def run(self) -> Iterator[Outcome]:
        """Take each turn and yield its outcome; a turn that fails does not end the trial."""
        turns: list[tuple[str, Callable[[Outcome], None]]] = [
            ("text, anonymous", self._anonymous_text),
            ("text, signed in", self._text),
            ("a forced tool", self._forced_tool),
            ("a free tool", self._free_tool),
            ("a turn after it", self._next_text),
            ("another turn after it", self._next_text),
            ("an edit", self._edit),
            ("regenerate", self._regenerate),
            ("a picture", self._picture),
            ("a turn after the picture", self._next_text),
            ("a stop", self._stop),
            ("a turn after the stop", self._next_text),
            ("a resume", self._resume),
        ]
        with self._client:
            for name, take in turns:
                outcome = Outcome(name)
                try:
                    take(outcome)
                except TurnFailed as failure:
                    outcome.failure = str(failure)
                except httpx2.HTTPError as error:
                    outcome.failure = f"no answer from Parley itself: {error!r}"
                yield outcome

    def _anonymous_text(self, outcome: Outcome) -> None:
        body = self._message("Say hello in one short sentence.")
        with self._asking(body, {}) as parts:
            _read(parts, outcome)

    def _text(self, outcome: Outcome) -> None:
        self._begin_conversation()
        read = self._say("Say hello in one short sentence.", outcome)
        if not read.has_title:
            outcome.remark = "without a title, which failed or came too late (see the log)"

    def _next_text(self, outcome: Outcome) -> None:
        self._say("Which question of mine came first? Answer in one sentence.", outcome)

    def _forced_tool(self, outcome: Outcome) -> None:
        self._begin_conversation()
        read = self._say("Add a task to my list: buy milk.", outcome, tool_choice="add_task")
        _check_tool(read)

    def _free_tool(self, outcome: Outcome) -> None:
        read = self._say("Look up with your tools which tasks I have, and list them.", outcome)
        _check_tool(read)

    def _edit(self, outcome: Outcome) -> None:
        message_id = self._message_id
        body = self._message("Say goodbye in one short sentence.", message_id=message_id)
        with self._asking(body | {"messageId": message_id}, self._user) as parts:
            _read(parts, outcome)

    def _regenerate(self, outcome: Outcome) -> None:
        body: dict[str, Any] = {"id": self._chat_id, "messages": []}
        body["trigger"] = "regenerate-message"
        with self._asking(body, self._user) as parts:
            _read(parts, outcome)

    def _picture(self, outcome: Outcome) -> None:
        self._begin_conversation()
        url = f"data:image/png;base64,{base64.b64encode(red_picture()).decode()}"
        picture = {"type": "file", "mediaType": "image/png", "url": url}
        body = self._message("Which colour is this picture? Answer in one word.", picture)
        with self._asking(body, self._user) as parts:
            read = _read(parts, outcome)
        if "red" not in read.text.lower():
            outcome.remark = "the picture is red, and the answer does not say so"

    def _stop(self, outcome: Outcome) -> None:
        self._begin_conversation()
        with self._asking(self._message(LONG_QUESTION), self._user) as parts:
            _read_beginning(parts, outcome)
            stopped = self._client.delete(f"/api/chat/{self._chat_id}/stream", headers=self._user)
            if stopped.status_code != HTTPStatus.NO_CONTENT:
                raise TurnFailed(_problem(stopped))
            rest = _read(parts, outcome)
        if rest.end != "abort":
            outcome.remark = "the answer ended before it was stopped"

    def _resume(self, outcome: Outcome) -> None:
        self._begin_conversation()
        with self._asking(self._message(LONG_QUESTION), self._user) as parts:
            beginning = _read_beginning(parts, outcome)
        path = f"/api/chat/{self._chat_id}/stream"
        with self._client.stream("GET", path, headers=self._user) as response:
            if response.status_code != HTTPStatus.OK:
                response.read()
                raise TurnFailed(_problem(response))
            read = _read(_parts(response), outcome)
        if not read.text.startswith(beginning):
            message = "the stream did not begin with the text that was read before"
            raise TurnFailed(message)

    def _begin_conversation(self) -> None:
        self._chat_id = str(uuid4())

    def _say(self, text: str, outcome: Outcome, **fields: object) -> "_Read":
        with self._asking(self._message(text) | fields, self._user) as parts:
            return _read(parts, outcome)

    def _message(self, text: str, *files: object, message_id: str | None = None) -> dict[str, Any]:
        """Return the body that `useChat` sends for a message."""
        self._message_id = message_id or str(uuid4())
        content = [*files, {"type": "text", "text": text}]
        message = {"id": self._message_id, "role": "user", "parts": content}
        return {"id": self._chat_id, "messages": [message], "trigger": "submit-message"}

    @contextmanager
    def _asking(
        self, body: dict[str, Any], headers: dict[str, str]
    ) -> Generator[Iterator["_TimedPart"]]:
        """Send a message, and yield the parts of its answer; the end of the block leaves it.

        Raises:
            TurnFailed: when the message is refused, in the words of the problem.
        """
        started = time.monotonic()
        with self._client.stream("POST", "/api/chat", json=body, headers=headers) as response:
            if response.status_code != HTTPStatus.OK:
                response.read()
                raise TurnFailed(_problem(response))
            yield _parts(response, started)


@dataclass(frozen=True, slots=True)
class _TimedPart:
    """A part of a UI message stream; its seconds since the request, or None for a resumed one."""

    content: dict[str, Any]
    seconds: float | None

    @property
    def type(self) -> str:
        """The part's type."""
        return self.content["type"]


@dataclass(slots=True)
class _Read:
    """An answer as its stream told it: its text, its end, and the outcomes of its tools."""

    text: str = ""
    end: str = ""
    has_title: bool = False
    tool_outputs: int = 0
    tool_error: str = ""


def _parts(response: httpx2.Response, started: float | None = None) -> Iterator[_TimedPart]:
    for line in response.iter_lines():
        if line.startswith("data: {"):
            seconds = None if started is None else time.monotonic() - started
            yield _TimedPart(json.loads(line.removeprefix("data: ")), seconds)


def _read(parts: Iterator[_TimedPart], outcome: Outcome) -> _Read:
    """Read a stream to its end.

    Raises:
        TurnFailed: when it ends with an error, or without an end, or has neither text nor call.
    """
    read = _Read()
    for part in parts:
        _note_first_token(part, outcome)
        match part.type:
            case "text-delta":
                read.text += part.content["delta"]
            case "data-conversation":
                read.has_title = True
            case "tool-output-available":
                read.tool_outputs += 1
            case "tool-output-error" | "tool-input-error":
                read.tool_error = part.content["errorText"]
            case "error":
                raise TurnFailed(part.content["errorText"])
            case "finish" | "abort":
                read.end = part.type
                metadata: dict[str, Any] = part.content.get("messageMetadata") or {}
                outcome.prompt_tokens = metadata.get("prompt_tokens")
                outcome.completion_tokens = metadata.get("completion_tokens")
            case _:
                pass
    if not read.end:
        message = "the stream broke off"
        raise TurnFailed(message)
    if read.end == "finish" and not (read.text.strip() or read.tool_outputs or read.tool_error):
        message = "the answer has no text"
        raise TurnFailed(message)
    return read


def _read_beginning(parts: Iterator[_TimedPart], outcome: Outcome) -> str:
    """Read a stream up to its first text, and return that.

    Raises:
        TurnFailed: when the stream ends before.
    """
    for part in parts:
        _note_first_token(part, outcome)
        if part.type == "text-delta":
            return part.content["delta"]
        if part.type == "error":
            raise TurnFailed(part.content["errorText"])
    message = "the answer has no text"
    raise TurnFailed(message)


def _note_first_token(part: _TimedPart, outcome: Outcome) -> None:
    if outcome.first_token_seconds is None and part.type in {"text-delta", "tool-input-start"}:
        outcome.first_token_seconds = part.seconds


def _check_tool(read: _Read) -> None:
    """Check that a tool was run.

    Raises:
        TurnFailed: when the model called none, or not as the tool wants.
    """
    if not read.tool_outputs:
        raise TurnFailed(read.tool_error or "the model answered without calling a tool")


def _problem(response: httpx2.Response) -> str:
    """Return a refusal in the words of its problem."""
    try:
        problem: dict[str, Any] = response.json()
        return f"{problem['detail']} ({problem['code']})"
    except (ValueError, KeyError, TypeError):
        return f"HTTP status {response.status_code}"


def red_picture() -> bytes:
    """Return a small red picture as PNG (W3C, Portable Network Graphics)."""

    def chunk(name: bytes, content: bytes) -> bytes:
        checksum = zlib.crc32(name + content)
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", checksum)

    # 8 bits for each of red, green and blue; each row begins with its filter, which is none.
    header = struct.pack(">IIBBBBB", PICTURE_PIXELS, PICTURE_PIXELS, 8, 2, 0, 0, 0)
    rows = (b"\0" + RED * PICTURE_PIXELS) * PICTURE_PIXELS
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )
