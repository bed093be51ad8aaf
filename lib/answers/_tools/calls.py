"""The tool calls of one step, assembled from the pieces in which each provider sends them.

By the API's description a call's first piece carries an index, an id and a name, and the following
ones carry its arguments. Compatible servers leave out or repeat the index, send no ids, send the
name late or in two pieces, send the call in one piece, or send it whole once more at the end.

So a call is known by its id, then by its index, then by its text. A call whose arguments are
complete cannot go on: a further piece under its id or index belongs to the same call once more,
which counts once, or to another call.
"""

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from lib.answers._tools.runs import NOT_RUN, ToolRuns
from lib.answers.part_writer import PartWriter
from lib.conversations.parts import ToolCall
from lib.conversations.steps import CUT
from lib.model.reply import CallPiece, ModelFinishReason, merged_state
from lib.runtime.log import log
from lib.texts import Characters, parse_object

MAX_CALLS = 20
MAX_ARGUMENTS_CHARS = 32_768
# Providers refuse other characters in a tool's name when they read the call in a later request.
NOT_IN_A_NAME = re.compile(r"[^A-Za-z0-9_-]")
UNREADABLE = "Not run: the arguments are not a JSON object."
WITHHELD = "Not run: the provider held this call back."
REPEATED = "Not run: this is the call above once more, under the same id."
TOO_MANY = f"Not run: no more than {MAX_CALLS} calls are run in one step. Call it in the next."


@dataclass(slots=True)
class _OpenCall:
    """A call that may get more pieces.

    Attributes:
        id: as the provider names it.
        index: under which its pieces come.
        name: the tool's, as far as it has come.
        arguments: the arguments' text, as far as it has come.
        object: the arguments, once they are a complete object.
        is_too_long: the arguments are longer than MAX_ARGUMENTS_CHARS, and the rest is dropped.
        call: the call, once the stream shows it.
        successor: holds the pieces under this call's id or index after its complete arguments:
            they are this call once more, or another one, and only all of them together tell.
        state: must go back to the provider with the call.
        characters: joins halves of characters at the ends of pieces.
    """

    id: str
    index: int
    name: str = ""
    arguments: str = ""
    object: dict[str, Any] | None = None
    is_too_long: bool = False
    call: ToolCall | None = None
    successor: "_OpenCall | None" = None
    state: dict[str, Any] | None = None
    characters: Characters = field(default_factory=Characters)

    def add(self, piece: CallPiece) -> str:
        """Add a piece, and return the addition to the arguments, in whole characters."""
        self.id = self.id or piece.id
        if piece.state is not None:
            self.state = merged_state(self.state, piece.state)
        if piece.name not in ("", self.name) and not (self.name and self.arguments):
            self.name += piece.name
        return self.add_arguments(self.characters.add(piece.arguments))

    def add_arguments(self, arguments: str) -> str:
        """Add to the arguments, and return the addition."""
        if not arguments or self.is_too_long:
            return ""
        if len(self.arguments) + len(arguments) > MAX_ARGUMENTS_CHARS:
            self.is_too_long = True
            return ""
        self.arguments += arguments
        # Only where an object can end, because this reads all of the text.
        if arguments.rstrip().endswith(("}", "null")):
            self.object = _object_in(self.arguments)
        return arguments

    def has_index(self, index: int) -> bool:
        """Return whether pieces with this index may belong to the call, or to its successor."""
        return index == self.index or (self.successor is not None and index == self.successor.index)


