"""Answers in the making: a task makes each (lib/answers/_make.py); any number of readers follow it,
and may leave. A disconnect is not a stop.
"""

import asyncio
from collections.abc import Awaitable, Callable

from lib.answers.answer import Answer, running_answers
from lib.database.client import Database
from lib.problems import Problem
from lib.runtime.deadlines import Deadline
from lib.runtime.imports import has_loaded, load
from lib.runtime.log import log
from lib.runtime.shutdown import at_end
from lib.turns.request import ChatRequest
from lib.turns.turn import Turn

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
    """Cut all answers of this process, which is to end, wait until they are stored, and close the
    connections to the model.
    """
    for answer in _tasks.values():
        answer.cut("interrupted")
    if has_loaded(answer_maker):
        from lib.answers._analysis import give_up_analyses

        give_up_analyses()
    if _tasks:
        await asyncio.wait(_tasks)
    if has_loaded(answer_maker):
        from lib.model.client import close  # noqa: PLC0415 (it is imported by now, or not used)

        await close()


async def _make(database: Database, answer: Answer, deadline: Deadline) -> None:
    """Make an answer, with what is imported with the first message."""
    try:
        make_answer = await load(answer_maker)
        await make_answer(database, answer, deadline)
    except Exception as error:  # noqa: BLE001 (what makes answers catches all: it cannot be imported)
        log("unexpected_error", error=error)
        # The turn ends with its lease.
        if not answer.stored.done():
            answer.fail(Problem())
    finally:
        running_answers.pop(answer.turn.id, None)
        answer.done.set()


def answer_maker() -> Callable[[Database, Answer, Deadline], Awaitable[None]]:
    """Return what makes answers, which imports what asks the model, and that takes long."""
    from lib.answers._make import make_answer

    return make_answer


at_end("work", interrupt_answers)
