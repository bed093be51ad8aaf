"""Cures for fields that only some operators send, and for histories of other providers."""

from collections.abc import Iterator
from typing import Any

import pytest

from lib.model._chat.request import chat_body
from lib.model._chat.stream import ChatReader
from lib.model._dialects import CHAT_COMPLETIONS, Dialect
from lib.model._refusals.cured_request import CuredRequest
from lib.model._refusals.refusal import Refusal
from lib.model.request import (
    AnswerSchema,
    AssistantMessage,
    ModelRequest,
    PromptCall,
    SystemMessage,
    ToolDefinition,
    UserMessage,
)
from lib.settings import Settings
from tests.support.models import a_model
from tests.support.product import forget_process

SETTINGS = Settings()
TOOL = ToolDefinition("add_task", "Adds a task.", {"type": "object", "properties": {}})
SIGNED = {"id": "call_1", "extra_content": {"google": {"thought_signature": "abc"}}}
STEP = AssistantMessage(
    "One moment.",
    (PromptCall("call_1", "add_task", "{}", '{"id":1}', SIGNED),),
    {"reasoning_content": "Hm"},
)
HISTORY = (
    SystemMessage("Be brief."),
    UserMessage(("Add milk",)),
    STEP,
    AssistantMessage("Done.", (), {"reasoning": "Hm"}),
    UserMessage(("And now?",)),
)


