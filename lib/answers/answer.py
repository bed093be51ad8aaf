"""An answer in the making, and the answers that this process makes."""

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Literal
from uuid import UUID, uuid4

from lib.answers.part_writer import PartWriter
from lib.conversations.message import Message
from lib.problems import AnswerStopped, Problem
from lib.runtime.counting import note_failed_turn
from lib.streams import parts as ui_stream
from lib.streams.stream import Stream
from lib.turns.request import ChatRequest
from lib.turns.turn import Turn

AnswerState = Literal["preparing", "streaming", "ended", "stopped", "broken", "failed"]
# The states that may follow each state.
NEXT_STATES: dict[AnswerState, tuple[AnswerState, ...]] = {
    "preparing": ("streaming", "failed"),
    "streaming": ("ended", "stopped", "broken"),
    "ended": (),
    "stopped": (),
    "broken": (),
    "failed": (),
}
# Why an answer is cut: at its deadline, by its user, because the turn is another attempt's, or
# because the process ends.
CutReason = Literal["timeout", "aborted", "lost", "interrupted"]


class AnswerCutError(Exception):
    """The answer was cut before the model had ended it.

    Attributes:
        reason: why.
    """

    def __init__(self, reason: CutReason) -> None:
        """Take the reason."""
        super().__init__(f"the answer was cut: {reason}")
        self.reason: CutReason = reason


class Answer:
    """The life cycle of one answer in the making.

        preparing ──first part──▶ streaming ──▶ ended      stored; the stream says how it ended
            │                         ├───────▶ stopped    stopped before there was text to store
            │                         └───────▶ broken     failed; the stream ends with an error
            └─────────────────────────────────▶ failed     failed; the response is the problem

    A cut is no state: it only ends the wait for the model (see `limited`). The parts that the model
    had sent by then are stored, and the answer ends in one of the states above.

    Attributes:
        turn: the turn that the answer is made in.
        messages: those that the model gets: the turn's, or fewer if they are too long for it.
        past: what stands before them.
        beside_tokens: an estimate of the prompt without them: instructions, tools, the summary.
        is_nearly_too_long: the last request was nearly as long as one that was refused for it.
        request: the request that it answers.
        message_id: the answer's id, as clients see it.
        stream: the parts of the answer.
        parts: writes them.
        stored: becomes the stored answer, or raises the `Problem` that the answer ended in.
        done: set when no more work follows for the answer, and the instance may freeze.
    """

    def __init__(self, turn: Turn, request: ChatRequest) -> None:
        """Prepare an answer; its stream has no parts yet."""
        self.turn = turn
        self.messages = turn.messages
        self.past = turn.past
        self.beside_tokens = 0
        self.is_nearly_too_long = False
        self.request = request
        self.message_id = str(uuid4())
        self.stream = Stream()
        # Without a reference back: a circle would keep the whole conversation in memory until the
        # garbage collector comes, which is seldom.
        self.parts = PartWriter(self.stream, ui_stream.start(self.message_id, turn.conversation_id))
        self._final_state: AnswerState | None = None
        self.stored: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        # Retrieve the exception, so that asyncio does not warn when no request awaits this future.
        self.stored.add_done_callback(lambda stored: stored.exception())
        self.done = asyncio.Event()
        self._cut_reason: CutReason | None = None
        self._limit: asyncio.Timeout | None = None

    @property
    def state(self) -> AnswerState:
        """The state, which changes as drawn above."""
        return self._final_state or ("streaming" if self.stream.parts else "preparing")

    @property
    def has_past(self) -> bool:
        """Messages of the conversation before the question are told."""
        return sum(message.role != "system" for message in self.messages) > 1

    @property
    def cut_reason(self) -> CutReason | None:
        """Why the answer was cut, or would have been if it were not over; None: it was not."""
        return self._cut_reason

    @property
    def has_begun(self) -> bool:
        """The stream has content: from then on a failure is a part of it."""
        return self.state not in {"preparing", "failed"}

    @property
    def is_over(self) -> bool:
        """The state is final."""
        return not NEXT_STATES[self.state]

    @asynccontextmanager
    async def limited(self, cut_at: float) -> AsyncGenerator[None]:
        """Cut the block when `cut` is called, or at the latest at a deadline.

        Args:
            cut_at: the deadline, on the clock of `time.monotonic()`, in seconds.

        Raises:
            AnswerCutError: when the block did not end before.
        """
        try:
            async with asyncio.timeout_at(0 if self._cut_reason else cut_at) as self._limit:
                yield
        except TimeoutError:
            raise AnswerCutError(self._cut_reason or "timeout") from None
        finally:
            self._limit = None

    def cut(self, reason: CutReason) -> None:
        """Cut the answer now. The first cut counts; a cut after the model's end changes nothing."""
        if self._cut_reason or (self._limit is not None and self._limit.expired()):
            return
        self._cut_reason = reason
        if self._limit is not None:
            self._limit.reschedule(time.monotonic())

    def end(self, stored: Message, last_parts: bytes) -> None:
        """End with the stored answer, and with the parts that end its stream."""
        self._enter("ended")
        self.stored.set_result(stored)
        self.stream.end(*ui_stream.split(last_parts))

    def stop(self) -> None:
        """End an answer that its user has stopped before there was anything to store."""
        self.parts.abort()
        self._enter("stopped")
        self.stored.set_exception(AnswerStopped())
        self.stream.end(ui_stream.DONE)

    def fail(self, problem: Problem) -> None:
        """End with a problem: readers of the stream get it as a part, the response otherwise."""
        self._enter("broken" if self.has_begun else "failed")
        note_failed_turn(problem.code)
        self.stored.set_exception(problem)
        self.stream.end(ui_stream.error(problem.detail), ui_stream.DONE)

    async def wait_for_first_part(self) -> None:
        """Wait for the model's first piece, but no longer than a proxy waits for a response.

        Raises:
            Problem: when the answer failed before its first part.
        """
        await self.stream.wait_for_first_part()
        if self.state == "failed":
            await self.stored

    def _enter(self, state: AnswerState) -> None:
        if state not in NEXT_STATES[self.state]:
            message = f"an answer cannot go from {self.state} to {state}"
            raise RuntimeError(message)
        self._final_state = state


running_answers: "dict[UUID, Answer]" = {}
