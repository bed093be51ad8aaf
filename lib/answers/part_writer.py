"""The parts of an answer in the making, written into its stream as the AI SDK reads them."""

import asyncio

from lib.conversations.steps import Step, ToolCall
from lib.streams import parts as ui_stream
from lib.streams.stream import Stream


class PartWriter:
    """Writes the parts of one answer: numbers its steps, opens and closes their texts.

    Parts without content (`start`, `start-step`, `text-start`) wait for the next part with content:
    while the stream has no part, a failure is a response of its own instead of a broken stream.

    Attributes:
        text_begun: set when the first text of the answer is written.
    """

    def __init__(self, stream: Stream, opening: bytes) -> None:
        """Take a stream that has no parts, and the part that begins it."""
        self._stream = stream
        self.text_begun = asyncio.Event()
        self._waiting = opening
        self._step = 0
        self._is_in_text = False

    def begin_step(self) -> None:
        """Begin a step: the model is asked."""
        self._waiting += ui_stream.START_STEP

    def add_text(self, piece: str) -> None:
        """Write a piece of the step's text."""
        if not self._is_in_text:
            self._is_in_text = True
            self.text_begun.set()
            self._waiting += ui_stream.text_start(self._step)
        self._write(ui_stream.text_delta(self._step, piece))

    def begin_call(self, call_id: str, name: str) -> None:
        """Begin a tool call, whose arguments follow."""
        self._end_text()
        self._write(ui_stream.tool_input_start(call_id, name))

    def add_arguments(self, call_id: str, piece: str) -> None:
        """Write a piece of a call's arguments."""
        self._write(ui_stream.tool_input_delta(call_id, piece))

    def end_arguments(self, call: ToolCall) -> None:
        """Write a call's complete arguments."""
        self._write(ui_stream.tool_input(call))

    def add_outcome(self, call: ToolCall) -> None:
        """Write a call's output or error."""
        self._write(ui_stream.tool_output(call))

    def add_step(self, step: Step) -> None:
        """Write a complete step of an earlier attempt, as soon as the model adds to it."""
        self._waiting += ui_stream.complete_step(self._step, step)
        self._step += 1

    def end_step(self) -> None:
        """End the step. Whether the answer could be stored is not known yet."""
        self._end_text()
        self._write(ui_stream.FINISH_STEP)
        self._step += 1

    def abort(self) -> None:
        """Write that the answer was stopped."""
        self._write(ui_stream.ABORT)

    def _end_text(self) -> None:
        if self._is_in_text:
            self._is_in_text = False
            self._write(ui_stream.text_end(self._step))

    def _write(self, part: bytes) -> None:
        # Each token comes through here.
        if self._waiting:
            self._stream.add(*ui_stream.split(self._waiting))
            self._waiting = b""
        self._stream.add(part)
