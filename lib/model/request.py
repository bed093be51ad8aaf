"""A request to a model, in the words of neither dialect of the API."""

from dataclasses import dataclass, field, replace
from typing import Any, Literal

from lib.models import Model

# Why the model is asked.
Purpose = Literal["answer", "title", "analysis", "summary"]


@dataclass(frozen=True, slots=True)
class Image:
    """An image in a user's message.

    Attributes:
        url: its address, or its bytes as a `data:` URL.
    """

    url: str


@dataclass(frozen=True, slots=True)
class Document:
    """A PDF document in a user's message.

    Attributes:
        filename: providers want one.
        url: its bytes as a `data:` URL.
    """

    filename: str
    url: str


@dataclass(frozen=True, slots=True)
class SystemMessage:
    """Instructions: the first message of a request."""

    text: str


@dataclass(frozen=True, slots=True)
class UserMessage:
    """A message of the user: texts, images and documents, in order.

    Attributes:
        content: the texts, images and documents.
        unanswered: how many of them, from the first, are of earlier questions without an answer.
    """

    content: tuple[str | Image | Document, ...]
    unanswered: int = field(default=0, compare=False)

    @property
    def has_file(self) -> bool:
        """Whether one part is an image or a document."""
        return self.has(Image, Document)

    def has(self, *kinds: type[Image | Document]) -> bool:
        """Return whether one part is of one of some kinds."""
        return any(isinstance(part, kinds) for part in self.content)


@dataclass(frozen=True, slots=True)
class PromptCall:
    """A tool call of an earlier step, and its result.

    Attributes:
        id: Parley's id of the call.
        name: the tool.
        arguments: JSON text of an object.
        result: JSON text.
        state: must go back to the provider with the call (`CallPiece.state`); None: the call is
            another model's.
    """

    id: str
    name: str
    arguments: str
    result: str
    state: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class AssistantMessage:
    """One step of an answer: its text, its tool calls and their results.

    Attributes:
        text: '' only if there are calls.
        calls: in order.
        state: must go back to the provider with the step (`Reply.state`); None: nothing must.
    """

    text: str
    calls: tuple[PromptCall, ...] = ()
    state: dict[str, Any] | None = None


type PromptMessage = SystemMessage | UserMessage | AssistantMessage


@dataclass(frozen=True, slots=True)
class ToolDefinition:
    """A tool that the model may call.

    Attributes:
        name: by which the model calls it.
        description: for the model.
        parameters: JSON schema of an object.
    """

    name: str
    description: str
    parameters: dict[str, Any]


@dataclass(frozen=True, slots=True)
class AnswerSchema:
    """The form of an answer that is JSON.

    Attributes:
        name: tells the model what it is.
        schema: JSON schema of an object.
        is_strict: the provider must keep to it.
    """

    name: str
    schema: dict[str, Any]
    is_strict: bool = False


@dataclass(frozen=True, slots=True)
class ModelRequest:
    """One request for one step of an answer.

    Attributes:
        model: the model.
        messages: in an order that every provider takes: at most one system message, and it comes
            first; then user and assistant in turn.
        tools: the tools that the model may call. Tool calls are read only if there are any.
        forced_tool: the name of the tool that the model must call; None: the model chooses.
        may_call: False: the model may call no tool now, although it knows some.
        schema: the form of the answer; None: text.
        web_search: the provider may search the web for the answer.
        purpose: why the model is asked.
        user_mark: stands for the user towards a provider that looks for abuse; None: no user.
        cache_mark: stands for the conversation towards a provider that caches; None: likewise.
        before: told before the first question, whichever messages are left out; None: nothing.
        may_shorten: leave out the oldest messages where the request is too long, rather than fail.
    """

    model: Model
    messages: tuple[PromptMessage, ...]
    tools: tuple[ToolDefinition, ...] = ()
    forced_tool: str | None = None
    may_call: bool = True
    schema: AnswerSchema | None = None
    web_search: bool = False
    purpose: Purpose = "answer"
    user_mark: str | None = None
    cache_mark: str | None = None
    before: str | None = None
    may_shorten: bool = True

    @property
    def is_minor(self) -> bool:
        """Whether it is for no answer: titles and the like are worth the least effort only."""
        return self.purpose != "answer"

    @property
    def question(self) -> UserMessage | None:
        """The message to answer; steps of its answer may follow it."""
        users = (each for each in reversed(self.messages) if isinstance(each, UserMessage))
        return next(users, None)


def with_instruction(
    messages: tuple[PromptMessage, ...], instruction: str
) -> tuple[PromptMessage, ...]:
    """Return messages with one more instruction, at the end of the last message of the user.

    So the request begins with the same bytes as without it, which providers' caches have.
    """
    for place in reversed(range(len(messages))):
        question = messages[place]
        if isinstance(question, UserMessage):
            changed = replace(question, content=(*question.content, instruction))
            return (*messages[:place], changed, *messages[place + 1 :])
    return (*messages, UserMessage((instruction,)))
