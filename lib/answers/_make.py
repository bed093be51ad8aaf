"""Making an answer: ask the model, store the answer, and give the turn back.

Imported with the first message, because `_ask` imports `openai`, which is slow.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial

from lib.answers._analysis import (
    begin_analysis,
    cancel_analyses,
    end_analysis,
    finish_analysis,
    with_analysis,
)
from lib.answers._ask import ModelAnswer, ask_model
from lib.answers._batches import BatchedStream, storing_batches
from lib.answers._files.kept import KeptFiles
from lib.answers._summaries.tasks import begin_summary, cancel_summaries, finish_summary
from lib.answers._title import requesting_title, wait_for_title
from lib.answers.answer import Answer, running_answers
from lib.conversations.message import Message
from lib.database.client import Database
from lib.files.file import NewFile
from lib.model.cost import Cost, Spending
from lib.problems import AnswerNotStored, DatabaseTooSlow, DatabaseUnavailable, ModelFailed, Problem
from lib.runtime.deadlines import Deadline
from lib.runtime.log import log
from lib.streams import parts as ui_stream
from lib.turns.finish import (
    QuestionMarks,
    StoredPartsLostError,
    UnstoredParts,
    add_cost,
    finish_turn,
    release_turn,
)
from lib.turns.turn import Turn

STORE_AGAIN_SECONDS = 0.25
# Of an attempt that ended by an error of Parley's own.
NOTHING = ModelAnswer(None, None, None)
# The answer as stored, and the conversation's title after that.
type StoredWithTitle = tuple[Message, str | None]
type Store = Callable[[], Awaitable[StoredWithTitle]]
# finish_turn, but for the parts of the stream, the question's marks, and the files.
type Finish = Callable[
    [UnstoredParts, QuestionMarks, Sequence[NewFile]], Awaitable[StoredWithTitle]
]


async def make_answer(database: Database, answer: Answer, deadline: Deadline) -> None:
    """Make an answer. In every case its stream ends, and its turn is given back."""
    spending = Spending()
    files = KeptFiles(database, answer.turn)
    text_begun = answer.parts.text_begun
    analysis = begin_analysis(answer.turn, text_begun, spending)
    try:
        with storing_batches(
            database, answer.turn, answer.stream, answer.cut, deadline.ends_at
        ) as stream:
            model_answer, title = await _ask_with_title(
                database, answer, files, deadline.cut_at, spending
            )
            stream.is_finishing = True
            if model_answer.message is None:
                await _end_without_message(database, answer, model_answer, spending)
                return
            if model_answer.failure is None:
                # An answer of tool calls alone has no text.
                text_begun.set()
            else:
                await end_analysis(analysis)
            message = with_analysis(model_answer.message, analysis)
            unstored = _unstored_parts(stream, answer, message, title, model_answer.failure)
            with spending.storing() as cost:
                rest = cost.beyond(message.prompt_tokens, message.completion_tokens)
                marks = _marks(model_answer, rest)
                shown = files.files(answer.parts.steps)
                finish = partial(finish_turn, database, answer.turn, message, title)
                store = partial(_finish, finish, unstored, stream, marks, shown)
                stored, title_now = await _store(store, deadline.last_words_at)
        if model_answer.failure is None:
            title_parts = unstored.title_parts if title == title_now else b""
            answer.end(stored, title_parts + unstored.last_parts)
        else:
            _fail(answer, model_answer.failure)
    except Problem as problem:
        _fail(answer, problem)
    except Exception as error:  # noqa: BLE001 (a task of its own: its readers learn of it only here)
        log("unexpected_error", error=error)
        # Before the release, which may fail for the same reason.
        answer.fail(Problem())
        with suppress(Exception):
            await _release(database, answer.turn, spending)
    finally:
        del running_answers[answer.turn.id]
        if not answer.is_over:
            # The task was cancelled.
            answer.fail(Problem())
            with suppress(Exception):
                await _release(database, answer.turn, spending)
        summary = begin_summary(database, answer, deadline.cut_at, spending)
        await finish_analysis(database, answer, analysis, deadline.cut_at, spending)
        await finish_summary(summary)
        await _store_rest(database, answer.turn, spending)


def cancel_work_beside() -> None:
    """Cancel what no answer of this process needs to end well: it would delay the process's end."""
    cancel_analyses()
    cancel_summaries()


def _marks(model_answer: ModelAnswer, cost: Cost) -> QuestionMarks:
    return QuestionMarks(
        refusal=model_answer.refusal,
        has_provider_failed=model_answer.has_provider_failed,
        paid_prompt_tokens=cost.prompt,
        paid_completion_tokens=cost.completion,
    )


async def _end_without_message(
    database: Database, answer: Answer, model_answer: ModelAnswer, spending: Spending
) -> None:
    await _release(database, answer.turn, spending, model_answer)
    if model_answer.failure is None and model_answer.cut_reason == "aborted":
        answer.stop()
    else:
        _fail(answer, model_answer.failure or ModelFailed())


