"""When summaries are made: after an answer, or before it where the answer needs one."""

import asyncio
import time

from lib.answers._summaries.making import Summarizing
from lib.answers._summaries.window import due_through, half_of
from lib.answers.answer import Answer
from lib.database.client import Database
from lib.model.client import cause_of
from lib.model.cost import Spending
from lib.problems import ModelFailed
from lib.runtime.log import log
from lib.settings import settings
from lib.turns.begin import read_window
from lib.turns.turn import Past

# An answer waits so long for a summary of messages that are not told; the rest is made after it.
GAP_SECONDS = 12.0
# And so long for one that makes it short enough.
ROOM_SECONDS = 15.0
type SummaryTask = asyncio.Task[None]
# Those that are made after their answers in this process.
_tasks: set[SummaryTask] = set()


def begin_summary(
    database: Database, answer: Answer, until: float, spending: Spending
) -> SummaryTask | None:
    """Make a summary in a task, if one is due after an answer. Neither it nor the task fails.

    Args:
        database: where the answer is stored.
        answer: the answer, which is over.
        until: when to give up at the latest, on the clock of `time.monotonic()`, in seconds.
        spending: gets the cost of the requests.
    """
    if settings().summaries == "off" or answer.state != "ended":
        return None
    if answer.cut_reason == "interrupted":
        # The process ends.
        return None
    try:
        through_id = due_through(
            [*answer.messages, answer.stored.result()],
            answer.past,
            answer.beside_tokens,
            is_nearly_too_long=answer.is_nearly_too_long,
        )
    except Exception as error:  # noqa: BLE001 (the answer is complete)
        log("summary_failed", error=error)
        return None
    if through_id is None:
        return None
    summarizing = Summarizing(database, answer.turn, spending, until)
    task = asyncio.create_task(_run(summarizing, answer.past, through_id))
    _tasks.add(task)
    task.add_done_callback(_tasks.discard)
    return task


def cancel_summaries() -> None:
    """Cancel the summaries of this process, which ends: the next turns make them."""
    for task in _tasks:
        task.cancel()


async def finish_summary(task: SummaryTask | None) -> None:
    """Wait until a summary is stored or given up."""
    if task is not None:
        await asyncio.wait({task})


async def fill_gap(database: Database, answer: Answer, spending: Spending) -> None:
    """Summarize the messages that are neither told nor summarized, because the answer needs them.

    Args:
        database: the database of the turn.
        answer: the answer in the making; gets the summary.
        spending: gets the cost.

    Raises:
        Problem: see `Database.run_as`.
    """
    # The prompt begins with a question, so an answer before it belongs to the gap.
    first = next(message for message in answer.messages if message.role == "user")
    await _summarize(database, answer, first.id - 1, GAP_SECONDS, spending)


async def make_room(database: Database, answer: Answer, share: float, spending: Spending) -> bool:
    """Summarize what stands before the question, because it is too long for the model.

    The answer waits for it. Without a summary the window stays as it is.

    Args:
        database: the database of the turn.
        answer: the answer in the making; gets the shorter window.
        share: the part of the characters before the question that may stay.
        spending: gets the cost.

    Returns:
        Whether the window is another one now.

    Raises:
        Problem: see `Database.run_as`.
    """
    *before, _ = (each for each in answer.messages if each.role != "system")
    place = half_of(before, share) if before else 0
    if not place:
        return False
    past = answer.past
    await _summarize(database, answer, before[place - 1].id, ROOM_SECONDS, spending)
    return answer.past != past


async def _summarize(
    database: Database, answer: Answer, through_id: int, seconds: float, spending: Spending
) -> None:
    """Make a summary for an answer that holds the turn, and take the told messages away."""
    until = time.monotonic() + seconds
    summarizing = Summarizing(database, answer.turn, spending, until, holds_turn=True)
    try:
        made = await summarizing.make(answer.past, through_id)
    except (ModelFailed, TimeoutError) as error:
        log("summary_failed", cause=cause_of(error))
        return
    if made is None:
        # A newer one was stored meanwhile.
        answer.messages, answer.past = await read_window(database, answer.turn)
        return
    question_id = answer.turn.question.id
    answer.messages = [
        each
        for each in answer.messages
        if each.role == "system" or each.id > made.through_id or each.id == question_id
    ]
    answer.past = made


async def _run(summarizing: Summarizing, past: Past, through_id: int) -> None:
    try:
        await summarizing.make(past, through_id)
    except Exception as error:  # noqa: BLE001 (the answer is complete, and the next turn tries again)
        # Not the error itself: its text may be the provider's.
        log("summary_failed", cause=cause_of(error))