class CallAssembler:
    """Assembles the calls of one step, and shows them in the answer's stream."""

    def __init__(self, parts: PartWriter, runs: ToolRuns) -> None:
        """Take the writer of the stream, and the runs, which give each call an id of its own."""
        self._parts = parts
        self._runs = runs
        self._open: list[_OpenCall] = []

    def __bool__(self) -> bool:
        """Return whether the step has a call."""
        return bool(self._open)

    def add(self, piece: CallPiece) -> None:
        """Add a piece to its call, and show the call as soon as its tool is known."""
        call = self._call_of(piece)
        if call is None:
            call = _OpenCall(piece.id, piece.index)
            self._open.append(call)
        is_more = bool(piece.name or piece.arguments.strip())
        if call.object is None or not (is_more or call.successor):
            self._show(call, call.add(piece))
            return
        if call.successor is None:
            call.successor = _OpenCall(piece.id, piece.index)
        call.successor.add(piece)
        if call.successor.object is not None:
            self._end_successor(call)

    def end(self, finish_reason: ModelFinishReason | None) -> list[ToolCall]:
        """Return the step's calls with their arguments; calls that must not run carry an error.

        Args:
            finish_reason: why the provider ended the step; None: the step was cut.
        """
        for call in list(self._open):
            self._end_successor(call)
        # A call without a name names no tool.
        named = [call for call in self._open if call.name]
        if len(named) < len(self._open):
            log("nameless_tool_calls", count=len(self._open) - len(named))
        calls = [self._end(call, finish_reason) for call in named]
        _refuse_repeated(zip(named, calls, strict=True))
        for call in calls[MAX_CALLS:]:
            call.error = TOO_MANY
        self._open = []
        return calls

    def _call_of(self, piece: CallPiece) -> _OpenCall | None:
        """Return the open call that a piece goes on with, or repeats; None: it begins another."""
        of_index = [call for call in self._open if call.has_index(piece.index)]
        of_id = [call for call in self._open if piece.id and call.id == piece.id]
        if both := [call for call in of_id if call in of_index]:
            return both[-1]
        # An id under another index: the index is missing in some pieces, or the call comes once
        # more. A name in the middle of the arguments is none of these.
        if of_id and (not piece.name or of_id[-1].object is not None):
            return of_id[-1]
        if not of_index:
            return None
        newest = of_index[-1]
        has_another_id = bool(piece.id and newest.id and piece.id != newest.id)
        return None if piece.name and has_another_id else newest

    def _end_successor(self, call: _OpenCall) -> None:
        """Settle whether a call's successor is the same call once more, or another one."""
        successor, call.successor = call.successor, None
        if successor is None:
            return
        is_same_tool = successor.name in ("", call.name)
        is_unnamed = not successor.name or bool(call.id and successor.id == call.id)
        is_repeated = (
            successor.object == call.object
            if successor.object is not None
            # It was cut, or has only its beginning.
            else call.arguments.startswith(successor.arguments.strip())
        )
        if is_same_tool and is_repeated:
            call.id = call.id or successor.id
            call.state = merged_state(call.state, successor.state or {}) or None
        elif is_same_tool and is_unnamed and call.object == {}:
            # An empty object stood for arguments to come.
            call.arguments = ""
            self._show(call, call.add_arguments(successor.arguments))
        elif successor.name:
            self._open.append(successor)
            self._show(successor, successor.arguments)
        else:
            # No JSON any more, so the call is not run.
            self._show(call, call.add_arguments(successor.arguments))

    def _show(self, call: _OpenCall, added: str) -> None:
        """Show a call as soon as it has a name and arguments, and then each addition to these."""
        if call.call is None:
            if call.name and call.arguments:
                self._begin(call)
        elif added:
            self._parts.add_arguments(call.call.id, added)

    def _begin(self, call: _OpenCall) -> ToolCall:
        name = NOT_IN_A_NAME.sub("_", call.name)
        shown = call.call = self._runs.new_call(call.id, name)
        self._parts.begin_call(shown)
        if call.arguments:
            self._parts.add_arguments(shown.id, call.arguments)
        return shown

    def _end(self, open_call: _OpenCall, finish_reason: ModelFinishReason | None) -> ToolCall:
        self._show(open_call, open_call.add_arguments(open_call.characters.end()))
        call = open_call.call or self._begin(open_call)
        # Some providers send nothing for a tool that takes no arguments.
        text = open_call.arguments.strip() or "{}"
        arguments = None if open_call.is_too_long else _object_in(text)
        call.arguments = arguments or {}
        call.state = open_call.state
        if finish_reason == "content_filter":
            call.error = WITHHELD
        elif arguments is None:
            is_cut = open_call.is_too_long or finish_reason in ("length", None)
            call.error = CUT if is_cut else UNREADABLE
        else:
            call.error = NOT_RUN
        self._parts.end_arguments(call)
        return call


def _object_in(arguments: str) -> dict[str, Any] | None:
    """Return complete arguments; None: they are none. Some providers send `null` for no object."""
    return {} if arguments.strip() == "null" else parse_object(arguments)


def _refuse_repeated(calls: Iterable[tuple[_OpenCall, ToolCall]]) -> None:
    """Keep a call that came twice under one id from having its effect twice."""
    seen = set[tuple[str, str, str]]()
    for open_call, call in calls:
        key = (open_call.id, call.name, json.dumps(call.arguments, sort_keys=True))
        if open_call.id and call.error == NOT_RUN and key in seen:
            call.error = REPEATED
        seen.add(key)
