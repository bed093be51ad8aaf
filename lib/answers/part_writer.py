"""The parts of an answer in the making: kept as steps, and written into its stream."""

import asyncio
import time
from itertools import count

from lib.conversations.parts import Data, File, Reasoning, Source, Text, ToolCall, citations_in
from lib.conversations.steps import SEPARATOR, Step, add_part
from lib.conversations.ui_parts import whole_part
from lib.settings import settings
from lib.streams import parts as ui_stream
from lib.streams.stream import Stream


class PartWriter:
    """Writes the parts of one answer, as the AI SDK reads them, and keeps them in their order.

    Events without content (`start`, `start-step`, `text-start`) wait for the next one with content:
    while the stream has no event, a failure is a response of its own instead of a broken stream.

    REASONING decides about thoughts: `show` writes and keeps them, `store` keeps them, `hide`
    forgets them. So the stored batches of a stream never have a thought that its readers may not
    see, and an answer that is recovered from them has lost the thoughts that are only stored.

    Attributes:
        steps: the steps so far. A text or a thought that is still open is empty until it ends.
        has_thought: the model has thought, whether or not the thought is kept.
        is_in_step: a step has begun, and has not ended.
        text_begun: set when the first text of the answer is written.
    """

    def __init__(self, stream: Stream, opening: bytes) -> None:
        """Take a stream that has no events, and the event that begins it."""
        self.steps: list[Step] = []
        self.is_in_step = False
        self.has_thought = False
        self._thinking_seconds: float | None = None
        self._thinking_since: float | None = None
        self.text_begun = asyncio.Event()
        self._stream = stream
        self._waiting: bytes = opening
        self._blocks = count()
        self._reasoning = settings().reasoning
        # The text or the thought that is open, its number, and its pieces.
        self._open: Text | Reasoning | None = None
        self._block = 0
        self._pieces: list[str] = []
        # Of the answer's whole text; and of the texts of this step, where each begins in the text
        # of the step's reply, and in the answer's.
        self._chars = 0
        self._starts: list[tuple[int, int]] = []

    @property
    def is_in_text(self) -> bool:
        """A text is open."""
        return isinstance(self._open, Text)

    @property
    def reasoning_seconds(self) -> float | None:
        """How long the model has thought, with one decimal; None: it has not.

        A thought lasts from its first piece to the next part, or to the end of the step.
        """
        return None if self._thinking_seconds is None else round(self._thinking_seconds, 1)

    def begin_step(self) -> Step:
        """Begin a step: the model is asked."""
        step = Step()
        self.steps.append(step)
        self.is_in_step = True
        self._starts = []
        self._waiting += ui_stream.START_STEP
        return step

    def take_back_step(self) -> None:
        """Take back the beginning of a step that shows no part: neither stream nor history has it.

        useChat shows the beginning of a step with its first part, so pages would differ. A thought
        that is stored and not shown stays. If a thought is all that the model has sent, and it is
        not shown, the stream keeps the beginning, because such an answer is stored.
        """
        is_bare = self.has_thought and not self._stream.parts
        if self._waiting.endswith(ui_stream.START_STEP) and not is_bare:
            self._waiting = self._waiting.removesuffix(ui_stream.START_STEP)
            self.is_in_step = False
            self.end_block()
            if not self.steps[-1].parts:
                self.steps.pop()

    def add_text(self, piece: str) -> None:
        """Write a piece of a text, which goes on until another part begins."""
        if self._thinking_since is not None:
            self._end_thinking(self._thinking_since)
        if not isinstance(self._open, Text):
            self._begin_text()
            self._waiting += ui_stream.text_start(self._block)
        self._pieces.append(piece)
        self._write(ui_stream.text_delta(self._block, piece))

    def add_reasoning(self, piece: str) -> None:
        """Write a piece of a thought, which goes on until another part begins."""
        is_shown = self._reasoning == "show"
        if self._reasoning != "hide":
            if not isinstance(self._open, Reasoning):
                self._begin(Reasoning(""))
                if is_shown:
                    self._block = next(self._blocks)
                    self._waiting += ui_stream.reasoning_start(self._block)
            self._pieces.append(piece)
        if is_shown:
            self._write(ui_stream.reasoning_delta(self._block, piece))
        if self._thinking_since is None:
            self._thinking_since = time.monotonic()
            self.has_thought = True

    def begin_call(self, call: ToolCall) -> None:
        """Begin a tool call, whose arguments follow."""
        self.end_block()
        self.steps[-1].parts.append(call)
        self._write(ui_stream.tool_input_start(call))

    def add_arguments(self, call_id: str, piece: str) -> None:
        """Write a piece of a call's arguments."""
        self._write(ui_stream.tool_input_delta(call_id, piece))

    def end_arguments(self, call: ToolCall) -> None:
        """Write a call's complete arguments."""
        self._write(ui_stream.tool_input(call))

    def add_progress(self, call: ToolCall, output: object) -> None:
        """Write what a running call has come to so far; it is not kept."""
        self._write(ui_stream.tool_progress(call.id, output))

    def add_outcome(self, call: ToolCall) -> None:
        """Write a call's output or error."""
        self._write(ui_stream.tool_output(call))

    def add(self, part: Source | File | Data) -> bool:
        """Write a part that comes in one piece. A text that is open goes on after it.

        Data with the name and the id of earlier data takes its place.

        Returns:
            Whether the answer has one part more.
        """
        is_new = add_part(self.steps, part)
        is_bare = self._waiting.endswith(ui_stream.START_STEP)
        if not is_new and is_bare:
            # It stands in an earlier step: this one still shows nothing, and its beginning waits.
            self._waiting = self._waiting.removesuffix(ui_stream.START_STEP)
        self._write(ui_stream.part(whole_part(part)))
        if not is_new and is_bare:
            self._waiting = ui_stream.START_STEP
        return is_new

    @property
    def has_text_in_step(self) -> bool:
        """The step has a text, or one is open."""
        return bool(self._starts)

    def place_in_answer(self, place: int) -> int:
        """Return a place in the text of this step's reply as a place in the answer's whole text.

        The two differ: the reply's text is one, the answer's has SEPARATOR between its texts. Both
        places are in characters. The step must have a text.
        """
        started = (each for each in reversed(self._starts) if each[0] <= place)
        start_in_reply, start = next(started)
        return start + place - start_in_reply

    def new_source_id(self) -> str:
        """Return an id that no source of the answer has."""
        parts = (part for step in self.steps for part in step.parts)
        return f"source-{sum(isinstance(part, Source) for part in parts) + 1}"

    def add_step(self, step: Step) -> None:
        """Write a complete step of an earlier attempt, which has no text, as soon as the model adds
        to it.
        """
        self.steps.append(step)
        self._waiting += ui_stream.complete_step(step, self._blocks)

    def end_block(self) -> None:
        """End the text or the thought that is open, if one is."""
        if self._thinking_since is not None:
            self._end_thinking(self._thinking_since)
        if self._open is None:
            return
        block, self._open = self._open, None
        block.text = "".join(self._pieces)
        if isinstance(block, Text):
            _, start = self._starts[-1]
            self._chars = start + len(block.text)
            sources = (each for each in self.steps[-1].parts if isinstance(each, Source))
            block.citations = citations_in(block.text, start, sources)
            self._write(ui_stream.text_end(self._block, block))
        elif self._reasoning == "show":
            self._write(ui_stream.reasoning_end(self._block))

    def end_step(self) -> None:
        """End the step, if one is open. Whether the answer could be stored is not known yet."""
        if self.is_in_step and self._stream.parts and not self.steps[-1].parts:
            self.take_back_step()
        if self.is_in_step:
            self.is_in_step = False
            self.end_block()
            self._write(ui_stream.FINISH_STEP)

    def abort(self) -> None:
        """Write that the answer was stopped."""
        self._write(ui_stream.ABORT)

    def _begin_text(self) -> None:
        self._begin(Text(""))
        self._block = next(self._blocks)
        start = self._chars + (len(SEPARATOR) if self._chars else 0)
        earlier = [part.text for part in self.steps[-1].parts if isinstance(part, Text)]
        self._starts.append((sum(map(len, earlier)), start))
        self.text_begun.set()

    def _end_thinking(self, since: float) -> None:
        seconds = time.monotonic() - since
        self._thinking_seconds = (self._thinking_seconds or 0.0) + seconds
        self._thinking_since = None

    def _begin(self, block: Text | Reasoning) -> None:
        self.end_block()
        self.steps[-1].parts.append(block)
        self._open, self._pieces = block, []

    def _write(self, part: bytes) -> None:
        # Each token comes through here.
        if self._waiting:
            self._stream.add(*ui_stream.split(self._waiting))
            self._waiting = b""
        self._stream.add(part)
