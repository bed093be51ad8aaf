"""Replies of an analysis model for tests, and the columns that they become."""

import asyncio
import json
from typing import Any

import psycopg

import lib.answers.begin
from tests.support.model_server import Reply, ScriptedModel

ANALYSIS: dict[str, Any] = {
    "context_type": "cooking",
    "tone": "casual",
    "behavior": "cautious",
    "signal_percent": 70,
    "context_clarity": True,
    "needs_knowledge": True,
}
STORED = ("cooking", "casual", "cautious", 0.7, True, True)
NOTHING = (None, None, None, None, None, False)
COLUMNS = "context_type, tone, behavior, signal_strength, context_clarity, needs_knowledge"
# An answer that goes on for a while after its first text, with which the analysis begins: one that
# comes at once is ready before the answer's end.
SLOW = Reply(seconds_between=0.3)


def analysis_reply(changes: dict[str, Any] | None = None, **reply: Any) -> Reply:
    """Return the reply of an analysis model, in two pieces."""
    text = json.dumps(ANALYSIS | (changes or {}))
    return Reply(pieces=(text[:20], text[20:]), **reply)


HANGING = [Reply(seconds_before=3600), analysis_reply(hangs_after=0), analysis_reply(hangs_after=1)]


def stored_analyses(database: psycopg.Connection) -> list[tuple[Any, ...]]:
    """Return the stored analysis of each answer, oldest first."""
    answers = f"SELECT {COLUMNS} FROM chat_messages WHERE role = 'assistant' ORDER BY id"
    return database.execute(answers.encode()).fetchall()


async def until_answers_done() -> None:
    """Wait until no task works on an answer."""
    async with asyncio.timeout(20):
        while lib.answers.begin._tasks:  # noqa: ASYNC110 (it offers no event)
            await asyncio.sleep(0.01)


async def until_request_closed(model: ScriptedModel) -> None:
    """Wait until the request for the analysis was closed before its answer was complete."""
    async with asyncio.timeout(10):
        while model.left < 1:  # noqa: ASYNC110 (the model offers no event)
            await asyncio.sleep(0.01)
