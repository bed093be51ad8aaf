"""Titles: the model names a conversation while it makes the first answer.

A new conversation is named at once, after the beginning of its first message. The model's title
replaces that name if it comes in time. Without one the first name stays, and the answer neither
waits nor fails.

The model is asked for a title when the answer's text has begun: a provider that takes one request
at a time (Ollama, llama.cpp) would otherwise hold the answer up. An answer that fails before needs
no title.
"""

import asyncio
import re
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing, asynccontextmanager

from lib.answers._models import marks_of
from lib.conversations.conversation import title_of
from lib.model.client import cause_of, stream_answer
from lib.model.cost import Spending
from lib.model.reply import Reply
from lib.model.request import ModelRequest, SystemMessage, UserMessage
from lib.runtime.log import log
from lib.settings import settings
from lib.turns.turn import Turn

type TitleTask = asyncio.Task[str | None]
PROMPT = (
    "Answer with a title for a conversation that begins with the message of the user: at most six "
    "words, in the language of that message, the title alone. Do not answer the message itself."
)
# The longest wait for a title once the answer's text is complete. The reader has the whole text by
# then, but `finish` waits, and with it the next message: so the wait is too short to be noticed.
# Most titles are quicker than the rest of their answer, and cost no wait at all.
TITLE_PATIENCE_SECONDS = 0.3
# A model without a title in so many characters chats, or finds no end. A limit on tokens would be
# a parameter, and some models refuse `max_tokens`, some `max_completion_tokens`.
MAX_READ_CHARS = 300
# Models put these before a title: the mark of a heading or of a list, or the word itself.
LEAD = re.compile(
    r"(?:#+|[-*•])(?:\s+|$)|(?P<mark>[*_]*)title(?:\s*:(?P=mark)|(?P=mark)\s*:)", re.IGNORECASE
)
# Models put these around a title: quotation marks or Markdown. The closing mark by the opening one.
CLOSING = {mark: mark for mark in "\"'`*_"} | {
    "“": "”", "„": "“”", "‘": "’", "«": "»", "»": "«", "「": "」",  # noqa: RUF001 (meant)
}  # fmt: skip
# A line of these marks alone holds no title, and neither does the first line of a block of code.
MARKS = "#*_`-=~\"'"
CODE = "```"
# Some models think aloud before they answer, which takes longer than a title is worth.
THOUGHT = "<think"


@asynccontextmanager
async def requesting_title(
    turn: Turn, may_begin: asyncio.Event, spending: Spending
) -> AsyncGenerator[TitleTask]:
    """Ask for a title for a turn's conversation while the block runs, if it needs one.

    The task never fails; without a title it returns None. The end of the block cancels it, closes
    its connection, and has its cost.

    Args:
        turn: the turn.
        may_begin: set when the model may be asked; until then the task waits.
        spending: gets the cost of the request.
    """
    task = asyncio.create_task(_request_title(turn, may_begin, spending))
    try:
        yield task
    finally:
        task.cancel()
        # At once: only the connection is to be closed.
        await asyncio.wait({task})


async def wait_for_title(task: TitleTask, until: float) -> str | None:
    """Return the title if it comes within TITLE_PATIENCE_SECONDS, otherwise None.

    Args:
        task: the request for the title.
        until: end of the wait at the latest, on the clock of `time.monotonic()`, in seconds; 0: no
            wait, only a title that is ready counts.
    """
    patience = max(0.0, min(TITLE_PATIENCE_SECONDS, until - time.monotonic()))
    await asyncio.wait({task}, timeout=patience)
    if task.done():
        return task.result()
    log("title_given_up", waited_seconds=patience)
    return None


def title_in(reply: str) -> str | None:
    """Return the title in a model's reply: the bare text of the first line that holds one."""
    if reply.lstrip().startswith(THOUGHT):
        return None
    return next((title for line in reply.splitlines() if (title := _bare(line))), None)


def _bare(line: str) -> str:
    """Return a line without marks before and around its title; '' if it holds no title."""
    text, before = line.strip(), None
    while text != before:
        before = text
        text = _unquoted(text[lead.end() :] if (lead := LEAD.match(text)) else text).strip()
    return title_of(text) if text.strip(MARKS) and not text.startswith(CODE) else ""


def _unquoted(text: str) -> str:
    """Return a text without its quotation marks, unless it has more of them, as `"a" or "b"`."""
    is_quoted = len(text) > 1 and text[-1] in CLOSING.get(text[0], "")
    return text[1:-1] if is_quoted and f" {text[0]}" not in text else text


def _needs_title(turn: Turn) -> bool:
    """Return whether the question is the conversation's first, which still names it.

    System messages of an operator do not count. With HISTORY_MESSAGES=1 no earlier message is read,
    and the conversation's name alone decides. A title is paid for, so one attempt may ask for it
    and later ones may not.
    """
    is_first = all(
        message.role == "system" or message.id == turn.question.id for message in turn.messages
    )
    return turn.may_ask_title and is_first and turn.title == title_of(turn.question.content)


async def _request_title(turn: Turn, may_begin: asyncio.Event, spending: Spending) -> str | None:
    # Providers refuse blank text.
    if not (_needs_title(turn) and turn.question.content.strip()):
        return None
    await may_begin.wait()
    try:
        return await _ask(turn, spending)
    except Exception as error:  # noqa: BLE001 (the conversation has a name already)
        # Not the error itself: its text may be the provider's.
        log("title_failed", cause=cause_of(error))
        return None


async def _ask(turn: Turn, spending: Spending) -> str | None:
    """Ask the model for a title, and stop reading as soon as there is one.

    Raises:
        ModelFailed: see `stream_answer`.
    """
    messages = (SystemMessage(PROMPT), UserMessage((turn.question.content,)))
    request = ModelRequest(
        settings().default_model("title"), messages, purpose="title", **marks_of(turn)
    )
    reply = ""
    async with aclosing(stream_answer(request, Reply(), spending)) as stream:
        async for piece in stream:
            if not isinstance(piece, str):
                continue
            reply = (reply + piece)[:MAX_READ_CHARS]
            complete_lines = reply[: reply.rfind("\n") + 1]
            if title_in(complete_lines) or len(reply) == MAX_READ_CHARS:
                break
    return title_in(reply)
