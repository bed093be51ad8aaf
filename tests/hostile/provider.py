"""A provider that counts the cost of each person's questions."""

import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from random import Random
from typing import Any, override

from tests.support.model_server import MODEL_NAME, TITLE_MODEL, Reply, ScriptedModel, chunk

# A question names its person, and how the provider is to behave: `[mallory] hang 3`.
QUESTION = re.compile(r"\[([\w-]+)\] (\w+) (\d+)")
# Tokens of an answer to a question that says `large`.
LARGE_ANSWER_TOKENS = 6_000
CHARS_PER_TOKEN = 4
TITLE = "A title"
FAILURES = (
    Reply(status=500),
    Reply(status=503),
    Reply(cuts_after=0),
    Reply(cuts_after=2),
    Reply(garbles_after=2),
    Reply(pieces=()),
)


@dataclass(slots=True)
class Bill:
    """The requests that the provider has got for one person's questions.

    Attributes:
        answers: requests for answers.
        titles: requests for titles.
        tokens: tokens of all answers that it could tell Parley, and the prompts of titles and of
            requests that were cut, at least; a request that it has failed at once is free.
    """

    answers: int = 0
    titles: int = 0
    tokens: int = 0


def total_of(bills: Iterable[Bill]) -> Bill:
    """Return the sum of some bills."""
    total = Bill()
    for bill in bills:
        total.answers += bill.answers
        total.titles += bill.titles
        total.tokens += bill.tokens
    return total


class CountingModel(ScriptedModel):
    """The provider.

    Attributes:
        bills: by person.
    """

    def __init__(self, random: Random) -> None:
        """Begin with no bill; chance chooses the kind of each failure."""
        super().__init__()
        self.bills: defaultdict[str, Bill] = defaultdict(Bill)
        self._random = random

    @property
    def total(self) -> Bill:
        """The sum of all bills."""
        return total_of(self.bills.values())

    @override
    def _reply_to(self, body: dict[str, Any]) -> Reply:
        text = _last_question(body)
        # Questions without an answer stand in one message, the newest at its end.
        person, order, number = QUESTION.findall(text)[-1]
        bill = self.bills[person]
        chars = sum(len(_text_of(message)) for message in body["messages"])
        prompt = -(-chars // CHARS_PER_TOKEN)
        if body["model"] == TITLE_MODEL:
            bill.titles += 1
            # Titles are cut when their answer ends, often before their end.
            bill.tokens += prompt
            return _whole((TITLE,), prompt, 2)
        bill.answers += 1
        match order:
            case "hang":
                bill.tokens += prompt
                return Reply(seconds_before=3600)
            case "fail":
                return self._failure(bill, prompt)
            case "large":
                bill.tokens += prompt + LARGE_ANSWER_TOKENS
                return _whole((f"[{person}] {number}",), prompt, LARGE_ANSWER_TOKENS)
            case "slow":
                bill.tokens += prompt + 4
                return _whole((f"[{person}] ", "a ", "b ", number), prompt, 4, seconds_before=0.2)
            case _:
                bill.tokens += prompt + 2
                return _whole((f"[{person}] ", number), prompt, 2)

    def _failure(self, bill: Bill, prompt: int) -> Reply:
        reply = self._random.choice(FAILURES)
        if not reply.pieces:
            # An empty answer, with the usage that ScriptedModel tells.
            bill.tokens += 7
        elif reply.status == 200 and reply.cuts_after != 0:
            bill.tokens += prompt
        return reply


def _whole(
    pieces: tuple[str, ...], prompt: int, completion: int, *, seconds_before: float = 0.0
) -> Reply:
    """Return a whole answer that tells these tokens."""
    usage = {"prompt_tokens": prompt, "completion_tokens": completion}
    end: dict[str, Any] = {"model": MODEL_NAME, "choices": [], "usage": usage}
    texts = [chunk({"content": piece}) for piece in pieces]
    return Reply(chunks=[*texts, chunk({}, "stop"), end], seconds_before=seconds_before)


def _last_question(body: dict[str, Any]) -> str:
    return next(_text_of(each) for each in reversed(body["messages"]) if each["role"] == "user")


def _text_of(message: dict[str, Any]) -> str:
    content = message["content"]
    if isinstance(content, str):
        return content
    return "".join(part.get("text", "") for part in content)
