"""Changes of a request that some providers need, for any dialect."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from lib.model._refusals.schemas import Schema, bare_schema, plain_schema
from lib.model.request import (
    AssistantMessage,
    Document,
    Image,
    ModelRequest,
    PromptCall,
    PromptMessage,
    SystemMessage,
    UserMessage,
    with_instruction,
)

# An image, or a page of a document, costs a model about as much as a text of so many characters.
FILE_CHARS = 4000
# Google's own value for calls that another model has made.
ANY_SIGNATURE = "skip_thought_signature_validator"
REMARKS = {
    Image: "[There was an image here, which you cannot read.]",
    Document: "[There was a PDF document here, which you cannot read.]",
}


# The plain form of each schema, by identity, because a dict has no hash. A process has one schema
# for each tool and one for the analysis, and keeps them for good.
_plain_schemas: dict[int, tuple[Schema, Schema]] = {}


def with_plain_schemas(request: ModelRequest) -> ModelRequest:
    """Write schemas in the form that the strictest provider takes."""
    return _with_schemas(request, _plain_once)


def _plain_once(schema: Schema) -> Schema:
    """Return the plain form of a schema: made once, not for each request."""
    if id(schema) not in _plain_schemas:
        # With the schema itself, so that no other one gets its identity.
        _plain_schemas[id(schema)] = schema, plain_schema(schema)
    return _plain_schemas[id(schema)][1]


def with_bare_schemas(request: ModelRequest) -> ModelRequest:
    """Write schemas with types and names alone."""
    request = _with_schemas(request, bare_schema)
    return replace(request, schema=request.schema and replace(request.schema, is_strict=False))


def _with_schemas(request: ModelRequest, form: Callable[[Schema], Schema]) -> ModelRequest:
    schema = request.schema
    return replace(
        request,
        tools=tuple(replace(tool, parameters=form(tool.parameters)) for tool in request.tools),
        schema=schema and replace(schema, schema=form(schema.schema)),
    )


def with_schema_as_words(request: ModelRequest) -> ModelRequest:
    """Tell the form of the answer in words, after the question."""
    if request.schema is None:
        return request
    schema = json.dumps(request.schema.schema, ensure_ascii=False)
    words = f"Answer with JSON alone, without Markdown, by this JSON schema: {schema}"
    return replace(request, schema=None, messages=with_instruction(request.messages, words))


def without_web_search(request: ModelRequest) -> ModelRequest:
    """Leave out the provider's own search of the web."""
    return replace(request, web_search=False)


def without_tools(request: ModelRequest) -> ModelRequest:
    """Leave the tools out, and tell earlier calls as text: such a model knows no calls either."""
    request = replace(request, tools=(), forced_tool=None, may_call=True)
    return with_calls_as_text(request)


def without_forced_tool(request: ModelRequest) -> ModelRequest:
    """Let the model choose instead of forcing a tool, but leave it no other one to choose."""
    if request.forced_tool is None:
        return request
    tools = tuple(tool for tool in request.tools if tool.name == request.forced_tool)
    return replace(request, tools=tools, forced_tool=None, web_search=False)


def with_free_choice(request: ModelRequest) -> ModelRequest:
    """Let the model choose instead of forbidding it to call."""
    return replace(request, may_call=True)


def without_system_role(request: ModelRequest) -> ModelRequest:
    """Tell the instructions at the beginning of the user's first message."""
    match request.messages:
        case (SystemMessage(text), UserMessage(content), *others):
            return replace(request, messages=(UserMessage((text, *content)), *others))
        case _:
            return request


def without_states(request: ModelRequest) -> ModelRequest:
    """Leave out the provider's own fields of earlier answers, ids included."""
    return _with_answers(
        request,
        lambda answer: AssistantMessage(
            answer.text, tuple(replace(call, state=None) for call in answer.calls)
        ),
    )


def with_reasoning(request: ModelRequest) -> ModelRequest:
    """Give each earlier answer without a thought a blank one."""
    return _with_answers(
        request,
        lambda answer: replace(answer, state={"reasoning_content": ""} | (answer.state or {})),
    )


def with_signatures(request: ModelRequest, *, is_for_all: bool) -> ModelRequest:
    """Sign earlier calls in Google's way: those without a signature, or all."""

    def signed(call: PromptCall) -> PromptCall:
        state = call.state or {}
        extra: dict[str, Any] = state.get("extra_content") or {}
        google: dict[str, Any] = extra.get("google") or {}
        if google.get("thought_signature") and not is_for_all:
            return call
        google = google | {"thought_signature": ANY_SIGNATURE}
        return replace(call, state=state | {"extra_content": extra | {"google": google}})

    return _with_answers(
        request, lambda answer: replace(answer, calls=tuple(signed(call) for call in answer.calls))
    )


