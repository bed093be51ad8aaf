"""The operator's shape of a request, in both dialects, and the least effort for minor requests."""

import json
from typing import Any

import pytest

from lib.model import _shape
from lib.model._chat.request import chat_body
from lib.model._shape import with_responses_shape
from lib.model.request import AnswerSchema, ModelRequest, Purpose, UserMessage
from lib.models import Model
from lib.settings import DEFAULT_MODEL, Settings, read_settings
from tests.support.models import a_model

OPENAI = "https://api.openai.com/v1"
AZURE = "https://example.openai.azure.com/openai/v1?api-version=preview"
OPENROUTER = "https://openrouter.ai/api/v1"
GEMINI = "https://generativelanguage.googleapis.com/v1beta/openai"
DEEPSEEK = "https://api.deepseek.com"
OLLAMA = "http://127.0.0.1:11434/v1"
ELSEWHERE = "http://127.0.0.1:8000/v1"
SHAPED = {
    "OPENAI_REASONING_EFFORT": "low",
    "OPENAI_TEMPERATURE": "0.5",
    "OPENAI_MAX_TOKENS": "400",
}
# What a body has without any shape.
BARE = {"model", "messages", "stream", "stream_options"}


class Shapes:
    """The fields that settings add to a request."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Take the way to replace the settings."""
        self._monkeypatch = monkeypatch
        self._settings = Settings()

    def set(self, base_url: str, **variables: str) -> None:
        """Set variables, beside those that are required."""
        least = {"DATABASE_URL": "postgresql://x@127.0.0.1/x", "OPENAI_BASE_URL": base_url}
        settings = read_settings(least | variables)
        self._settings = settings
        self._monkeypatch.setattr(_shape, "settings", lambda: settings)

    def model(self, name: str) -> Model:
        """Return a model as the variables describe it."""
        return a_model(name, self._settings)

    def chat(self, model: str = "a-model", purpose: Purpose = "answer") -> dict[str, Any]:
        """Return the fields that a request to Chat Completions has beside the usual ones."""
        body = chat_body(ModelRequest(self.model(model), (UserMessage(("Hi",)),), purpose=purpose))
        return {name: value for name, value in body.items() if name not in BARE}

    def responses(self, model: str = "a-model", purpose: Purpose = "answer") -> dict[str, Any]:
        """Return the fields that a request to Responses gets."""
        return with_responses_shape({}, ModelRequest(self.model(model), (), purpose=purpose))


@pytest.fixture
def shapes(monkeypatch: pytest.MonkeyPatch) -> Shapes:
    """Return a way to set variables, and to see the fields that they add."""
    return Shapes(monkeypatch)


@pytest.mark.parametrize("base_url", [OPENAI, ELSEWHERE, OPENROUTER, DEEPSEEK, OLLAMA])
def test_a_request_to_a_model_of_the_operators_choice_has_no_field_that_is_not_set(
    shapes: Shapes, base_url: str
) -> None:
    shapes.set(base_url, OPENAI_MODEL="a-model")

    assert shapes.chat() == {}
    assert shapes.responses() == {"reasoning": {"summary": "auto"}}


@pytest.mark.parametrize(
    ("variables", "reasoning"),
    [
        ({}, {"summary": "auto"}),
        (
            {"REASONING": "store", "OPENAI_REASONING_EFFORT": "low"},
            {"effort": "low", "summary": "auto"},
        ),
        ({"REASONING": "hide"}, None),
        ({"OPENAI_REASONING_EFFORT": "none"}, {"effort": "none"}),
    ],
)
def test_a_request_to_responses_asks_for_summaries_where_thoughts_are_kept(
    shapes: Shapes, variables: dict[str, str], reasoning: dict[str, str] | None
) -> None:
    shapes.set(OPENAI, OPENAI_MODEL="a-model", **variables)

    assert shapes.responses().get("reasoning") == reasoning


@pytest.mark.parametrize(
    ("base_url", "limit"),
    [
        (OPENAI, "max_completion_tokens"),
        ("https://eu.api.openai.com/v1", "max_completion_tokens"),
        (AZURE, "max_completion_tokens"),
        (ELSEWHERE, "max_tokens"),
        ("https://api.openai.com.evil.test/v1", "max_tokens"),
    ],
)
def test_effort_temperature_and_limit_are_sent_to_chat_completions(
    shapes: Shapes, base_url: str, limit: str
) -> None:
    shapes.set(base_url, **SHAPED)

    assert shapes.chat() == {"reasoning_effort": "low", "temperature": 0.5, limit: 400}


def test_effort_temperature_and_limit_are_sent_to_responses_under_its_own_names(
    shapes: Shapes,
) -> None:
    shapes.set(OPENAI, **SHAPED)

    assert shapes.responses() == {
        "reasoning": {"effort": "low", "summary": "auto"},
        "temperature": 0.5,
        "max_output_tokens": 400,
    }


def test_the_default_model_gets_no_effort_in_either_dialect(shapes: Shapes) -> None:
    shapes.set(OPENAI)

    assert shapes.chat(DEFAULT_MODEL) == {"reasoning_effort": "none"}
    assert shapes.responses(DEFAULT_MODEL) == {"reasoning": {"effort": "none"}}


def test_the_default_model_gets_the_effort_that_is_set(shapes: Shapes) -> None:
    shapes.set(OPENAI, OPENAI_REASONING_EFFORT="high")

    assert shapes.chat(DEFAULT_MODEL) == {"reasoning_effort": "high"}


