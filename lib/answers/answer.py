"""An answer in the making, and those that this process makes."""

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from uuid import UUID, uuid4

from lib.conversations.message import Message
from lib.conversations.steps import Step, ToolCall
from lib.problems import AnswerStopped, Problem
from lib.runtime.counting import note_failed_turn
from lib.streams import parts as ui_stream
from lib.streams.stream import Stream
from lib.turns.request import ChatRequest
from lib.turns.turn import Turn


class Answer:
    """An answer in the making.

    Attributes:
        turn: the turn that it is made in.
        said: the request that it answers.
        message_id: its id, as clients see it.
        has_begun: the model has said something.
        cut_reason: what the `finish_reason` is if it is cut.
        stored: becomes the stored answer, or raises the `Problem` that it ended in.
        done: is set when nothing more is done for it, and the instance may freeze.
        stream: its parts.
    """

    def __init__(self, turn: Turn, said: ChatRequest) -> None:
        """Begin with nothing said."""
        self.turn = turn
        self.said = said
        self.done = asyncio.Event()
        self.stream = Stream()
        self.message_id = str(uuid4())
        self.has_begun = False
        self.cut_reason = "timeout"
        self.stored: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        # Somebody may look how it ended; nobody has to.
        self.stored.add_done_callback(lambda stored: stored.exception())
        self._prologue = b""
        self._step = 0
        self._is_in_text = False
        self._limit: asyncio.Timeout | None = None
        self._is_cut = False

    @asynccontextmanager
    async def limited(self, cut_at: float) -> AsyncGenerator[None]:
        """Raise TimeoutError in the block when it is time to cut the answer, or `cut` is called."""
        try:
            async with asyncio.timeout_at(0 if self._is_cut else cut_at) as self._limit:
                yield
        finally:
            self._limit = None

    def cut(self, reason: str) -> None:
        """Cut the answer now; what came is stored with that `finish_reason`.

        One that the model has ended already is stored as it is; of several reasons, the first is
        its.
        """
        if self._is_cut or (self._limit is not None and self._limit.expired()):
            return
        self.cut_reason = reason
        self._is_cut = True
        if self._limit is not None:
            self._limit.reschedule(time.monotonic())

    def begin_step(self) -> None:
        """Pass on that the model is asked again, or for the first time."""
        self._ready(ui_stream.START_STEP)

    def say(self, piece: str) -> None:
        """Pass a piece of the step's text on."""
        if not self._is_in_text:
            self._is_in_text = True
            self._ready(ui_stream.text_start(self._step))
        self._send(ui_stream.text_delta(self._step, piece))

    def begin_call(self, call_id: str, name: str) -> None:
        """Pass on that the model calls a tool, whose arguments are to come."""
        self.end_text()
        self._send(ui_stream.tool_input_start(call_id, name))

    def say_arguments(self, call_id: str, piece: str) -> None:
        """Pass a piece of a call's arguments on."""
        self._send(ui_stream.tool_input_delta(call_id, piece))

    def end_arguments(self, call: ToolCall) -> None:
        """Pass on what a tool is called with."""
        self._send(ui_stream.tool_input(call))

    def tell_outcome(self, call: ToolCall) -> None:
        """Pass on what came of a call."""
        self._send(ui_stream.tool_output(call))

    def tell_step(self, step: Step) -> None:
        """Pass on a step that an earlier attempt has made; with what comes first after it."""
        self._ready(ui_stream.complete_step(self._step, step))
        self._step += 1

    def end_text(self) -> None:
        """Pass on that there is no more text in this step."""
        if self._is_in_text:
            self._is_in_text = False
            self._send(ui_stream.text_end(self._step))

    def end_step(self) -> None:
        """Pass on that the step is over; whether the answer could be stored comes later."""
        self.end_text()
        self._send(ui_stream.FINISH_STEP)
        self._step += 1

    def end(self, stored: Message, last_parts: bytes) -> None:
        """End well: the answer is stored, and this is the end of its stream."""
        self.stored.set_result(stored)
        self.stream.end(*ui_stream.split(last_parts))

    def fail(self, problem: Problem) -> None:
        """End in a problem, which is told in the stream to those who read already."""
        note_failed_turn(problem.code)
        self.stored.set_exception(problem)
        self.stream.end(ui_stream.error(problem.detail), ui_stream.DONE)

    def stop(self) -> None:
        """End as it was asked to, before there was anything to store."""
        self._send(ui_stream.ABORT)
        self.stored.set_exception(AnswerStopped())
        self.stream.end(ui_stream.DONE)

    async def wait_for_first_part(self) -> None:
        """Wait until the model says something, but no longer than a proxy does.

        Raises:
            Problem: the answer ended before it began.
        """
        await self.stream.wait_for_first_part()
        if not self.has_begun and self.stored.done():
            await self.stored

    def _ready(self, part: bytes) -> None:
        """Have a part sent with what the model says next: until then a failure is no stream."""
        self._prologue += part

    def _send(self, part: bytes) -> None:
        if not self.has_begun:
            self.has_begun = True
            self.stream.add(ui_stream.start(self.message_id, self.turn.conversation_id))
        if self._prologue:
            self.stream.add(*ui_stream.split(self._prologue))
            self._prologue = b""
        self.stream.add(part)


running_answers: "dict[UUID, Answer]" = {}