def with_calls_as_text(request: ModelRequest) -> ModelRequest:
    """Tell earlier tool calls as text of the assistant, and their results as text of the user."""
    messages: list[PromptMessage] = []
    for message in request.messages:
        for each in _as_text(message):
            match (messages[-1] if messages else None, each):
                case (UserMessage(before), UserMessage(content)):
                    messages[-1] = UserMessage((*before, *content))
                case _:
                    messages.append(each)
    return replace(request, messages=tuple(messages))


def without_earlier_files(request: ModelRequest, *kinds: type[Image | Document]) -> ModelRequest:
    """Put a remark in the place of each file of some kinds before the question."""
    return replace(
        request,
        messages=tuple(
            _without_files(message, kinds)
            if isinstance(message, UserMessage) and message is not request.question
            else message
            for message in request.messages
        ),
    )


def without_unanswered(request: ModelRequest) -> ModelRequest:
    """Leave out questions that have no answer, except the last one: one of them may be refused."""
    return replace(
        request,
        messages=tuple(
            UserMessage(message.content[message.unanswered :])
            if isinstance(message, UserMessage)
            else message
            for message in request.messages
        ),
    )


def shortened(request: ModelRequest, max_chars: int) -> ModelRequest:
    """Leave out the oldest messages until a request is short enough, or has its question alone."""
    first = 1 if request.messages and isinstance(request.messages[0], SystemMessage) else 0
    instructions, rest = request.messages[:first], request.messages[first:]
    starts = [index for index, each in enumerate(rest) if isinstance(each, UserMessage)]
    too_many = chars_of(request) - max_chars
    left_out = 0
    for start in starts[1:]:
        if too_many <= 0:
            break
        too_many -= sum(_chars_of(message) for message in rest[left_out:start])
        left_out = start
    return replace(request, messages=(*instructions, *rest[left_out:])) if left_out else request


def with_before(request: ModelRequest) -> ModelRequest:
    """Write what stands before the first question into its message."""
    if request.before is None:
        return request
    messages = list(request.messages)
    for place, message in enumerate(messages):
        if isinstance(message, UserMessage):
            content = (request.before, *message.content)
            unanswered = message.unanswered and message.unanswered + 1
            messages[place] = replace(message, content=content, unanswered=unanswered)
            break
    return replace(request, messages=tuple(messages), before=None)


def chars_of(request: ModelRequest) -> int:
    """Return how long the messages of a request are, in characters."""
    return sum(map(_chars_of, request.messages)) + len(request.before or "")


def _chars_of(message: PromptMessage) -> int:
    match message:
        case SystemMessage(text):
            return len(text)
        case UserMessage(content):
            return sum(
                len(part) if isinstance(part, str) else max(len(part.url), FILE_CHARS)
                for part in content
            )
        case AssistantMessage(text, calls, state):
            return len(text) + _state_chars(state) + sum(map(_chars_of_call, calls))


def _chars_of_call(call: PromptCall) -> int:
    return len(call.arguments) + len(call.result) + _state_chars(call.state)


def _state_chars(state: dict[str, Any] | None) -> int:
    return len(json.dumps(state)) if state else 0


def _with_answers(
    request: ModelRequest, change: Callable[[AssistantMessage], AssistantMessage]
) -> ModelRequest:
    return replace(
        request,
        messages=tuple(
            change(message) if isinstance(message, AssistantMessage) else message
            for message in request.messages
        ),
    )


def _as_text(message: PromptMessage) -> Iterator[PromptMessage]:
    if not isinstance(message, AssistantMessage) or not message.calls:
        yield message
        return
    calls = [f"[Calling {call.name} with {call.arguments}]" for call in message.calls]
    results = [f"[Result of {call.name}: {call.result}]" for call in message.calls]
    yield AssistantMessage("\n\n".join([text for text in (message.text, *calls) if text]))
    yield UserMessage(("\n\n".join(results),))


def _without_files(message: UserMessage, kinds: tuple[type[Image | Document], ...]) -> UserMessage:
    content = (REMARKS[type(part)] if isinstance(part, kinds) else part for part in message.content)
    return replace(message, content=tuple(content))