def test_the_extra_body_wins_over_all_fields_that_it_may_set(shapes: Shapes) -> None:
    extra = {"reasoning_effort": "xhigh", "top_p": 0.9, "stream_options": {"extra": True}}
    shapes.set(OPENAI, OPENAI_EXTRA_BODY=json.dumps(extra), **SHAPED)

    body = chat_body(ModelRequest(shapes.model("a-model"), ()))

    assert (body["reasoning_effort"], body["top_p"]) == ("xhigh", 0.9)
    assert body["temperature"] == 0.5
    # Of an object the other fields stay: without `include_usage` no tokens would be counted.
    assert body["stream_options"] == {"include_usage": True, "extra": True}


def test_an_object_in_the_extra_body_keeps_the_other_fields_of_a_request_to_responses(
    shapes: Shapes,
) -> None:
    extra = {"reasoning": {"summary": "detailed"}, "text": {"verbosity": "low"}}
    shapes.set(OPENAI, OPENAI_EXTRA_BODY=json.dumps(extra), **SHAPED)

    body = with_responses_shape(
        {"text": {"format": {"type": "text"}}}, ModelRequest(shapes.model("m"), ())
    )

    assert body["reasoning"] == {"effort": "low", "summary": "detailed"}
    assert body["text"] == {"format": {"type": "text"}, "verbosity": "low"}


def test_the_extra_body_is_the_same_for_each_request(shapes: Shapes) -> None:
    shapes.set(OPENAI, OPENAI_EXTRA_BODY='{"provider": {"order": ["a"]}}')

    request = ModelRequest(shapes.model("m"), (), schema=AnswerSchema("x", {}))

    bodies = [chat_body(request) for _ in range(2)]

    assert bodies[0] == bodies[1]
    assert bodies[0]["provider"] == {"order": ["a"]}


@pytest.mark.parametrize(
    ("base_url", "least"),
    [
        (OPENAI, {"reasoning_effort": "none"}),
        (AZURE, {"reasoning_effort": "none"}),
        (OPENROUTER, {"reasoning": {"effort": "minimal"}}),
        (GEMINI, {"reasoning_effort": "low"}),
        (DEEPSEEK, {"thinking": {"type": "disabled"}}),
        (OLLAMA, {"reasoning_effort": "none"}),
        (ELSEWHERE, {}),
        ("https://api.groq.com/openai/v1", {}),
    ],
)
def test_a_minor_request_asks_for_the_least_effort_where_the_provider_knows_the_word(
    shapes: Shapes, base_url: str, least: dict[str, Any]
) -> None:
    shapes.set(base_url, OPENAI_MODEL="a-model")

    assert shapes.chat(purpose="title") == least


def test_a_minor_request_asks_not_to_think_in_the_operators_words_alone(shapes: Shapes) -> None:
    shapes.set(OPENROUTER, OPENAI_EXTRA_BODY='{"reasoning": {"enabled": false}}')

    assert shapes.chat(purpose="title") == {"reasoning": {"enabled": False}}


def test_a_minor_request_asks_for_no_effort_where_the_operator_has_set_one(
    shapes: Shapes,
) -> None:
    shapes.set(ELSEWHERE, OPENAI_REASONING_EFFORT="high")

    assert shapes.chat(purpose="title") == {"reasoning_effort": "none"}
    assert shapes.responses(purpose="title") == {"reasoning": {"effort": "none"}}


def test_a_minor_request_to_the_default_model_asks_for_no_effort_anywhere(shapes: Shapes) -> None:
    shapes.set(ELSEWHERE)

    assert shapes.chat(DEFAULT_MODEL, purpose="title") == {"reasoning_effort": "none"}


def test_a_minor_request_has_the_limit_of_tokens_and_no_temperature(shapes: Shapes) -> None:
    shapes.set(ELSEWHERE, OPENAI_TEMPERATURE="1.5", OPENAI_MAX_TOKENS="400")

    assert shapes.chat(purpose="title") == {"max_tokens": 400}


@pytest.mark.parametrize(
    ("extra", "kept"),
    [
        ({"thinking": {"type": "enabled"}}, False),
        ({"reasoning": {"effort": "high"}}, False),
        ({"reasoning_effort": "high"}, False),
        ({"thinking": {"type": "disabled"}}, True),
        ({"reasoning": {"enabled": False}}, True),
        ({"chat_template_kwargs": {"enable_thinking": False}}, True),
    ],
)
def test_a_minor_request_leaves_out_what_asks_the_model_to_think(
    shapes: Shapes, extra: dict[str, Any], *, kept: bool
) -> None:
    shapes.set(ELSEWHERE, OPENAI_EXTRA_BODY=json.dumps(extra | {"top_p": 0.5}))

    assert shapes.chat(purpose="title") == {"top_p": 0.5} | (extra if kept else {})
    assert shapes.chat() == {"top_p": 0.5} | extra


@pytest.mark.parametrize(("base_url", "is_told"), [(OPENAI, True), (AZURE, False), (GEMINI, False)])
def test_openai_alone_is_told_which_requests_are_one_users_or_one_conversations(
    shapes: Shapes, base_url: str, *, is_told: bool
) -> None:
    shapes.set(base_url)
    request = ModelRequest(
        shapes.model("a-model"),
        (UserMessage(("Hi",)),),
        user_mark="user",
        cache_mark="conversation",
    )

    for body in (chat_body(request), with_responses_shape({}, request)):
        told = {name: body.get(name) for name in ("safety_identifier", "prompt_cache_key")}
        assert told == (
            {"safety_identifier": "user", "prompt_cache_key": "conversation"}
            if is_told
            else {"safety_identifier": None, "prompt_cache_key": None}
        )
