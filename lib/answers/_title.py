"""Titles: what the model calls a conversation, asked for beside its first answer.

A conversation is called by the beginning of its first message at once. The model's title replaces
that if it comes in time; whatever goes wrong with it, the first title stays, and the answer neither
waits for it nor fails with it.
"""

import asyncio
import re
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing, asynccontextmanager
from typing import Any

from lib.conversations.conversation import title_of
from lib.model.client import stream_answer
from lib.model.reply import Reply
from lib.runtime.log import log
from lib.settings import settings
from lib.turns.turn import Turn

type TitleTask = asyncio.Task[str | None]
PROMPT = (
    "Answer with a title for a conversation that begins with the message of the user: at most six "
    "words, in the language of that message, the title alone. Do not answer the message itself."
)
# So long is waited for it once the answer's text is complete. The reader has all of the text by
# then, but `finish` still waits, and with it the next message: so no longer than goes unnoticed
# there. Most titles are quicker than their answer, and cost no waiting at all.
TITLE_PATIENCE_SECONDS = 0.3
# Who has not said a title in so many characters chats, or finds no end. A limit on tokens would
# have to be asked for, which some models refuse as `max_tokens`, some as `max_completion_tokens`.
MAX_READ_CHARS = 300
# What models put before a title: a heading's or a list's mark, or the word itself.
LEAD = re.compile(
    r"(?:#+|[-*•])(?:\s+|$)|(?P<mark>[*_]*)title(?:\s*:(?P=mark)|(?P=mark)\s*:)", re.IGNORECASE
)
# What they put around it, quotation marks or Markdown: what ends it, by what begins it.
CLOSING = {mark: mark for mark in "\"'`*_"} | {
    "“": "”", "„": "“”", "‘": "’", "«": "»", "»": "«", "「": "」",  # noqa: RUF001 (meant)
}  # fmt: skip
# A line of such marks alone holds no title; nor does one that begins a block of code.
MARKS = "#*_`-=~\"'"
CODE = "```"
# Some models think aloud before they answer. That takes longer than a title is worth.
THOUGHT = "<think"


@asynccontextmanager
async def asking_for_title(turn: Turn) -> AsyncGenerator[TitleTask]:
    """Ask for the title of a turn's conversation, if it wants one, while the block runs.

    The task yielded never fails; it returns None where there is no title. What has not come by the
    end of the block is given up, and its connection closed.
    """
    task = asyncio.create_task(_find_title(turn))
    try:
        yield task
    finally:
        task.cancel()


async def wait_for_title(task: TitleTask, until: float) -> str | None:
    """Return the title if it is there, or comes within TITLE_PATIENCE_SECONDS; otherwise None.

    Args:
        task: what asks for it.
        until: when the waiting ends in any case, on the clock of `time.monotonic()`, in seconds;
            0: only what is there already counts.
    """
    patience = max(0.0, min(TITLE_PATIENCE_SECONDS, until - time.monotonic()))
    await asyncio.wait({task}, timeout=patience)
    if task.done():
        return task.result()
    log("title_given_up", waited_seconds=patience)
    return None


def title_in(said: str) -> str | None:
    """Return the title in what a model said: of its first line that holds one, the bare text."""
    if said.lstrip().startswith(THOUGHT):
        return None
    return next((title for line in said.splitlines() if (title := _bare(line))), None)


def _bare(line: str) -> str:
    """Return a line without what models put before and around a title; '' if nothing is left."""
    text, before = line.strip(), None
    while text != before:
        before = text
        text = _unquoted(text[lead.end() :] if (lead := LEAD.match(text)) else text).strip()
    return title_of(text) if text.strip(MARKS) and not text.startswith(CODE) else ""


def _unquoted(text: str) -> str:
    """Return what is between quotation marks, if they are the only ones: not of `"a" or "b"`."""
    is_quoted = len(text) > 1 and text[-1] in CLOSING.get(text[0], "")
    return text[1:-1] if is_quoted and f" {text[0]}" not in text else text


def _is_wanted(turn: Turn) -> bool:
    """Tell whether nothing was said before the question, and its beginning is the title still.

    An operator's system message counts as nothing said. Where HISTORY_MESSAGES is 1, what was said
    before is not read, and the title alone decides.
    """
    is_first = all(each.role == "system" or each.id == turn.question.id for each in turn.messages)
    return is_first and turn.title == title_of(turn.question.content)


async def _find_title(turn: Turn) -> str | None:
    if not _is_wanted(turn):
        return None
    try:
        return await _ask(turn.question.content)
    except Exception as error:  # noqa: BLE001 (whatever it is, there is a title already)
        # Not the error itself, whose text may be the provider's.
        log("title_failed", cause=type(error.__cause__ or error).__name__)
        return None


async def _ask(question: str) -> str | None:
    """Ask the model for a title, and stop reading as soon as there is one.

    Raises:
        ModelFailed: see `stream_answer`.
    """
    model = settings().openai_title_model or settings().openai_model
    messages: list[dict[str, Any]] = [
        {"role": "system", "content": PROMPT},
        {"role": "user", "content": question},
    ]
    said = ""
    async with aclosing(stream_answer(model, messages, Reply())) as stream:
        async for piece in stream:
            said = (said + str(piece))[:MAX_READ_CHARS]
            whole_lines = said[: said.rfind("\n") + 1]
            if title_in(whole_lines) or len(said) == MAX_READ_CHARS:
                break
    return title_in(said)