async def _release(
    database: Database, turn: Turn, spending: Spending, model_answer: ModelAnswer = NOTHING
) -> None:
    """Give the turn back without an answer, and store its cost.

    An attempt that has lost the turn keeps its cost for `_store_rest`.
    """
    with suppress(AnswerNotStored), spending.storing() as cost:
        if not await release_turn(database, turn, _marks(model_answer, cost)):
            raise AnswerNotStored


async def _store_rest(database: Database, turn: Turn, spending: Spending) -> None:
    """Store a cost that came too late for the end of the turn, if there is one; never fails.

    Seldom: an analysis that failed after its answer was stored, or an attempt that has lost its
    turn, as when the conversation was deleted meanwhile.
    """
    try:
        with spending.storing() as cost:
            if cost:
                await add_cost(database, turn, cost.prompt, cost.completion)
    except Exception as error:  # noqa: BLE001 (the answer has ended, one way or the other)
        log("cost_not_stored", cause=type(error).__name__)


def _fail(answer: Answer, problem: Problem) -> None:
    log("turn_failed", error=problem, code=problem.code)
    problem.is_logged = True
    answer.fail(problem)


async def _ask_with_title(
    database: Database, answer: Answer, files: KeptFiles, cut_at: float, spending: Spending
) -> tuple[ModelAnswer, str | None]:
    """Ask the model for the answer, and beside it for a title of the conversation.

    Args:
        database: the database that the tools work on.
        answer: the answer in the making.
        files: stores its files.
        cut_at: the deadline of the answer, on the clock of `time.monotonic()`, in seconds.
        spending: gets the cost of both.

    Returns:
        The model's answer; and the title, or None if there is none in time.
    """
    text_begun = answer.parts.text_begun
    async with requesting_title(answer.turn, text_begun, spending) as title_task:
        model_answer = await ask_model(database, answer, files, cut_at, spending)
        if model_answer.message is None:
            return model_answer, None
        is_complete = model_answer.failure is None and model_answer.cut_reason is None
        if is_complete:
            # An answer of tool calls alone has no text.
            text_begun.set()
        return model_answer, await wait_for_title(title_task, cut_at if is_complete else 0.0)


def _unstored_parts(
    stream: BatchedStream,
    answer: Answer,
    message: Message,
    title: str | None,
    failure: Problem | None,
) -> UnstoredParts:
    """Return the parts of an answer's stream that are stored with the answer.

    Args:
        stream: the stream, which also tells how many parts are stored already.
        answer: the answer in the making.
        message: the answer to store.
        title: the model's title for the conversation; None: there is none.
        failure: the problem that ended the answer; None: it ended well.
    """
    title_parts = b""
    if title is not None and failure is None:
        title_parts = ui_stream.conversation(message.conversation_id, title)
    end = ui_stream.finish(message) if failure is None else ui_stream.error(failure.detail)
    last_parts = _summary_part(answer) + end + ui_stream.DONE
    return UnstoredParts(stream.stored_parts, stream.unstored(), title_parts, last_parts)


def _summary_part(answer: Answer) -> bytes:
    """Return the part that tells of a summary, if this is the first answer with it."""
    told_at = answer.past.summarized_at
    answers = (each.created_at for each in answer.messages if each.role == "assistant")
    if told_at is None or any(told_at < created_at for created_at in answers):
        return b""
    return ui_stream.summary(answer.turn.conversation_id, told_at)


async def _finish(
    finish: Finish,
    unstored: UnstoredParts,
    stream: BatchedStream,
    marks: QuestionMarks,
    files: Sequence[NewFile],
) -> StoredWithTitle:
    """Run `finish_turn`; if the database has lost batches in a crash, again with all parts."""
    try:
        return await finish(unstored, marks, files)
    except StoredPartsLostError:
        log("stream_parts_lost", count=unstored.stored_parts)
        everything = replace(unstored, stored_parts=0, parts=stream.parts_from(0))
        return await finish(everything, marks, files)


async def _store(store: Store, give_up_at: float) -> StoredWithTitle:
    """Store an answer; try until `give_up_at`, because the answer has been paid for.

    Args:
        store: runs `finish_turn`.
        give_up_at: when to stop, on the clock of `time.monotonic()`, in seconds.

    Returns:
        See `finish_turn`.

    Raises:
        AnswerNotStored: when the turn is another attempt's by now.
        DatabaseUnavailable: when the database could not store the answer in time.
    """
    while True:
        try:
            async with asyncio.timeout_at(give_up_at):
                return await store()
        except (DatabaseUnavailable, DatabaseTooSlow, TimeoutError) as error:
            if time.monotonic() + STORE_AGAIN_SECONDS >= give_up_at:
                detail = "This answer could not be stored. Send your message again for a new one."
                raise DatabaseUnavailable(detail, retry_after_seconds=5) from error
            log("finish_turn_again", cause=type(error).__name__)
            await asyncio.sleep(STORE_AGAIN_SECONDS)
