"""The analysis: what a second model says of a question, asked for beside the answer.

It never delays the answer, and never breaks it. What it says by then is stored with the answer;
what it says later is stored after, when the reader has everything.
"""

import asyncio
import time
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel

from lib.conversations.message import Message
from lib.database.client import Database
from lib.database.statements import Statement
from lib.model.client import stream_answer
from lib.model.reply import Reply
from lib.runtime.log import log
from lib.settings import settings
from lib.texts import parse_object, storable_text
from lib.turns.turn import Turn

PROMPT = (
    "You classify the last message of a user to an assistant. Say what kind of context it is about "
    "in one or two words, in which tone and with how much caution it is best answered, how clear "
    "its intent is, whether its context is clear, and whether an answer needs knowledge from "
    "elsewhere. Answer with JSON alone."
)
MAX_CONTEXT_CHARS = 100
MAX_ANALYSIS_CHARS = 4000


def _line(context: str) -> str:
    line = " ".join(storable_text(context).split())
    if not line:
        message = "must not be empty"
        raise ValueError(message)
    return line[:MAX_CONTEXT_CHARS]


class Analysis(BaseModel, defer_build=True):
    """What the model is asked for.

    Choices, and neither ranges nor lengths: not all providers keep to such a limit, and some refuse
    a schema that has one.
    """

    context_type: Annotated[str, AfterValidator(_line)]
    tone: Literal["casual", "technical"]
    behavior: Literal["normal", "cautious"]
    signal_percent: Literal[0, 10, 20, 30, 40, 50, 60, 70, 80, 90, 100]
    context_clarity: bool
    needs_knowledge: bool

    def columns(self) -> dict[str, Any]:
        """Return it by the columns of `chat_messages`."""
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
class Described:
    """The row of describe_answer."""

    id: int


DESCRIBE_ANSWER = Statement("answers/describe_answer", Described)
# Those of this process that are still being made.
_tasks: set[AnalysisTask] = set()


def begin_analysis(turn: Turn) -> AnalysisTask | None:
    """Begin to analyse a turn's question; None: OPENAI_ANALYSIS_MODEL is not set.

    The task never fails; it returns None where there is no analysis.
    """
    if settings().openai_analysis_model is None:
        return None
    task = asyncio.create_task(_analyse(turn))
    _tasks.add(task)
    task.add_done_callback(_tasks.discard)
    return task


def give_up_analyses() -> None:
    """Let no answer of this process, which is to end, wait for its analysis."""
    for task in _tasks:
        task.cancel()


def described(draft: Message, task: AnalysisTask | None) -> Message:
    """Return an answer with what the analysis says of it, if it has said that by now."""
    found = _found(task) if task is not None else None
    if found is None:
        return draft
    columns = found.columns()
    chosen = {name: getattr(draft, name) or columns[name] for name in ("tone", "behavior")}
    return replace(draft, **(columns | chosen))


async def finish_analysis(
    database: Database,
    turn: Turn,
    stored: asyncio.Future[Message],
    task: AnalysisTask | None,
    until: float,
) -> None:
    """Store what the analysis says after the answer was stored; never fails.

    Args:
        database: where.
        turn: whose question it is.
        stored: the answer as it was stored, or what went wrong with it.
        task: the analysis; None: there is none.
        until: when it is given up, on the clock of `time.monotonic()`, in seconds.
    """
    if task is None:
        return
    try:
        if not stored.done() or stored.exception() is not None:
            return
        answer = stored.result()
        if answer.context_type is not None:
            return
        await asyncio.wait({task}, timeout=max(0.0, until - time.monotonic()))
        found = _found(task)
        if found is not None:
            await _describe(database, turn, answer, found)
    except Exception as error:  # noqa: BLE001 (the answer is there, whatever this is)
        log("analysis_not_stored", cause=type(error).__name__)
    finally:
        task.cancel()


def _found(task: AnalysisTask) -> Analysis | None:
    return task.result() if task.done() and not task.cancelled() else None


async def _describe(database: Database, turn: Turn, answer: Message, found: Analysis) -> None:
    await database.run_as(
        turn.caller,
        turn.caller.reachable(turn.conversation_id),
        DESCRIBE_ANSWER(
            conversation_id=turn.conversation_id,
            user_id=turn.caller.user_id,
            answer_message_id=answer.message_id,
            **found.columns(),
        ),
    )


async def _analyse(turn: Turn) -> Analysis | None:
    try:
        return await _ask(turn)
    except Exception as error:  # noqa: BLE001 (whatever it is, the answer does without)
        # Not the error itself, whose text may be the provider's.
        log("analysis_failed", cause=type(error.__cause__ or error).__name__)
        return None


async def _ask(turn: Turn) -> Analysis | None:
    messages: list[dict[str, Any]] = [
        {"role": "system", "content": PROMPT},
        {"role": "user", "content": turn.question.content},
    ]
    schema = Analysis.model_json_schema()
    schema["additionalProperties"] = False
    wanted = {"name": "analysis", "strict": True, "schema": schema}
    options = {"response_format": {"type": "json_schema", "json_schema": wanted}}
    said = ""
    model = settings().openai_analysis_model or ""
    async with aclosing(stream_answer(model, messages, Reply(), options)) as stream:
        async for piece in stream:
            said += piece if isinstance(piece, str) else ""
            if len(said) > MAX_ANALYSIS_CHARS:
                return None
    content = parse_object(said)
    return Analysis.model_validate(content) if content is not None else None