@pytest.fixture(autouse=True)
def fresh_process(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Begin and end without experience."""
    monkeypatch.setenv("DATABASE_URL", "postgresql://nobody@127.0.0.1:1/nothing")
    forget_process()
    yield
    forget_process()


def asking(fields: dict[str, Any]) -> Dialect:
    """Return a dialect whose requests have more fields, as an operator may ask for."""
    return Dialect(lambda request: chat_body(request) | fields, CHAT_COMPLETIONS.path, ChatReader)


def refusal(words: str, *, status: int = 400, **more: object) -> Refusal:
    """Return a refusal in some words."""
    return Refusal(status, {"message": words} | more, {})


FIELDS: list[tuple[dict[str, Any], Refusal, dict[str, Any]]] = [
    (
        {"max_tokens": 500},
        refusal(
            "Unsupported parameter: 'max_tokens' is not supported with this model. Use "
            "'max_completion_tokens' instead.",
            param="max_tokens",
        ),
        {"max_completion_tokens": 500},
    ),
    (
        {"max_completion_tokens": 500},
        refusal("property 'max_completion_tokens' is unsupported"),
        {"max_tokens": 500},
    ),
    (
        {"temperature": 0.2},
        refusal(
            "Unsupported value: 'temperature' does not support 0.2 with this model. Only the "
            "default (1) value is supported.",
            param="temperature",
        ),
        {},
    ),
    (
        {"temperature": 0.2, "parallel_tool_calls": False},
        refusal(
            "litellm.UnsupportedParamsError: x does not support parameters: "
            "['parallel_tool_calls'], for model=x"
        ),
        {"temperature": 0.2},
    ),
    (
        {"reasoning_effort": "none"},
        refusal(
            "Unsupported value: 'reasoning_effort' does not support 'none' with this model. "
            "Supported values are: 'low', 'medium', and 'high'.",
            param="reasoning_effort",
        ),
        {"reasoning_effort": "low"},
    ),
    (
        {"reasoning_effort": "xhigh"},
        refusal(
            "1 validation error: reasoning_effort: expected one of 'low' | 'medium' | 'high', "
            "received 'xhigh'"
        ),
        {"reasoning_effort": "high"},
    ),
    (
        {"reasoning_effort": "low"},
        refusal("Unrecognized request argument supplied: reasoning_effort"),
        {},
    ),
    ({"reasoning_effort": "low"}, refusal('"gemma3" does not support thinking'), {}),
    (
        {"reasoning": {"effort": "minimal", "summary": "auto"}},
        refusal(
            "Unsupported value: 'minimal' is not supported with the 'gpt-5.6' model. Supported "
            "values are: 'none', 'low', 'medium', and 'high'.",
            param="reasoning.effort",
        ),
        {"reasoning": {"effort": "none", "summary": "auto"}},
    ),
    (
        {"include": ["reasoning.encrypted_content"]},
        refusal("Encrypted content is not supported with this model.", param="include"),
        {},
    ),
]


@pytest.mark.parametrize(("fields", "refused", "cured"), FIELDS)
def test_a_field_of_the_body_that_is_refused_is_changed_or_left_out(
    fields: dict[str, Any], refused: Refusal, cured: dict[str, Any]
) -> None:
    plain = ModelRequest(a_model("m", SETTINGS), (UserMessage(("Hello!",)),))
    request = CuredRequest(plain, asking(fields))

    assert request.cure(refused)

    assert request.body(request.request) == chat_body(plain) | cured


def answers_after(*refusals: Refusal) -> list[AssistantMessage]:
    """Return the earlier answers in a request that was refused."""
    request = CuredRequest(ModelRequest(a_model("m", SETTINGS), HISTORY, (TOOL,)), CHAT_COMPLETIONS)
    for each in refusals:
        assert request.cure(each)
    messages = request.request.messages
    return [message for message in messages if isinstance(message, AssistantMessage)]


@pytest.mark.parametrize(
    "refused",
    [
        refusal(
            "'messages.2' : for 'role:assistant' the following must be satisfied"
            "[('messages.2' : property 'reasoning_content' is unsupported)]"
        ),
        refusal("Unknown parameter", param="messages[2].reasoning_content"),
        Refusal(
            422,
            {
                "detail": [
                    {
                        "type": "extra_forbidden",
                        "loc": ["body", "messages", 2, "assistant", "reasoning"],
                        "msg": "Extra inputs are not permitted",
                        "input": "my tools are not supported",
                    }
                ]
            },
            {},
        ),
        refusal("Invalid `signature` in `thinking` block"),
        refusal("The encrypted content gAAA could not be verified."),
        refusal(
            "Invalid 'messages[2].tool_calls[0].id': string too long. Expected a string with "
            "maximum length 40, but got a string with length 400 instead.",
            code="string_above_max_length",
        ),
    ],
    ids=["Groq", "OpenAI", "Mistral", "Anthropic", "Responses", "OpenAI, an id"],
)
def test_states_that_the_provider_does_not_take_are_left_out(refused: Refusal) -> None:
    answers = answers_after(refused)

    assert [answer.text for answer in answers] == ["One moment.", "Done."]
    assert [answer.state for answer in answers] == [None, None]
    assert [call.state for answer in answers for call in answer.calls] == [None]


def test_a_blank_thought_goes_only_to_answers_without_one() -> None:
    words = "The `reasoning_content` in the thinking mode must be passed back to the API."

    states = [answer.state for answer in answers_after(refusal(words))]

    assert states == [
        {"reasoning_content": "Hm"},
        {"reasoning_content": "", "reasoning": "Hm"},
    ]


def test_a_signature_that_google_does_not_take_is_replaced() -> None:
    [answer, _] = answers_after(refusal("Corrupted thought signature."))

    google = (answer.calls[0].state or {})["extra_content"]["google"]
    assert google == {"thought_signature": "skip_thought_signature_validator"}


def test_a_signature_goes_only_to_calls_without_one() -> None:
    unsigned = PromptCall("call_2", "add_task", "{}", "{}")
    answer = AssistantMessage("", (*STEP.calls, unsigned))
    request = CuredRequest(
        ModelRequest(a_model("m", SETTINGS), (UserMessage(("Add milk",)), answer), (TOOL,)),
        CHAT_COMPLETIONS,
    )

    assert request.cure(refusal("Function call is missing a thought_signature"))

    [_, cured] = request.request.messages
    assert isinstance(cured, AssistantMessage)
    assert [(call.state or {})["extra_content"]["google"] for call in cured.calls] == [
        {"thought_signature": "abc"},
        {"thought_signature": "skip_thought_signature_validator"},
    ]


@pytest.mark.parametrize(
    ("words", "param"),
    [
        ("registry.ollama.ai/library/gemma3:4b does not support tools", ""),
        ("This is wrong.", "tools[0].function"),
    ],
)
def test_a_model_without_tools_gets_earlier_calls_as_text_in_its_next_request(
    words: str, param: str
) -> None:
    request = CuredRequest(ModelRequest(a_model("m", SETTINGS), HISTORY, (TOOL,)), CHAT_COMPLETIONS)

    assert request.cure(refusal(words, param=param))

    assert request.request.tools == ()
    assert not any(
        message.calls
        for message in request.request.messages
        if isinstance(message, AssistantMessage)
    )


def test_a_model_that_may_not_be_forbidden_to_call_is_left_the_choice() -> None:
    request = CuredRequest(
        ModelRequest(a_model("m", SETTINGS), HISTORY, (TOOL,), may_call=False), CHAT_COMPLETIONS
    )

    assert request.cure(refusal("deepseek-reasoner does not support this tool_choice"))

    assert "tool_choice" not in request.body(request.request)


def test_a_history_that_is_refused_in_vague_words_is_told_without_states_then_without_calls() -> (
    None
):
    states, calls = (
        refusal("Invalid message", param="messages[2]"),
        refusal("Message is wrong", param="messages[2]"),
    )

    first, second = answers_after(states), answers_after(states, calls)

    assert [(answer.state, bool(answer.calls)) for answer in first] == [(None, True), (None, False)]
    assert [bool(answer.calls) for answer in second] == [False, False]


def test_calls_told_as_text_leave_user_and_assistant_in_turn() -> None:
    request = CuredRequest(ModelRequest(a_model("m", SETTINGS), HISTORY, (TOOL,)), CHAT_COMPLETIONS)

    assert request.cure(refusal("Unexpected role 'tool'"))

    assert request.request.messages == (
        SystemMessage("Be brief."),
        UserMessage(("Add milk",)),
        AssistantMessage("One moment.\n\n[Calling add_task with {}]"),
        UserMessage(('[Result of add_task: {"id":1}]',)),
        AssistantMessage("Done.", (), {"reasoning": "Hm"}),
        UserMessage(("And now?",)),
    )
    assert request.request.tools == (TOOL,)


def test_a_shorter_request_keeps_its_question_and_the_steps_after_it() -> None:
    request = CuredRequest(ModelRequest(a_model("m", SETTINGS), (*HISTORY, STEP)), CHAT_COMPLETIONS)

    assert request.cure(refusal("context_length_exceeded"))

    assert request.request.messages == (HISTORY[0], HISTORY[-1], STEP)
    assert not request.cure(refusal("context_length_exceeded"))


def test_a_schema_that_is_refused_is_sent_bare() -> None:
    schema = {"type": "object", "properties": {"percent": {"type": "integer", "enum": [0, 10]}}}
    request = CuredRequest(
        ModelRequest(
            a_model("m", SETTINGS), HISTORY[:2], schema=AnswerSchema("a", schema, is_strict=True)
        ),
        CHAT_COMPLETIONS,
    )

    assert request.cure(refusal("Invalid schema: enum is only allowed for STRING type"))

    cured = request.request.schema
    assert cured is not None
    assert cured.schema["properties"] == {"percent": {"type": "integer"}}
    assert not cured.is_strict


@pytest.mark.parametrize("status", [401, 402, 429, 503, 504, 529])
def test_a_refusal_of_key_limit_or_load_has_no_cure(status: int) -> None:
    request = CuredRequest(ModelRequest(a_model("m", SETTINGS), HISTORY, (TOOL,)), CHAT_COMPLETIONS)

    assert not request.cure(refusal("This model does not support tools", status=status))
