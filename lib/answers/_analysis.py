"""The analysis: a second model classifies the question while the first one answers.

It neither delays the answer nor breaks it: it begins when the answer's text has begun, because some
providers take one request at a time. An analysis that is ready when the answer ends is stored with
it; a later one is stored by describe_answer, when the reader has the whole answer.
"""

import asyncio
import time
from contextlib import aclosing
from dataclasses import dataclass, replace
from functools import cache
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel

from lib.answers._models import marks_of
from lib.answers.answer import Answer
from lib.conversations.message import Message
from lib.database.client import Database
from lib.database.statements import Statement
from lib.model.client import cause_of, stream_answer
from lib.model.cost import Cost, Spending
from lib.model.reply import Reply
from lib.model.request import AnswerSchema, ModelRequest, SystemMessage, UserMessage
from lib.runtime.log import log
from lib.settings import settings
from lib.texts import ObjectText, parse_object, storable_text
from lib.turns.finish import cost_call
from lib.turns.turn import Turn

PROMPT = (
    "You classify the last message of a user to an assistant. Say what kind of context it is about "
    "in one or two words, in which tone and with how much caution it is best answered, how clear "
    "its intent is, whether its context is clear, and whether an answer needs knowledge from "
    "elsewhere. Answer with JSON alone."
)
# The longest wait for an analysis once its answer is stored: the function runs, and is paid for,
# until then.
ANALYSIS_PATIENCE_SECONDS = 30.0
MAX_CONTEXT_CHARS = 100
MAX_ANALYSIS_CHARS = 4000


def _line(context: str) -> str:
    line = " ".join(storable_text(context).split())
    if not line:
        message = "must not be empty"
        raise ValueError(message)
    return line[:MAX_CONTEXT_CHARS]


class Analysis(BaseModel, defer_build=True):
    """The JSON that the model answers with.

    Its schema has choices, but neither ranges nor lengths: not all providers keep to such limits,
    and some refuse a schema that has one.
    """

    context_type: Annotated[str, AfterValidator(_line)]
    tone: Literal["casual", "technical"]
    behavior: Literal["normal", "cautious"]
    signal_percent: Literal[0, 10, 20, 30, 40, 50, 60, 70, 80, 90, 100]
    context_clarity: bool
    needs_knowledge: bool

    def columns(self) -> dict[str, Any]:
        """Return the analysis by the columns of `chat_messages`."""
        return {
            "context_type": self.context_type,
            "tone": self.tone,
            "behavior": self.behavior,
            "signal_strength": self.signal_percent / 100,
            "context_clarity": self.context_clarity,
            "needs_knowledge": self.needs_knowledge,
        }


type AnalysisTask = asyncio.Task[Analysis | None]


@dataclass(frozen=True, slots=True)
class DescribedAnswer:
    """The row of describe_answer."""

    id: int


DESCRIBE_ANSWER = Statement("answers/describe_answer", DescribedAnswer)
# The analyses that run in this process.
_tasks: set[AnalysisTask] = set()


def begin_analysis(turn: Turn, may_begin: asyncio.Event, spending: Spending) -> AnalysisTask | None:
    """Analyse a turn's question in a task, which never fails; without an analysis it returns None.

    Args:
        turn: the turn.
        may_begin: set when the model may be asked; until then the task waits.
        spending: gets the cost of the request.

    Returns:
        The task; None if OPENAI_ANALYSIS_MODEL is not set.
    """
    if settings().openai_analysis_model is None:
        return None
    task = asyncio.create_task(_analyse(turn, may_begin, spending))
    _tasks.add(task)
    task.add_done_callback(_tasks.discard)
    return task


def cancel_analyses() -> None:
    """Cancel the analyses of this process, so that no answer waits for one when it ends."""
    for task in _tasks:
        task.cancel()


