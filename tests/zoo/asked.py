"""A request to a provider of the zoo, in either dialect, and the answer of its model.

The model is the same behind every provider, and its answer follows from the request alone:

    Add …         a call of `add_task` with the rest as title, where the tool is offered
    Draw …        a picture before the text, from providers that draw
    Count …       a slow answer: its second word comes at once, its third when the test says so
    all else      "You said: …", and a smile
"""

import base64
import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast

from tests.support.model_server import TITLE_MODEL

ADD = "Add "
COUNT = "Count "
DRAW = "Draw "
TITLE = "A title"


@dataclass(frozen=True, slots=True)
class Call:
    """A call of `add_task`.

    Attributes:
        title: the task's title.
        id: the provider's id of the call.
    """

    title: str
    id: str

    @property
    def arguments(self) -> str:
        """JSON text, with each character as itself."""
        return json.dumps({"title": self.title}, ensure_ascii=False)


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer of the model.

    Attributes:
        text: '' with a call.
        thought: the model's reasoning, which is not part of the text.
        call: None: it calls no tool.
        waits_after: the number of pieces of the text after which the model is silent until the
            test lets it go on; None: it is never silent.
    """

    text: str = ""
    thought: str = ""
    call: Call | None = None
    waits_after: int | None = None

    @property
    def key(self) -> str:
        """The words by which the answer is known again in a later request."""
        return self.call.title if self.call else self.text


@dataclass(frozen=True)
class Asked:
    """A request.

    Attributes:
        body: as JSON.
        query: the query string of its URL.
        is_chat: the dialect is Chat Completions; otherwise Responses.
        issued: the answers that the provider has given so far, by their keys.
    """

    body: dict[str, Any]
    query: str
    is_chat: bool
    issued: Mapping[str, Answer]

    @cached_property
    def items(self) -> list[dict[str, Any]]:
        """Its messages; in Responses, its items."""
        name = "messages" if self.is_chat else "input"
        found = self.body.get(name)
        if isinstance(found, str):
            return [{"role": "user", "content": found}]
        return objects_in(self.body, name)

    @property
    def is_title(self) -> bool:
        """It asks for a title, not for an answer."""
        return self.body.get("model") == TITLE_MODEL

    @property
    def question(self) -> str:
        """The last text of the user.

        A question without an answer stands in one message with the question after it. Words that
        ask for JSON may stand after the question.
        """
        texts = [text for text in self._last_texts if "JSON" not in text]
        return texts[-1] if texts else ""

    @property
    def _last_texts(self) -> list[str]:
        """The paragraphs of the user's last message."""
        texts = [text_of(item) for item in self.items if item.get("role") == "user"]
        return texts[-1].split("\n\n") if texts else []

    @property
    def follows_tools(self) -> bool:
        """It brings the results of tools."""
        last = self.items[-1] if self.items else {}
        return last.get("role") == "tool" or last.get("type") == "function_call_output"

    @property
    def tools(self) -> set[str]:
        """The names of the tools that the model may call."""
        if self.body.get("tool_choice") == "none":
            return set()
        tools = objects_in(self.body, "tools")
        return {tool.get("function", tool)["name"] for tool in tools}

    @property
    def is_forced(self) -> bool:
        """The model must call a tool."""
        choice = self.body.get("tool_choice")
        return isinstance(choice, dict) or choice in {"required", "any"}

    @property
    def wants_json(self) -> bool:
        """The answer must be JSON: by a schema, or by words after the question."""
        form = object_in(self.body, "response_format") or object_in(
            object_in(self.body, "text"), "format"
        )
        by_words = any("JSON" in text for text in self._last_texts)
        return form.get("type") == "json_schema" or (self.is_chat and by_words)

    def parts(self, kind: str) -> Iterator[dict[str, Any]]:
        """Yield the parts of one type in all messages."""
        for item in self.items:
            for part in objects_in(item, "content"):
                if part.get("type") == kind:
                    yield part

    def own(self) -> Iterator[tuple[dict[str, Any], Answer]]:
        """Yield the messages that are this provider's own answers, with the answer as given."""
        for message in self.items:
            if message.get("role") == "assistant" and (given := self.issued.get(_key(message))):
                yield message, given


def text_of(message: dict[str, Any]) -> str:
    """Return the text of a message."""
    content = message.get("content")
    if isinstance(content, str):
        return content
    # Parts of a user's message are paragraphs; those of an answer are pieces of one text.
    between = "" if message.get("role") == "assistant" else "\n\n"
    return between.join(part["text"] for part in objects_in(message, "content") if "text" in part)


def _key(message: dict[str, Any]) -> str:
    for call in calls_of(message):
        return title_of(call)
    return text_of(message)


def calls_of(message: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the calls of a message of Chat Completions."""
    return objects_in(message, "tool_calls")


def title_of(call: dict[str, Any]) -> str:
    """Return the title of the task that a call adds; '' if it adds none."""
    return json.loads(call.get("function", call)["arguments"]).get("title", "")


def object_in(value: dict[str, Any], name: str) -> dict[str, Any]:
    """Return a member that is an object; if there is none, an empty one."""
    found = value.get(name)
    return cast("dict[str, Any]", found) if isinstance(found, dict) else {}


def objects_in(value: dict[str, Any], name: str) -> list[dict[str, Any]]:
    """Return a member that is a list of objects; if there is none, an empty one."""
    found = value.get(name)
    return cast("list[dict[str, Any]]", found) if isinstance(found, list) else []


def answer_to(asked: Asked, call_id: str) -> Answer:
    """Return the model's answer.

    Args:
        asked: the request.
        call_id: the id of a call, if the answer is one.
    """
    question = asked.question
    thought = f"Hmm, {question.lower()}, let me see."
    if asked.is_title:
        return Answer(TITLE)
    if asked.follows_tools:
        return Answer(stored(question), thought)
    title = question.removeprefix(ADD)
    if asked.wants_json:
        return Answer(Call(title, "").arguments, thought)
    if asked.tools and (asked.is_forced or question.startswith(ADD)):
        return Answer(thought=thought, call=Call(title, call_id))
    if question.startswith(COUNT):
        return Answer(f"One, {question.removeprefix(COUNT)}, three 😀", thought, waits_after=2)
    return Answer(said(question), thought)


def said(question: str) -> str:
    """Return the text of a plain answer."""
    return f"You said: {question} 😀"


def stored(question: str) -> str:
    """Return the text that follows a call."""
    return f"{question.removeprefix(ADD)} is on your list 😀"


def sealed(text: str) -> str:
    """Return the signature that a provider puts to a text, as long as the real ones are."""
    digest = hashlib.sha512(f"a key of the provider {text}".encode()).digest()
    return base64.b64encode(digest * 4).decode()


def pieces_of(text: str) -> list[str]:
    """Return a text word by word, and a smile in two halves.

    Providers that cut an answer by UTF-16 units send each half of a pair in a chunk of its own.
    """
    return [half for word in re.findall(r"\s*\S+\s*", text) for half in halves(word)]


def halves(text: str) -> list[str]:
    """Return a text in two, cut within its first character that has two UTF-16 units, if any."""
    for at, character in enumerate(text):
        if ord(character) > 0xFFFF:
            units = character.encode("utf-16-be")
            high, low = (
                units[each : each + 2].decode("utf-16-be", "surrogatepass") for each in (0, 2)
            )
            return [text[:at] + high, low + text[at + 1 :]]
    return [text]
