"""Answers in the making: one task asks the model, stores what came, and gives the turn back; any
number of readers follow it, and may leave. A disconnect is not a stop.
"""

import asyncio
import gc
import importlib
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from types import ModuleType
from uuid import uuid4

from lib import ui_stream
from lib.analysis import (
    AnalysisTask,
    begin_analysis,
    described,
    finish_analysis,
    give_up_analyses,
)
from lib.chat_requests import ChatRequest
from lib.database import Database
from lib.deadlines import Deadline
from lib.figures import note_failed_turn
from lib.messages import Message
from lib.problems import AnswerStopped, DatabaseUnavailable, ModelFailed, Problem
from lib.running_answers import running_answers
from lib.stream_batches import KeptStream, keeping
from lib.streams import Stream
from lib.titles import asking_for_title, wait_for_title
from lib.tool_calls import Step, ToolCall
from lib.trace import log
from lib.turn_ends import Rest, finish_turn, release_turn
from lib.turns import Turn

STORE_AGAIN_SECONDS = 0.25


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
        self._ready(ui_stream.whole_step(self._step, step))
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

    def rest(
        self, kept: KeptStream, draft: Message, title: str | None, failure: Problem | None
    ) -> Rest:
        """Return what of the stream is to be stored with the answer; all that it tells is known.

        Args:
            kept: how much of it is stored already.
            draft: the answer.
            title: the model's, for the conversation; None: there is none.
            failure: what ended the answer; None: it ended well.
        """
        told = b""
        if title is not None and failure is None:
            told = ui_stream.conversation(self.turn.conversation_id, title)
        end = ui_stream.finish(draft) if failure is None else ui_stream.error(failure.detail)
        return Rest(kept.stored_parts, kept.unstored(), told, end + ui_stream.DONE)

    def end(self, stored: Message, rest: Rest, *, has_new_title: bool) -> None:
        """End well: the answer is stored, and its conversation's new title, if it took one."""
        self.stored.set_result(stored)
        told = rest.title_parts if has_new_title else b""
        self.stream.end(*ui_stream.split(told + rest.last_parts))

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


_loaded: list[ModuleType] = []
# All of this process, also those whose turn another attempt has taken over. (And the loop itself
# holds tasks only weakly.)
_tasks: dict[asyncio.Task[None], Answer] = {}


def begin_answer(database: Database, turn: Turn, said: ChatRequest, deadline: Deadline) -> Answer:
    """Begin to answer a turn that was taken, in a task of its own.

    Args:
        database: where the answer is stored.
        turn: the turn.
        said: the request that it answers.
        deadline: when the function ends.
    """
    answer = Answer(turn, said)
    running_answers[turn.id] = answer
    task = asyncio.create_task(_make(database, answer, deadline))
    _tasks[task] = answer
    task.add_done_callback(_tasks.pop)
    return answer


async def interrupt_answers() -> None:
    """Cut all answers of this process, which is to end, and wait until they are stored."""
    for answer in _tasks.values():
        answer.cut("interrupted")
    give_up_analyses()
    if _tasks:
        await asyncio.wait(_tasks)


async def _make(database: Database, answer: Answer, deadline: Deadline) -> None:
    """Make the answer; whatever happens, it ends visibly and the turn is given back."""
    analysis: AnalysisTask | None = None
    try:
        with keeping(database, answer.turn, answer.stream, answer.cut) as kept:
            await _load_model()
            analysis = begin_analysis(answer.turn)
            draft, title, failure = await _ask_beside_title(database, answer, deadline.cut_at)
        if draft is None:
            await release_turn(database, answer.turn)
            if failure is None and answer.cut_reason == "aborted":
                answer.stop()
            else:
                _fail(answer, failure or ModelFailed())
            return
        draft = described(draft, analysis)
        rest = answer.rest(kept, draft, title, failure)
        stored, title_now = await _store(
            database, answer.turn, draft, title, rest, deadline.last_words_at
        )
        if failure is None:
            answer.end(stored, rest, has_new_title=title == title_now)
        else:
            _fail(answer, failure)
    except Problem as problem:
        _fail(answer, problem)
    except Exception as error:  # noqa: BLE001 (a task of its own: nobody else would tell the reader)
        log("unexpected_error", error=error)
        answer.fail(Problem())
        # Told first: what went wrong may well go wrong again here.
        with suppress(Exception):
            await release_turn(database, answer.turn)
    finally:
        del running_answers[answer.turn.id]
        if not answer.stored.done():
            # Whatever it was, nobody waits for ever.
            answer.fail(Problem())
            with suppress(Exception):
                await release_turn(database, answer.turn)
        await finish_analysis(database, answer.turn, answer.stored, analysis, deadline.cut_at)
        answer.done.set()


def _fail(answer: Answer, problem: Problem) -> None:
    log("turn_failed", error=problem, code=problem.code)
    problem.is_logged = True
    answer.fail(problem)


async def _ask_beside_title(
    database: Database, answer: Answer, cut_at: float
) -> tuple[Message | None, str | None, Problem | None]:
    """Ask the model for the answer, and beside it for a title of the conversation.

    Args:
        database: where the tools work.
        answer: where what it says is passed on.
        cut_at: when it is cut, on the clock of `time.monotonic()`, in seconds.

    Returns:
        What came, to be stored (None: nothing); the title, if it came by then; and the failure that
        ended the answer (None: none did).
    """
    # Here, since it imports what asks the model: loaded by now.
    from lib.steps import ask  # noqa: PLC0415

    async with asking_for_title(answer.turn) as title_task:
        draft, failure = await ask(database, answer, cut_at)
        if draft is None:
            return None, None, failure
        is_whole = failure is None and draft.finish_reason != answer.cut_reason
        return draft, await wait_for_title(title_task, cut_at if is_whole else 0.0), failure


async def _load_model() -> None:
    """Import what asks the model, at the first question.

    In a thread, since it takes long, and those who are read to meanwhile must not wait. That it is
    in `sys.modules` does not mean that it is complete: another request may be importing it.
    """
    if not _loaded:
        _loaded.append(await asyncio.to_thread(importlib.import_module, "lib.steps"))
        gc.freeze()


async def _store(
    database: Database,
    turn: Turn,
    draft: Message,
    title: str | None,
    rest: Rest,
    give_up_at: float,
) -> tuple[Message, str | None]:
    """Store an answer, trying again until it must be given up: it has been paid for.

    Returns:
        See `finish_turn`.

    Raises:
        AnswerNotStored: the turn was lost.
        DatabaseUnavailable: it could not be stored in time.
    """
    while True:
        try:
            async with asyncio.timeout_at(give_up_at):
                return await finish_turn(database, turn, draft, title, rest)
        except (DatabaseUnavailable, TimeoutError) as error:
            if time.monotonic() + STORE_AGAIN_SECONDS >= give_up_at:
                detail = "This answer could not be stored. Send your message again to have it anew."
                raise DatabaseUnavailable(detail, retry_after_seconds=5) from error
            log("finish_turn_again", cause=type(error).__name__)
            await asyncio.sleep(STORE_AGAIN_SECONDS)