def with_analysis(answer: Message, task: AnalysisTask | None) -> Message:
    """Return an answer with the columns of its analysis, if that is ready."""
    analysis = _result(task) if task is not None else None
    if analysis is None:
        return answer
    columns = analysis.columns()
    # The request's own choice of these counts more.
    style = {name: getattr(answer, name) or columns[name] for name in ("tone", "behavior")}
    return replace(answer, **(columns | style))


async def end_analysis(task: AnalysisTask | None) -> None:
    """Cancel an analysis that no answer needs, and have its cost."""
    if task is not None:
        task.cancel()
        # At once: only the connection is to be closed.
        await asyncio.wait({task})


async def finish_analysis(
    database: Database,
    answer: Answer,
    task: AnalysisTask | None,
    until: float,
    spending: Spending,
) -> None:
    """Wait for an analysis that was not ready with its answer, and store it; never fails.

    Waits for ANALYSIS_PATIENCE_SECONDS at most.

    Args:
        database: where the answer is stored.
        answer: the answer, which is over.
        task: the analysis of its question; None: there is none.
        until: when to give the analysis up at the latest, on the clock of `time.monotonic()`, in
            seconds.
        spending: the cost of the answer's requests, as far as it is not stored.
    """
    if task is None:
        return
    try:
        if answer.state != "ended" or answer.stored.result().context_type is not None:
            return
        patience = min(ANALYSIS_PATIENCE_SECONDS, until - time.monotonic())
        await asyncio.wait({task}, timeout=max(0.0, patience))
        analysis = _result(task)
        if analysis is not None:
            with spending.storing() as cost:
                await describe_answer(database, answer.turn, answer.message_id, analysis, cost)
    except Exception as error:  # noqa: BLE001 (the answer is complete without it)
        log("analysis_not_stored", cause=type(error).__name__)
    finally:
        await end_analysis(task)


def _result(task: AnalysisTask) -> Analysis | None:
    return task.result() if task.done() and not task.cancelled() else None


async def describe_answer(
    database: Database, turn: Turn, answer_message_id: str, analysis: Analysis, cost: Cost
) -> None:
    """Store the analysis of an answer that is stored already, and its cost. One round trip.

    Raises:
        Problem: see `Database.run_as`.
    """
    await database.run_as(
        turn.caller,
        turn.caller.reachable(turn.conversation_id),
        DESCRIBE_ANSWER(
            conversation_id=turn.conversation_id,
            user_id=turn.caller.user_id,
            answer_message_id=answer_message_id,
            **analysis.columns(),
        ),
        cost_call(turn, cost.prompt, cost.completion),
    )


async def _analyse(turn: Turn, may_begin: asyncio.Event, spending: Spending) -> Analysis | None:
    if not turn.question.content.strip():
        # Providers refuse blank text.
        return None
    await may_begin.wait()
    try:
        return await _ask(turn, spending)
    except Exception as error:  # noqa: BLE001 (the answer does without an analysis)
        # Not the error itself: its text may be the provider's.
        log("analysis_failed", cause=cause_of(error))
        return None


@cache
def _answer_schema() -> AnswerSchema:
    """Return the form of the answer; its JSON schema is made once in a process."""
    schema = Analysis.model_json_schema()
    schema["additionalProperties"] = False
    return AnswerSchema("analysis", schema, is_strict=True)


async def _ask(turn: Turn, spending: Spending) -> Analysis | None:
    request = ModelRequest(
        settings().default_model("analysis"),
        (SystemMessage(PROMPT), UserMessage((turn.question.content,))),
        schema=_answer_schema(),
        purpose="analysis",
        **marks_of(turn),
    )
    text = ""
    async with aclosing(stream_answer(request, Reply(), spending)) as stream:
        async for piece in stream:
            text += piece if isinstance(piece, str) else ""
            if len(text) > MAX_ANALYSIS_CHARS:
                return None
    content = parse_object(ObjectText().add(text))
    return Analysis.model_validate(content) if content is not None else None
