"""A long conversation with a small model, whose turns wait for their summaries."""

import asyncio
from typing import Any

import lib.answers.begin
from tests.support.product import CHAT_ID, Parley, parts_of

TURNS = 200
FACT = "FACT: Ann's ship is the Marigold."
# Summaries are told from answers by their system message, not by their model.
ON: dict[str, Any] = {"SUMMARIES": "on", "OPENAI_TITLE_MODEL": None}


def question(number: int) -> str:
    """Return the beginning of a question, in letters: a number would be a fact to keep."""
    return "Question " + "".join("abcdefghij"[int(digit)] for digit in str(number))


async def ask(parley: Parley, number: int, text: str = "", **body: Any) -> list[dict[str, Any]]:
    """Ask one question, whose answer must end well, and return the parts of its stream."""
    text = text or f"{question(number)}: {'what about it? ' * 8}"
    message_id = f"message-{number}"
    response = await parley.send(text, message_id=message_id, user="ann", **body)
    parts = parts_of(response)
    assert parts[-1]["type"] == "finish", parts[-1]
    return parts


async def talk(parley: Parley, turns: int = TURNS) -> None:
    """Ask so many questions; the fourth one tells the fact."""
    for number in range(turns):
        await ask(parley, number, FACT if number == 3 else "")
        await until_idle()


async def until_idle() -> None:
    """Wait until no answer of this process has work to do, not even a summary."""
    if tasks := [*lib.answers.begin._tasks]:
        await asyncio.wait(tasks)


async def summary_of(parley: Parley) -> dict[str, Any] | None:
    """Return the summary of the conversation, as its owner reads it."""
    response = await parley.get("/api/conversations", user="ann", id=CHAT_ID)
    assert response.status_code == 200, response.text
    return response.json()["summary"]
