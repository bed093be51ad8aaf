"""The tool calls of one step, assembled from the pieces in which each provider sends them.

By the API's description a call's first piece carries an index, an id and a name, and the following
ones carry its arguments. Compatible servers leave out or repeat the index, send no ids, send the
name late or in two pieces, or send the call in one piece.
"""

import re
from dataclasses import dataclass, field
from typing import Any

from lib.answers._tool_runs import NOT_RUN, ToolRuns
from lib.answers.part_writer import PartWriter
from lib.conversations.steps import CUT, ToolCall
from lib.model.reply import CallPiece, ModelFinishReason
from lib.runtime.log import log
from lib.texts import parse_object

MAX_CALLS = 20
MAX_ARGUMENTS_CHARS = 32_768
# Providers refuse other characters in a tool's name when they read the call in a later request.
NOT_IN_A_NAME = re.compile(r"[^A-Za-z0-9_-]")
UNREADABLE = "Not run: the arguments are not a JSON object."
WITHHELD = "Not run: the provider held this call back."
TOO_MANY = f"Not run: no more than {MAX_CALLS} calls are run in one step. Call it in the next."


@dataclass(slots=True)
class _OpenCall:
    """A call that may get more pieces.

    Attributes:
        id: as the provider names it.
        name: the tool's, as far as it has come.
        arguments: the arguments' text, as far as it has come.
        is_too_long: the arguments are longer than MAX_ARGUMENTS_CHARS, and the rest is dropped.
        call: the call, once the stream shows it.
        state: must go back to the provider with the call.
    """

    id: str
    name: str = ""
    arguments: str = ""
    is_too_long: bool = False
    call: ToolCall | None = None
    state: dict[str, Any] = field(default_factory=dict[str, Any])


class CallAssembler:
    """Assembles the calls of one step, and shows them in the answer's stream."""

    def __init__(self, parts: PartWriter, runs: ToolRuns) -> None:
        """Take the writer of the stream, and the runs, which give each call an id of its own."""
        self._parts = parts
        self._runs = runs
        self._open: list[_OpenCall] = []
        self._newest_by_index: dict[int, _OpenCall] = {}

    def __bool__(self) -> bool:
        """Return whether the step has a call."""
        return bool(self._open)

    def add(self, piece: CallPiece) -> None:
        """Add a piece to its call, and show the call as soon as its tool is known."""
        call = self._newest_by_index.get(piece.index)
        if call is None or _begins_another(call, piece):
            call = self._newest_by_index[piece.index] = _OpenCall(piece.id)
            self._open.append(call)
        call.id = call.id or piece.id
        if piece.state is not None:
            call.state |= piece.state
        if piece.name not in ("", call.name) and not call.arguments:
            call.name += piece.name
        if piece.arguments:
            self._add_arguments(call, piece.arguments)

    def end(self, finish_reason: ModelFinishReason | None) -> list[ToolCall]:
        """Return the step's calls with their arguments; calls that must not run carry an error.

        Args:
            finish_reason: why the provider ended the step; None: the step was cut.
        """
        # A call without a name names no tool.
        named = [call for call in self._open if call.name]
        if len(named) < len(self._open):
            log("nameless_tool_calls", count=len(self._open) - len(named))
        calls = [self._end(call, finish_reason) for call in named]
        for call in calls[MAX_CALLS:]:
            call.error = TOO_MANY
        self._open, self._newest_by_index = [], {}
        return calls

    def _add_arguments(self, call: _OpenCall, arguments: str) -> None:
        if call.is_too_long or len(call.arguments + arguments) > MAX_ARGUMENTS_CHARS:
            call.is_too_long = True
            return
        call.arguments += arguments
        if call.call is not None:
            self._parts.add_arguments(call.call.id, arguments)
        elif call.name:
            self._show(call)

    def _show(self, call: _OpenCall) -> ToolCall:
        name = NOT_IN_A_NAME.sub("_", call.name)
        shown = call.call = self._runs.new_call(call.id, name)
        self._parts.begin_call(shown.id, name)
        if call.arguments:
            self._parts.add_arguments(shown.id, call.arguments)
        return shown

    def _end(self, open_call: _OpenCall, finish_reason: ModelFinishReason | None) -> ToolCall:
        call = open_call.call or self._show(open_call)
        # Some providers send `null`, or nothing, for a tool that takes no arguments.
        is_bare = open_call.arguments.strip() in ("", "null")
        text = "{}" if is_bare else open_call.arguments
        arguments = None if open_call.is_too_long else parse_object(text)
        call.arguments = arguments or {}
        call.state = open_call.state or None
        if finish_reason == "content_filter":
            call.error = WITHHELD
        elif arguments is None:
            is_cut = open_call.is_too_long or finish_reason in ("length", None)
            call.error = CUT if is_cut else UNREADABLE
        else:
            call.error = NOT_RUN
        self._parts.end_arguments(call)
        return call


def _begins_another(call: _OpenCall, piece: CallPiece) -> bool:
    """Return whether a piece begins a new call under the index of an open one."""
    if not piece.name:
        return False
    has_another_id = bool(piece.id and call.id and piece.id != call.id)
    return has_another_id or (bool(call.arguments) and parse_object(call.arguments) is not None)
