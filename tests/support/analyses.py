"""Analyses as tests have them said, and what is stored of them."""

import asyncio
import json
from typing import Any

import psycopg

import lib.answers.begin
from tests.support.model_server import Reply, ScriptedModel

SAID: dict[str, Any] = {
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
# The answer takes a while, so what the analysis says at once is there before.
SLOW = Reply(seconds_before=0.5)


def saying(changes: dict[str, Any] | None = None, **reply: Any) -> Reply:
    """Return what an analysis says, in pieces."""
    text = json.dumps(SAID | (changes or {}))
    return Reply(pieces=(text[:20], text[20:]), **reply)


HANGING = [Reply(seconds_before=3600), saying(hangs_after=0), saying(hangs_after=1)]


def stored_in(database: psycopg.Connection) -> list[tuple[Any, ...]]:
    """Return what is stored of each answer, oldest first."""
    answers = f"SELECT {COLUMNS} FROM chat_messages WHERE role = 'assistant' ORDER BY id"
    return database.execute(answers.encode()).fetchall()


async def all_done() -> None:
    """Wait until nothing more is done for any answer."""
    async with asyncio.timeout(20):
        while lib.answers.begin._tasks:  # noqa: ASYNC110 (it offers no event)
            await asyncio.sleep(0.01)


async def left(model: ScriptedModel) -> None:
    """Wait until the request for the analysis was closed before its answer was complete."""
    async with asyncio.timeout(10):
        while model.left < 1:  # noqa: ASYNC110 (the model offers no event)
            await asyncio.sleep(0.01)
