"""The beginning and the end of answers: a task makes each answer (lib/answers/_make.py).

Any number of readers follow the answer's stream and may leave it: a disconnect is not a stop.
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

# All of this process, also those whose turn another attempt has taken over. (And the event loop
# itself holds tasks only weakly.)
_tasks: dict[asyncio.Task[None], Answer] = {}


def begin_answer(
    database: Database, turn: Turn, request: ChatRequest, deadline: Deadline
) -> Answer:
    """Begin to answer a turn, in a task.

    Args:
        database: the database to store the answer in.
        turn: the turn, which this attempt has taken.
        request: the request to answer.
        deadline: the end of the function.
    """
    answer = Answer(turn, request)
    running_answers[turn.id] = answer
    task = asyncio.create_task(_make(database, answer, deadline))
    _tasks[task] = answer
    task.add_done_callback(_tasks.pop)
    return answer


async def interrupt_answers() -> None:
    """End the answers of this process: cut them, and wait until they are stored."""
    for answer in _tasks.values():
        answer.cut("interrupted")
    if has_loaded(answer_maker):
        from lib.answers._make import cancel_work_beside

        cancel_work_beside()
    if _tasks:
        await asyncio.wait(_tasks)


async def _make(database: Database, answer: Answer, deadline: Deadline) -> None:
    try:
        make_answer = await load(answer_maker)
        await make_answer(database, answer, deadline)
    except Exception as error:  # noqa: BLE001 (make_answer raises nothing: its import has failed)
        log("unexpected_error", error=error)
        # Without a release: the turn ends with its lease.
        if not answer.is_over:
            answer.fail(Problem())
    finally:
        running_answers.pop(answer.turn.id, None)
        answer.done.set()


def answer_maker() -> Callable[[Database, Answer, Deadline], Awaitable[None]]:
    """Import `make_answer`, and with it the client of `openai`, and return it."""
    from lib.answers._make import make_answer
    from lib.model.client import make_provider

    make_provider()
    return make_answer


at_end("work", interrupt_answers)
