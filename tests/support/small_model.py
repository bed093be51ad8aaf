"""A provider whose model reads few tokens, and whose summaries keep the facts."""

import asyncio
import json
import re
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from tests.support.model_server import MODEL_NAME, Called, Reply, calling, chunk

# A rule of thumb for English, which providers name too.
CHARS_PER_TOKEN = 4
FACT = re.compile(r"FACT: [^\n<\"\\]+")


@dataclass(slots=True)
class SmallModel:
    """Answers requests up to a number of tokens, and refuses longer ones in OpenAI's words.

    It calls `add_task` where a question says "Add".

    Attributes:
        max_tokens: of a request; its context.
        max_summary_tokens: the same of requests for summaries.
        failing_summaries: so many requests for summaries fail.
        summary: the text of each summary; None: the facts.
        summary_reason: the finish reason of each summary.
        poison: a summary of messages with this text is refused by a content filter; '': none is.
        holds_summaries: requests for summaries wait until this is set; None: they do not.
        answers: the bodies of the answered requests for answers, oldest first.
        summaries: those of the answered requests for summaries.
        refused: how many requests were too long.
        is_asked: set when a summary is asked for.
    """

    max_tokens: int = 4000
    max_summary_tokens: int = 4000
    failing_summaries: int = 0
    summary: str | None = None
    summary_reason: str = "stop"
    poison: str = ""
    holds_summaries: asyncio.Event | None = None
    answers: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    summaries: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    refused: int = 0
    is_asked: asyncio.Event = field(default_factory=asyncio.Event)

    def __call__(self, body: dict[str, Any]) -> Reply:
        """Choose the reply to a request."""
        system, last = body["messages"][0]["content"], body["messages"][-1]
        is_summary = system.startswith("You keep the memory")
        tokens = len(text_of(body)) // CHARS_PER_TOKEN
        most = self.max_summary_tokens if is_summary else self.max_tokens
        if tokens > most:
            self.refused += 1
            return _too_long(tokens, most)
        if system.startswith("Answer with a title"):
            return _saying("Numbers", tokens)
        if is_summary:
            return self._summary(body, tokens)
        self.answers.append(body)
        if last["role"] == "user" and "Add" in last["content"].splitlines()[-1]:
            return calling(Called("add_task", {"title": f"Task {len(self.answers)}"}))
        return _saying(f"Answer {len(self.answers)}: {'so it is. ' * 6}", tokens)

    def _summary(self, body: dict[str, Any], tokens: int) -> Reply:
        if self.failing_summaries:
            self.failing_summaries -= 1
            return Reply(status=400)
        self.summaries.append(body)
        self.is_asked.set()
        told = body["messages"][-1]["content"]
        if self.poison and self.poison in told:
            return Reply(status=400, error={"error": {"code": "content_filter", "message": "No"}})
        facts = "\n".join(dict.fromkeys(FACT.findall(told))) or "Nothing of note."
        text = facts if self.summary is None else self.summary
        reply = _saying(text, tokens, self.summary_reason)
        reply.until = self.holds_summaries
        return reply

    def equal_share(self) -> float:
        """Return the share of bytes of all requests with which the ones before began."""
        texts = [text_of(body) for body in self.answers]
        shared = sum(common(*pair) for pair in pairwise(texts))
        return shared / sum(map(len, texts[1:]))


def _saying(text: str, prompt_tokens: int, reason: str = "stop") -> Reply:
    usage = {"prompt_tokens": prompt_tokens, "completion_tokens": len(text) // CHARS_PER_TOKEN}
    end: dict[str, Any] = {"model": MODEL_NAME, "choices": [], "usage": usage}
    return Reply(chunks=[chunk({"content": text}), chunk({}, reason), end])


def _too_long(tokens: int, most: int) -> Reply:
    message = (
        f"This model's maximum context length is {most} tokens. However, your "
        f"messages resulted in {tokens} tokens. Please reduce the length of the messages."
    )
    error = {
        "message": message,
        "type": "invalid_request_error",
        "param": "messages",
        "code": "context_length_exceeded",
    }
    return Reply(status=400, error={"error": error})


def text_of(body: dict[str, Any]) -> str:
    """Return all that the model reads of a request for an answer, in its order."""
    told = json.dumps(body["messages"]).removesuffix("]")
    return json.dumps(body.get("tools", [])) + told


def common(first: str, second: str) -> int:
    """Return the length of the beginning that two texts share."""
    least, most = 0, min(len(first), len(second))
    while least < most:
        middle = (least + most + 1) // 2
        if first[:middle] == second[:middle]:
            least = middle
        else:
            most = middle - 1
    return least
