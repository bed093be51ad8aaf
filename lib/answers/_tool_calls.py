"""The tool calls of one step as they come, in pieces, and in as many forms as there are providers.

The API's description has an index, an id and a name in a call's first piece, and arguments in
those that follow. Servers that call themselves compatible leave out or repeat the index, send no
ids, send the name late or in two pieces, or all of it at once.
"""

import re
from dataclasses import dataclass

from lib.answers._tool_runs import NOT_RUN, ToolRuns
from lib.answers.answer import Answer
from lib.conversations.steps import CUT, ToolCall
from lib.model.reply import CallPiece
from lib.runtime.log import log
from lib.texts import parse_object

MAX_CALLS = 20
MAX_ARGUMENTS_CHARS = 32_768
# What providers take for a tool's name when they are told of it again.
NOT_IN_A_NAME = re.compile(r"[^A-Za-z0-9_-]")
UNREADABLE = "Not run: the arguments are not a JSON object."
WITHHELD = "Not run: the provider held this call back."
TOO_MANY = f"Not run: no more than {MAX_CALLS} calls are run in one step. Call it in the next."


@dataclass(slots=True)
class _Heard:
    """A call of which more may come.

    Attributes:
        id: as the provider names it.
        name: the tool's, as far as it has come.
        arguments: the arguments' text, likewise.
        is_too_long: there was more of that than is kept.
        call: the call, as soon as the page is told of it.
    """

    id: str
    name: str = ""
    arguments: str = ""
    is_too_long: bool = False
    call: ToolCall | None = None


class HeardCalls:
    """The calls of one step."""

    def __init__(self, answer: "Answer", runs: ToolRuns) -> None:
        """Begin with none."""
        self._answer = answer
        self._runs = runs
        self._heard: list[_Heard] = []
        self._newest: dict[int, _Heard] = {}

    def __bool__(self) -> bool:
        """Tell whether there is any."""
        return bool(self._heard)

    def hear(self, piece: CallPiece) -> None:
        """Keep a piece, and pass it on to the page as soon as it is known which tool is called."""
        heard = self._newest.get(piece.index)
        if heard is None or _begins_another(heard, piece):
            heard = self._newest[piece.index] = _Heard(piece.id)
            self._heard.append(heard)
        heard.id = heard.id or piece.id
        if piece.name not in ("", heard.name) and not heard.arguments:
            heard.name += piece.name
        if not piece.arguments:
            return
        if heard.is_too_long or len(heard.arguments + piece.arguments) > MAX_ARGUMENTS_CHARS:
            heard.is_too_long = True
            return
        heard.arguments += piece.arguments
        if heard.call is not None:
            self._answer.say_arguments(heard.call.id, piece.arguments)
        elif heard.name:
            self._tell(heard)

    def end(self, finish_reason: str | None) -> list[ToolCall]:
        """Return the calls, their arguments read; those that must not be run have their error.

        Args:
            finish_reason: why the provider ended the step; None: it did not.
        """
        # One without a name is none; what its provider meant nobody can tell.
        named = [heard for heard in self._heard if heard.name]
        if len(named) < len(self._heard):
            log("nameless_tool_calls", count=len(self._heard) - len(named))
        calls = [self._end(heard, finish_reason) for heard in named]
        for call in calls[MAX_CALLS:]:
            call.error = TOO_MANY
        self._heard, self._newest = [], {}
        return calls

    def _tell(self, heard: _Heard) -> ToolCall:
        name = NOT_IN_A_NAME.sub("_", heard.name)
        heard.call = self._runs.call(heard.id, name, {})
        self._answer.begin_call(heard.call.id, name)
        if heard.arguments:
            self._answer.say_arguments(heard.call.id, heard.arguments)
        return heard.call

    def _end(self, heard: _Heard, finish_reason: str | None) -> ToolCall:
        call = heard.call or self._tell(heard)
        # Some send that, or nothing, for a tool that takes nothing.
        given = "{}" if heard.arguments.strip() in ("", "null") else heard.arguments
        arguments = None if heard.is_too_long else parse_object(given)
        call.arguments = arguments or {}
        if finish_reason == "content_filter":
            call.error = WITHHELD
        elif arguments is None:
            is_cut = heard.is_too_long or finish_reason in ("length", None)
            call.error = CUT if is_cut else UNREADABLE
        else:
            call.error = NOT_RUN
        self._answer.end_arguments(call)
        return call


def _begins_another(heard: _Heard, piece: CallPiece) -> bool:
    """Tell whether a piece is of another call than the last one with its index."""
    if not piece.name:
        return False
    has_another_id = bool(piece.id and heard.id and piece.id != heard.id)
    return has_another_id or (bool(heard.arguments) and parse_object(heard.arguments) is not None)
