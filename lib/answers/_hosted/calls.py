"""The tools that the provider itself runs for an answer, such as its search of the web."""

from lib.answers._tools.runs import ToolRuns
from lib.answers.part_writer import PartWriter
from lib.conversations.parts import ToolCall
from lib.conversations.steps import HOSTED_CUT
from lib.model.reply import HostedCallPiece

# Of one answer; a provider that searches without end must not fill its row.
MAX_HOSTED_CALLS = 100


class HostedCalls:
    """The provider's own calls of one answer, shown as they begin and end."""

    def __init__(self, parts: PartWriter, runs: ToolRuns) -> None:
        """Take the writer of the stream, and the runs, which give each call an id of its own."""
        self._parts = parts
        self._runs = runs
        self._open: dict[str, ToolCall] = {}
        self._count = 0

    def add(self, piece: HostedCallPiece) -> None:
        """Show that a call begins, or that it is over."""
        call = self._open.get(piece.key)
        if call is None:
            if self._count == MAX_HOSTED_CALLS:
                return
            self._count += 1
            call = self._open[piece.key] = self._begin(piece.name)
        if piece.output is not None or piece.error is not None:
            del self._open[piece.key]
            self._end(call, piece)

    def end_reply(self) -> None:
        """End the calls that are still open: their reply is over, or was cut."""
        open_calls, self._open = self._open, {}
        for call in open_calls.values():
            self._end(call, HostedCallPiece(key="", name=call.name, error=HOSTED_CUT))

    def _begin(self, name: str) -> ToolCall:
        call = self._runs.new_call("", name)
        call.is_provider_executed = True
        call.error = HOSTED_CUT
        self._parts.begin_call(call)
        return call

    def _end(self, call: ToolCall, piece: HostedCallPiece) -> None:
        call.arguments, call.output, call.error = piece.arguments, piece.output, piece.error
        self._parts.end_arguments(call)
        self._parts.add_outcome(call)
