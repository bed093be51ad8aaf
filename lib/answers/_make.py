"""Making an answer: ask the model, store what came, and give the turn back.

Imported with the first message: it imports `lib.steps`, and that `openai`, which takes long.
"""

import asyncio
import time
from contextlib import suppress

from lib.answers._analysis import AnalysisTask, begin_analysis, described, finish_analysis
from lib.answers._ask import ask
from lib.answers._batches import KeptStream, keeping
from lib.answers._title import asking_for_title, wait_for_title
from lib.answers.answer import Answer, running_answers
from lib.conversations.message import Message
from lib.database.client import Database
from lib.problems import DatabaseUnavailable, ModelFailed, Problem
from lib.runtime.deadlines import Deadline
from lib.runtime.log import log
from lib.streams import parts as ui_stream
from lib.turns.finish import Rest, finish_turn, release_turn
from lib.turns.turn import Turn

STORE_AGAIN_SECONDS = 0.25


async def make_answer(database: Database, answer: Answer, deadline: Deadline) -> None:
    """Make an answer; whatever happens, it ends visibly and the turn is given back."""
    analysis: AnalysisTask | None = None
    try:
        with keeping(database, answer.turn, answer.stream, answer.cut) as kept:
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
        rest = _rest(answer, kept, draft, title, failure)
        stored, title_now = await _store(
            database, answer.turn, draft, title, rest, deadline.last_words_at
        )
        if failure is None:
            told = rest.title_parts if title == title_now else b""
            answer.end(stored, told + rest.last_parts)
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
    async with asking_for_title(answer.turn) as title_task:
        draft, failure = await ask(database, answer, cut_at)
        if draft is None:
            return None, None, failure
        is_whole = failure is None and draft.finish_reason != answer.cut_reason
        return draft, await wait_for_title(title_task, cut_at if is_whole else 0.0), failure


def _rest(
    answer: Answer, kept: KeptStream, draft: Message, title: str | None, failure: Problem | None
) -> Rest:
    """Return what of the stream is to be stored with the answer; all that it tells is known.

    Args:
        answer: the answer in the making.
        kept: how much of its stream is stored already.
        draft: what is to be stored.
        title: the model's, for the conversation; None: there is none.
        failure: what ended the answer; None: it ended well.
    """
    told = b""
    if title is not None and failure is None:
        told = ui_stream.conversation(answer.turn.conversation_id, title)
    end = ui_stream.finish(draft) if failure is None else ui_stream.error(failure.detail)
    return Rest(kept.stored_parts, kept.unstored(), told, end + ui_stream.DONE)


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
