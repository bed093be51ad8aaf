"""Refusals that another request would not get: cured once, and remembered for the process.

The words are those that providers, gateways and chat templates use.
"""

import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import httpx2
import psycopg
import pytest

import lib.settings
from tests.support.logs import events_of
from tests.support.model_server import Called, Reply, ScriptedModel, calling
from tests.support.product import CHAT_ID, Parley, id_of, parts_of, problem_of, text_of

ADD_TASK = Called("add_task", {"title": "Buy milk"})
CAT = {"type": "file", "mediaType": "image/png", "url": "https://example.com/cat.png"}

type Body = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Refusing:
    """A provider that refuses some requests.

    Attributes:
        refuses: tells which.
        error: the body of its error.
        status: the HTTP status of its error.
        count: how many requests it refuses until Parley has found a cure.
    """

    refuses: Callable[[Body], bool]
    error: object
    status: int = 400
    count: int = 1

    def reply_to(self, body: Body) -> Reply:
        """Refuse a request, or call `add_task` once, or answer."""
        if self.refuses(body):
            return Reply(status=self.status, error=self.error)
        asks_for_task = "Add milk" in str(body["messages"][-1]["content"])
        return calling(ADD_TASK) if "tools" in body and asks_for_task else Reply(pieces=("Done",))


def openai_error(message: str, **more: object) -> Body:
    """Return an error as OpenAI and most others write it."""
    error = {"message": message, "type": "invalid_request_error", "param": None, "code": None}
    return {"error": error | more}


def google_error(message: str) -> list[Body]:
    """Return an error as Gemini's compatible endpoint writes it: in a list."""
    return [{"error": {"code": 400, "message": message, "status": "INVALID_ARGUMENT"}}]


def has_tools(body: Body) -> bool:
    """Return whether a request offers tools."""
    return "tools" in body


def has_stream_options(body: Body) -> bool:
    """Return whether a request asks for the usage."""
    return "stream_options" in body


def has_system_role(body: Body) -> bool:
    """Return whether a request has instructions of their own."""
    return any(message["role"] == "system" for message in body["messages"])


def has_tool_role(body: Body) -> bool:
    """Return whether a request has results of tools."""
    return any(message["role"] == "tool" for message in body["messages"])


def has_unsigned_call(body: Body) -> bool:
    """Return whether a request has a call without Google's signature."""
    calls = [call for message in body["messages"] for call in message.get("tool_calls", [])]
    return not all(
        call.get("extra_content", {}).get("google", {}).get("thought_signature") for call in calls
    )


def lacks_reasoning(body: Body) -> bool:
    """Return whether a request has an answer without its thought."""
    answers = [message for message in body["messages"] if message["role"] == "assistant"]
    return not all("reasoning_content" in answer for answer in answers)


def has_foreign_id(body: Body) -> bool:
    """Return whether a call's id is not of Mistral's form."""
    calls = [call for message in body["messages"] for call in message.get("tool_calls", [])]
    return not all(len(call["id"]) == 9 and call["id"].isalnum() for call in calls)


def has_effort_with_tools(body: Body) -> bool:
    """Return whether a request has tools, and does not say that the model need not think."""
    return "tools" in body and body.get("reasoning_effort") != "none"


CURED = {
    "Ollama, a model without tools": Refusing(
        has_tools,
        openai_error(
            "registry.ollama.ai/library/gemma3:4b does not support tools", type="api_error"
        ),
    ),
    "Ollama's older form": Refusing(
        has_tools, {"error": "registry.ollama.ai/library/gemma3:4b does not support tools"}
    ),
    "vLLM without a parser of calls": Refusing(
        has_tools,
        {
            "object": "error",
            "message": '"auto" tool choice requires --enable-auto-tool-choice and '
            "--tool-call-parser to be set",
            "type": "BadRequestError",
            "param": None,
            "code": 400,
        },
    ),
    "OpenRouter without a provider that has tools": Refusing(
        has_tools,
        {
            "error": {
                "message": 'No endpoints found that support tool use. Try disabling "add_task". '
                "To learn more about provider routing, visit: https://openrouter.ai/docs",
                "code": 404,
            }
        },
        status=404,
    ),
    "llama.cpp without a template": Refusing(
        has_tools,
        {
            "error": {
                "code": 500,
                "message": "tools param requires --jinja flag",
                "type": "server_error",
            }
        },
        status=500,
    ),
    "Bedrock behind a gateway": Refusing(
        has_tools,
        openai_error('BedrockException - {"message":"This model doesn\'t support tool use."}'),
    ),
    "Gemma at Google": Refusing(
        has_tools, google_error("Function calling is not enabled for models/gemma-3-27b-it")
    ),
    "OpenAI, tools together with thinking": Refusing(
        has_effort_with_tools,
        openai_error(
            "Function tools with reasoning_effort are not supported for gpt-5.6-terra in "
            "/v1/chat/completions. To use function tools, use /v1/responses or set "
            "reasoning_effort to 'none'.",
            param="reasoning_effort",
        ),
    ),
    "OpenAI, tools with thinking alone": Refusing(
        lambda body: has_tools(body) or body.get("reasoning_effort") == "none",
        openai_error(
            "Function tools with reasoning_effort are not supported for gpt-5.6-pro in "
            "/v1/chat/completions. Please use /v1/responses instead.",
            param="reasoning_effort",
        ),
        count=2,
    ),
    "a proxy that does not know stream_options": Refusing(
        has_stream_options,
        openai_error(
            "Unknown parameter: 'stream_options'.",
            param="stream_options",
            code="unknown_parameter",
        ),
    ),
    "Azure's models of others": Refusing(
        has_stream_options,
        {
            "detail": "Extra parameters ['stream_options'] are not allowed when extra-parameters "
            "is not set or set to be 'error'."
        },
    ),
    "FastAPI": Refusing(
        has_stream_options,
        {
            "detail": [
                {
                    "type": "extra_forbidden",
                    "loc": ["body", "stream_options"],
                    "msg": "Extra inputs are not permitted",
                    "input": {"include_usage": True},
                }
            ]
        },
        status=422,
    ),
    "words without JSON": Refusing(has_stream_options, "unsupported field: stream_options"),
    "Gemma at Google, the system role": Refusing(
        has_system_role,
        google_error("Developer instruction is not enabled for models/gemma-3-27b-it"),
    ),
    "OpenRouter, which passes Google's words on": Refusing(
        has_system_role,
        {
            "error": {
                "message": "Provider returned error",
                "code": 400,
                "metadata": {
                    "raw": json.dumps(
                        google_error("Developer instruction is not enabled for models/gemma")[0]
                    ),
                    "provider_name": "Google AI Studio",
                },
            }
        },
    ),
    "a chat template without a system role": Refusing(
        has_system_role,
        {"object": "error", "message": "System role not supported", "type": "BadRequestError"},
    ),
    "a chat template that counts the system message": Refusing(
        has_system_role,
        openai_error("Conversation roles must alternate user/assistant/user/assistant/..."),
    ),
    "Anthropic's roles": Refusing(
        has_system_role, openai_error("messages.0.role: Input should be 'user' or 'assistant'")
    ),
    "OpenAI's o1-mini": Refusing(
        has_system_role,
        openai_error(
            "Unsupported value: 'messages[0].role' does not support 'system' with this model.",
            param="messages[0].role",
            code="unsupported_value",
        ),
    ),
    "Gemini 3": Refusing(
        has_unsigned_call,
        google_error(
            "Function call is missing a thought_signature in functionCall parts. This is required "
            "for tools to work correctly, and missing thought_signature may lead to degraded model "
            "performance. Additional data, function call `default_api:add_task` , position 2."
        ),
    ),
    "Vertex": Refusing(
        has_unsigned_call,
        google_error(
            "Unable to submit request because function call `add_task` in the 2. content block is "
            "missing a `thought_signature`."
        ),
    ),
    "DeepSeek": Refusing(
        lacks_reasoning,
        openai_error(
            "The `reasoning_content` in the thinking mode must be passed back to the API.",
            code="invalid_request_error",
        ),
    ),
    "DeepSeek before": Refusing(
        lacks_reasoning,
        openai_error(
            "Missing `reasoning_content` field in the assistant message at message index 2."
        ),
    ),
    "Kimi": Refusing(
        lacks_reasoning,
        openai_error(
            "thinking is enabled but reasoning_content is missing in assistant tool call message "
            "at index 2"
        ),
    ),
    "Mistral": Refusing(
        has_foreign_id,
        {
            "object": "error",
            "message": "Tool call id was call_1 but must be a-z, A-Z, 0-9, with a length of 9.",
            "type": "invalid_request_message_order",
            "code": "3230",
        },
    ),
    "a chat template without a form for results": Refusing(
        has_tool_role,
        openai_error("Unexpected role 'tool' in the conversation: no form for tool results"),
    ),
    "Bedrock, calls without tools": Refusing(
        has_tool_role,
        openai_error(
            "The toolConfig field must be defined when using toolUse and toolResult content blocks."
        ),
    ),
}


@pytest.mark.parametrize("provider", CURED.values(), ids=CURED.keys())
async def test_a_request_is_cured_of_a_refusal_and_later_ones_begin_cured(
    parley: Parley, model: ScriptedModel, provider: Refusing
) -> None:
    model.choose = provider.reply_to

    for number, question in enumerate(["Add milk", "And now?", "Anything else?"]):
        response = await parley.send(question, message_id=f"message-{number}", user="ann")
        assert text_of(response) == "Done"
    refused = [body for body in model.requests if provider.refuses(body)]

    assert len(refused) == provider.count


async def test_a_provider_that_refuses_two_things_gets_two_cures(
    parley: Parley, model: ScriptedModel
) -> None:
    def choose(body: Body) -> Reply:
        reply = CURED["FastAPI"].reply_to(body)
        return (
            reply if reply.status != 200 else CURED["vLLM without a parser of calls"].reply_to(body)
        )

    model.choose = choose

    for number in range(2):
        response = await parley.send("Hello!", message_id=f"message-{number}", user="ann")
        assert text_of(response) == "Done"

    asked = [(has_stream_options(body), has_tools(body)) for body in model.requests]
    assert asked == [(True, True), (False, True), (False, False), (False, False)]


async def test_a_cured_request_says_in_the_log_what_it_does_without(
    parley: Parley, model: ScriptedModel, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "parley")
    model.choose = CURED["FastAPI"].reply_to

    await parley.send("Hello!")

    assert events_of(caplog, "model_request_cured") == [
        {"event": "model_request_cured", "model": "test-model", "cure": "without stream_options"}
    ]


@pytest.mark.parametrize("other", [{"OPENAI_MODEL": "other"}, {"OPENAI_BASE_URL": "{}?other=1"}])
async def test_what_one_model_refuses_is_tried_with_another(
    parley: Parley, model: ScriptedModel, monkeypatch: pytest.MonkeyPatch, other: dict[str, str]
) -> None:
    model.choose = CURED["FastAPI"].reply_to
    await parley.send("Hello!")
    for name, value in other.items():
        monkeypatch.setenv(name, value.format(model.base_url))
    lib.settings.settings.cache_clear()

    await parley.send("And now?", message_id="message-2")

    assert ["stream_options" in body for body in model.requests] == [True, False, True, False]


async def test_a_refusal_in_a_stream_is_cured_before_its_first_piece(
    parley: Parley, model: ScriptedModel
) -> None:
    def choose(body: Body) -> Reply:
        error = {"code": 400, "message": "Unknown parameter: 'stream_options'."}
        return Reply(chunks=[{"error": error}]) if has_stream_options(body) else Reply()

    model.choose = choose

    assert text_of(await parley.send("Hello!")) == "Hello, how are you?"
    assert len(model.requests) == 2


async def test_a_refusal_after_the_first_piece_asks_no_second_time(
    parley: Parley, model: ScriptedModel
) -> None:
    piece = {"choices": [{"delta": {"content": "Hello"}}]}
    error = {"code": 400, "message": "Unknown parameter: 'stream_options'."}
    model.replies = [Reply(chunks=[piece, {"error": error}])]

    parts = parts_of(await parley.send("Hello!"))

    assert parts[-1]["type"] == "error"
    assert len(model.requests) == 1


async def test_a_cure_that_does_not_help_is_taken_back(
    parley: Parley, model: ScriptedModel
) -> None:
    model.default = Reply(status=400, error=openai_error("Unknown parameter: 'stream_options'."))

    problem_of(await parley.say("Hello!"), 502, "model_refused")
    await parley.say("Hello!")

    assert ["stream_options" in body for body in model.requests] == [True, False, True, False]


async def test_a_cure_that_does_not_help_is_taken_back_though_each_refusal_has_an_id(
    parley: Parley, model: ScriptedModel
) -> None:
    def choose(body: Body) -> Reply:
        request_id = f"2026{'abcdefgh'[len(model.requests)]}X9"
        words = f"Cannot use tools, stream_options (request id: {request_id})"
        return Reply(status=400, error=openai_error(words)) if has_tools(body) else Reply()

    model.choose = choose

    await parley.send("Hello!", user="ann")

    asked = [(has_stream_options(body), has_tools(body)) for body in model.requests]
    assert asked == [(True, True), (False, True), (True, False)]


@pytest.mark.environment(OPENAI_REASONING_EFFORT="high", OPENAI_TITLE_MODEL="test-model")
async def test_an_effort_that_a_title_is_refused_costs_the_answers_not_theirs(
    parley: Parley, model: ScriptedModel
) -> None:
    def choose(body: Body) -> Reply:
        if body.get("reasoning_effort") == "none":
            words = "Unsupported value: reasoning_effort does not support 'none'"
            return Reply(status=400, error=openai_error(words, param="reasoning_effort"))
        return Reply(seconds_between=0.1)

    model.choose = choose
    for number in range(2):
        await parley.send("Hello!", message_id=f"message-{number}")

    assert [body.get("reasoning_effort") for body in model.requests] == [
        *("high", "none", None, "high"),
    ]


async def test_a_provider_that_refuses_everything_is_asked_a_limited_number_of_times(
    parley: Parley, model: ScriptedModel
) -> None:
    refusals = [refusing.error for refusing in CURED.values()]

    def choose(_body: Body) -> Reply:
        return Reply(status=400, error=refusals[len(model.requests) % len(refusals)])

    model.choose = choose

    problem_of(await parley.say("Hello!", user="ann"), 502, "model_refused")

    assert 1 < len(model.requests) <= 9


FORCED = {
    "DeepSeek": openai_error("Thinking mode does not support this tool_choice"),
    "Kimi": openai_error("tool_choice 'specified' is incompatible with thinking enabled"),
    "Qwen": openai_error(
        "<400> InternalError.Algo.InvalidParameter: The tool_choice parameter does not support "
        "being set to required or object in thinking mode",
        code="invalid_parameter_error",
    ),
    "OpenRouter": {
        "error": {
            "message": "No endpoints found that support the provided 'tool_choice' value. To learn "
            "more about provider routing, visit: https://openrouter.ai/docs",
            "code": 404,
        }
    },
    "Anthropic": {
        "type": "error",
        "error": {
            "type": "invalid_request_error",
            "message": "Thinking may not be enabled when tool_choice forces tool use.",
        },
    },
}


@pytest.mark.parametrize("error", FORCED.values(), ids=FORCED.keys())
async def test_a_forced_tool_that_is_refused_is_run_all_the_same(
    parley: Parley, model: ScriptedModel, database: psycopg.Connection, error: object
) -> None:
    def choose(body: Body) -> Reply:
        if isinstance(body.get("tool_choice"), dict):
            return Reply(status=400, error=error)
        if "response_format" in body:
            return Reply(pieces=('{"title": ', '"Buy milk"}'))
        return Reply(pieces=("I like milk",))

    model.choose = choose

    for number in range(2):
        response = await parley.send(
            "Milk", user="ann", tool_choice="add_task", message_id=f"message-{number}"
        )
        assert text_of(response) == "I like milk"

    forced = [isinstance(body.get("tool_choice"), dict) for body in model.requests]
    assert forced == [True, *[False] * 6]
    assert database.execute("SELECT title FROM tasks").fetchall() == [("Buy milk",)] * 2


@pytest.mark.parametrize(
    "words",
    [
        "This response_format type is unavailable now",
        "'response_format' of type 'json_schema' is not supported with this model.",
        "This model does not support response format `json_schema`.",
    ],
)
async def test_a_forced_tool_is_run_by_a_model_that_knows_neither_tools_nor_schemas(
    parley: Parley, model: ScriptedModel, database: psycopg.Connection, words: str
) -> None:
    def choose(body: Body) -> Reply:
        if "tools" in body:
            return Reply(status=400, error=openai_error("tools is not supported in this model."))
        if "response_format" in body:
            return Reply(status=400, error=openai_error(words))
        is_asked_for_json = "JSON schema" in body["messages"][-1]["content"]
        return Reply(pieces=('{"title": "Buy milk"}' if is_asked_for_json else "Done",))

    model.choose = choose

    response = await parley.send("Milk", user="ann", tool_choice="add_task")

    assert text_of(response) == "Done"
    assert database.execute("SELECT title FROM tasks").fetchall() == [("Buy milk",)]


BLOCK = ("```json\n", '{"title": ', '"Buy {} milk"}', "\n```\n")


@pytest.mark.parametrize(
    "pieces",
    [
        BLOCK,
        ("".join(BLOCK),),
        ("Here ", "it is:\n\n", *BLOCK, "Done {}"),
        ("<think>{", "</think>", *BLOCK),
    ],
)
async def test_the_arguments_of_a_forced_tool_are_read_out_of_the_words_around_them(
    parley: Parley, model: ScriptedModel, database: psycopg.Connection, pieces: tuple[str, ...]
) -> None:
    def choose(body: Body) -> Reply:
        if isinstance(body.get("tool_choice"), dict):
            return Reply(status=400, error=openai_error("tool_choice is not supported"))
        return Reply(pieces=pieces if "response_format" in body else ("Done",))

    model.choose = choose

    await parley.send("Milk", user="ann", tool_choice="add_task")

    assert database.execute("SELECT title FROM tasks").fetchall() == [("Buy {} milk",)]


async def test_a_call_that_the_provider_cannot_read_is_asked_for_once_more(
    parley: Parley, model: ScriptedModel, database: psycopg.Connection
) -> None:
    garbled = Reply(
        status=400,
        error=openai_error(
            "Failed to call a function. Please adjust your prompt. See 'failed_generation' for "
            "more details.",
            code="tool_use_failed",
            failed_generation='<function=add_task>{"title": "image"}',
        ),
    )
    model.replies = [garbled, calling(ADD_TASK), Reply(), garbled, garbled]

    assert text_of(await parley.send("Milk", user="ann")) == "Hello, how are you?"
    failed = await parley.say("Hello!", user="ann")

    problem_of(failed, 502, "model_failed")
    assert database.execute("SELECT title FROM tasks").fetchall() == [("Buy milk",)]


GARBLED = {
    "Ollama": (500, "error parsing tool call: raw='{', err=unexpected end of JSON input"),
    "llama.cpp": (
        500,
        (
            "Failed to parse tool call arguments as JSON: [json.exception.parse_error.101] parse "
            "error at line 1, column 10: syntax error - unexpected end of input"
        ),
    ),
    "Groq": (
        400,
        (
            "tool call validation failed: parameters for tool add_task did not match schema: "
            "errors: [missing properties: 'title']"
        ),
    ),
    "a provider that fails": (500, "Internal server error: unexpected failure in tool parser"),
}


@pytest.mark.parametrize(("status", "words"), GARBLED.values(), ids=GARBLED.keys())
async def test_a_garbled_call_costs_no_later_request_its_tools(
    parley: Parley, model: ScriptedModel, status: int, words: str
) -> None:
    garbled = Reply(status=status, error=openai_error(words))
    model.replies = [garbled, garbled, Reply()]
    await parley.send("Milk", user="ann")
    model.replies = []

    await parley.send("Hello!", user="bob", chat_id=id_of("b"))

    assert all(map(has_tools, model.requests))


async def test_a_forced_tool_that_is_refused_in_vague_words_costs_no_request_its_tools(
    parley: Parley, model: ScriptedModel
) -> None:
    error = openai_error("Forced function calling is not supported by this model")
    model.choose = Refusing(lambda body: isinstance(body.get("tool_choice"), dict), error).reply_to

    assert text_of(await parley.send("Add milk", user="ann", tool_choice="add_task")) == "Done"

    assert all(has_tools(body) or "response_format" in body for body in model.requests)


TEXT_ONLY = {
    "DeepSeek": openai_error(
        "Failed to deserialize the JSON body into the target type: messages[1]: unknown variant "
        "`image_url`, expected `text` at line 1 column 114708",
        code="invalid_request_error",
    ),
    "OpenAI": openai_error("Invalid content type. image_url is only supported by certain models."),
    "OpenRouter": {
        "error": {"message": "No endpoints found that support image input", "code": 404}
    },
    "llama.cpp": {
        "error": {
            "code": 500,
            "message": "image input is not supported - hint: if this is unexpected, you may need "
            "to provide the mmproj",
            "type": "server_error",
        }
    },
    "vLLM": {"object": "error", "message": "deepseek-v3 is not a multimodal model", "code": 400},
    "Groq": openai_error(
        "'messages.1' : for 'role:user' the following must be satisfied"
        "[('messages.1.content' : value must be a string)]"
    ),
    "Mistral": {"object": "error", "message": "Image input is not enabled for this model"},
    "Qwen": openai_error(
        "<400> InternalError.Algo.InvalidParameter: The provided messages input is invalid. The "
        "error info is [Unexpected item type in content.]"
    ),
}


def has_image(body: Body) -> bool:
    """Return whether a request has an image."""
    return "image_url" in json.dumps(body["messages"])


@pytest.mark.parametrize("error", TEXT_ONLY.values(), ids=TEXT_ONLY.keys())
async def test_a_picture_for_a_model_that_reads_text_alone_is_a_422_at_once(
    parley: Parley, model: ScriptedModel, error: object
) -> None:
    model.choose = Refusing(has_image, error).reply_to

    problem_of(await _show(parley, "What is this?"), 422, "file_refused")

    assert len(model.requests) == 1


async def test_earlier_pictures_are_left_out_for_a_model_that_reads_text_alone(
    parley: Parley, model: ScriptedModel
) -> None:
    await _show(parley, "What is this?")
    refusing = Refusing(has_image, TEXT_ONLY["DeepSeek"])
    model.choose = refusing.reply_to

    for number in (2, 3):
        message_id = f"message-{number}"
        response = await parley.send("And now?", message_id=message_id, user="ann")
        assert text_of(response) == "Done"

    assert [has_image(body) for body in model.requests] == [True, True, False, False]
    assert model.requests[-1]["messages"][1]["content"].startswith("What is this?\n\n[There was")


@pytest.mark.parametrize(
    "words",
    [
        "You uploaded an unsupported image. Please make sure your image is valid.",
        "The image data you provided does not represent a valid image.",
        "Could not process image",
        "Error while downloading https://example.com/cat.png.",
        "Failed to load image or audio file",
        "Provided image is not valid.",
        "Cannot fetch content from the provided URL. Please ensure the URL is valid.",
        "URL not accessible: 403 Forbidden",
        "Invalid value: 'image_url'. Supported values are: 'text'.",
        "This model supports text only.",
    ],
)
async def test_a_picture_that_cannot_be_read_is_a_422(
    parley: Parley, model: ScriptedModel, words: str
) -> None:
    refusing = Refusing(lambda body: "cat.png" in json.dumps(body), openai_error(words))
    model.choose = refusing.reply_to

    problem_of(await _show(parley, "What is this?"), 422, "file_refused")


async def test_the_question_after_a_refused_picture_is_answered_without_that_picture(
    parley: Parley, model: ScriptedModel
) -> None:
    model.choose = Refusing(has_image, TEXT_ONLY["DeepSeek"]).reply_to
    await _show(parley, "What is this?")

    response = await parley.send("Hello", message_id="message-2", user="ann")

    assert text_of(response) == "Done"
    assert [has_image(body) for body in model.requests] == [True, False]


async def test_an_earlier_picture_that_cannot_be_read_any_more_costs_other_conversations_nothing(
    parley: Parley, model: ScriptedModel
) -> None:
    dog = CAT | {"url": "https://example.com/dog.png"}
    for chat, image in ((id_of("a"), CAT), (id_of("b"), dog)):
        await _show(parley, "What is this?", image=image, chat_id=chat)
    words = "Error while downloading https://example.com/cat.png."
    refusing = Refusing(lambda body: "cat.png" in json.dumps(body), openai_error(words))
    model.choose = refusing.reply_to

    for chat in (id_of("a"), id_of("b")):
        response = await parley.send("And now?", message_id="message-2", chat_id=chat, user="ann")
        assert text_of(response) == "Done"

    assert "dog.png" in json.dumps(model.requests[-1])


def is_too_long(body: Body) -> bool:
    """Return whether the messages of a request have more than 3,000 characters."""
    return sum(len(str(message["content"])) for message in body["messages"]) > 3000


TOO_LONG = {
    "OpenAI": Refusing(
        is_too_long,
        openai_error(
            "This model's maximum context length is 8192 tokens. However, your messages resulted "
            "in 9000 tokens. Please reduce the length of the messages.",
            param="messages",
            code="context_length_exceeded",
        ),
    ),
    "Anthropic": Refusing(
        is_too_long, openai_error("prompt is too long: 207 tokens > 200 maximum")
    ),
    "llama.cpp": Refusing(
        is_too_long,
        {
            "error": {
                "code": 400,
                "message": "request (9000 tokens) exceeds the available context size (8192 tokens)",
                "type": "exceed_context_size_error",
                "n_prompt_tokens": 9000,
                "n_ctx": 8192,
            }
        },
    ),
    "Groq": Refusing(
        is_too_long,
        openai_error(
            "Request too large for model `llama-3.3-70b-versatile` on tokens per minute (TPM): "
            "Limit 6000, Requested 14368, please reduce your message size and try again.",
            type="tokens",
            code="rate_limit_exceeded",
        ),
        status=413,
    ),
    "OpenAI, tokens of a minute": Refusing(
        is_too_long,
        openai_error(
            "Request too large for gpt-4o on tokens per min (TPM): Limit 30000, Requested 342389.",
            code="rate_limit_exceeded",
        ),
        status=429,
    ),
    "Gemini": Refusing(
        is_too_long,
        google_error(
            "The input token count (9000) exceeds the maximum number of tokens allowed (8192)."
        ),
    ),
    "Qwen": Refusing(is_too_long, openai_error("Range of input length should be [1, 3000]")),
    "TGI": Refusing(
        is_too_long, openai_error("inputs must have less than 750 tokens. Given: 900"), status=422
    ),
    "a gateway": Refusing(is_too_long, openai_error("Prompt length exceeds the limit")),
    "a proxy": Refusing(is_too_long, "<html>413 Request Entity Too Large</html>", status=413),
}


@pytest.mark.parametrize("provider", TOO_LONG.values(), ids=TOO_LONG.keys())
async def test_a_conversation_goes_on_beyond_the_length_that_its_model_reads(
    parley: Parley, model: ScriptedModel, provider: Refusing
) -> None:
    def choose(body: Body) -> Reply:
        reply = provider.reply_to(body)
        return Reply(pieces=("word " * 120,)) if reply.status == 200 else reply

    model.choose = choose

    for number in range(12):
        response = await parley.send(f"Question {number}", message_id=f"message-{number}")
        assert text_of(response) == "word " * 120
        assert model.requests[-1]["messages"][-1]["content"] == f"Question {number}"

    refused = [body for body in model.requests if is_too_long(body)]
    assert len(refused) <= 3
    assert [body["messages"][0]["role"] for body in model.requests] == ["system"] * len(
        model.requests
    )
    assert {body["messages"][1]["role"] for body in model.requests} == {"user"}


@pytest.mark.environment(SYSTEM_PROMPT="x" * 2000)
async def test_long_instructions_leave_room_for_the_conversation(
    parley: Parley, model: ScriptedModel
) -> None:
    refusing = TOO_LONG["OpenAI"]

    def choose(body: Body) -> Reply:
        reply = refusing.reply_to(body)
        return Reply(pieces=("word " * 20,)) if reply.status == 200 else reply

    model.choose = choose

    for number in range(20):
        response = await parley.send(f"Question {number}", message_id=f"message-{number}")
        assert text_of(response) == "word " * 20
        assert number == 0 or len(model.requests[-1]["messages"]) >= 4


async def test_a_long_thought_that_goes_back_shortens_no_other_conversation(
    parley: Parley, model: ScriptedModel
) -> None:
    thought = Reply(
        chunks=[
            {"choices": [{"delta": {"reasoning_content": "hm " * 1500}}]},
            {"choices": [{"delta": {"content": "Done"}, "finish_reason": "stop"}]},
        ]
    )

    def choose(body: Body) -> Reply:
        if "reasoning_content" in json.dumps(body):
            return Reply(status=400, error=openai_error("prompt is too long: 9 tokens > 8 maximum"))
        return thought if body["messages"][-1]["content"] == "Think" else Reply(pieces=("Done",))

    model.choose = choose
    await parley.send("Think")
    assert text_of(await parley.send("And now?", message_id="message-2")) == "Done"

    for number in range(3):
        await parley.send("x" * 500, message_id=f"message-{number}", chat_id=id_of("b"))

    assert len(model.requests[-1]["messages"]) == 6


@pytest.mark.parametrize(
    ("status", "words"),
    [(429, "Rate limit reached for omni-moderation."), (503, "The content filter is unavailable.")],
)
async def test_a_filter_that_is_busy_refuses_no_message(
    parley: Parley, model: ScriptedModel, status: int, words: str
) -> None:
    model.replies = [Reply(status=status, error=openai_error(words))]

    problem_of(await parley.say("Hello!"), 503, "model_overloaded")


@pytest.mark.environment(MAX_MESSAGE_CHARS="4000")
async def test_a_question_that_is_too_long_by_itself_is_a_422_and_shorter_ones_are_answered(
    parley: Parley, model: ScriptedModel
) -> None:
    model.choose = TOO_LONG["OpenAI"].reply_to
    await parley.send("Hello!")

    response = await parley.send("x" * 3500, message_id="message-2")

    problem = problem_of(response, 422, "conversation_too_long")
    assert "shorter" in problem["detail"]
    assert text_of(await parley.send("Sorry", message_id="message-3")) == "Done"
    assert model.requests[-1]["messages"][-1]["content"] == "Sorry"


WAITS: list[tuple[dict[str, str], str, str]] = [
    ({"retry-after": "17"}, "", "17"),
    ({"retry-after-ms": "2500"}, "", "3"),
    ({"retry-after": "Fri, 31 Dec 2100 23:59:59 GMT"}, "", "3600"),
    (
        {},
        "Rate limit reached for model `x`: Limit 100, Used 97. Please try again in 9m38.016s.",
        "579",
    ),
    ({}, "You exceeded your current quota. Please retry in 45.578569677s.", "46"),
    ({"x-ratelimit-reset-requests": "1m6s"}, "", "66"),
    ({"x-ratelimit-reset-requests": "120ms"}, "", "1"),
    ({}, "", "5"),
]


@pytest.mark.parametrize(("headers", "words", "seconds"), WAITS)
async def test_the_retry_after_of_an_overload_is_the_providers(
    parley: Parley, model: ScriptedModel, headers: dict[str, str], words: str, seconds: str
) -> None:
    model.replies = [Reply(status=429, headers=headers, error=openai_error(words))]

    response = await parley.say("Hello!")

    problem_of(response, 503, "model_overloaded")
    assert response.headers["retry-after"] == seconds


IN_A_STREAM = [
    (
        {"code": "rate_limit_exceeded", "message": "Rate limit exceeded: too many tokens a minute"},
        (503, "model_overloaded"),
    ),
    ({"type": "throttling", "message": "Too many tokens, please wait"}, (503, "model_overloaded")),
    ({"code": "invalid_api_key", "message": "Incorrect key"}, (502, "model_refused")),
    ({"code": "content_filter", "message": "No"}, (502, "answer_withheld")),
    ({"code": 500, "message": "context deadline exceeded"}, (502, "model_failed")),
]


@pytest.mark.parametrize(("error", "problem"), IN_A_STREAM)
async def test_an_error_at_the_beginning_of_a_stream_is_read_by_its_code_and_words(
    parley: Parley, model: ScriptedModel, error: Body, problem: tuple[int, str]
) -> None:
    model.default = Reply(chunks=[{"error": error}])

    problem_of(await parley.say("Hello!"), *problem)

    assert len(model.requests) == 1


OPERATORS = [
    (
        429,
        {
            "code": "Some resource has been exhausted",
            "error": "Your team has either used all available credits or reached its monthly "
            "spending limit.",
        },
        "billing",
    ),
    (429, google_error("Your prepayment credits are depleted."), "billing"),
    (
        403,
        openai_error("Your account was flagged for violating our usage policies."),
        "OPENAI_API_KEY",
    ),
    (
        429,
        openai_error(
            "You exceeded your current quota, please check your plan and billing details.",
            type="insufficient_quota",
            code="insufficient_quota",
        ),
        "billing",
    ),
    (
        429,
        google_error(
            "You exceeded your current quota. Quota exceeded for metric: x, limit: 0, "
            "model: gemini-3-pro. Please retry in 45.5s."
        ),
        "billing",
    ),
    (402, openai_error("Insufficient Balance", code="invalid_request_error"), "billing"),
    (
        400,
        {
            "type": "error",
            "error": {
                "type": "invalid_request_error",
                "message": "Your credit balance is too low to access the Anthropic API.",
            },
        },
        "billing",
    ),
    (
        401,
        openai_error("Incorrect API key provided: sk-secret.", code="invalid_api_key"),
        "OPENAI_API_KEY",
    ),
    (400, google_error("API key not valid. Please pass a valid API key."), "OPENAI_API_KEY"),
    (
        404,
        openai_error(
            "The model `gpt-9` does not exist or you do not have access to it.",
            code="model_not_found",
        ),
        "OPENAI_MODEL",
    ),
    (400, openai_error("Model Not Exist"), "OPENAI_MODEL"),
    (404, "<html>Not Found</html>", "OPENAI_BASE_URL"),
]


@pytest.mark.parametrize(("status", "error", "setting"), OPERATORS)
async def test_a_refusal_that_only_the_operator_can_end_says_in_the_log_where_to_look(
    parley: Parley, model: ScriptedModel, caplog: pytest.LogCaptureFixture,
    status: int, error: object, setting: str,
) -> None:  # fmt: skip
    caplog.set_level(logging.INFO, "parley")
    model.replies = [Reply(status=status, error=error)]

    response = await parley.say("Hello!", conversation_id=CHAT_ID)

    problem_of(response, 502, "model_refused")
    [line] = [line for line in events_of(caplog, "model_refused") if line["model"] == "test-model"]
    assert setting in line["look_at"]
    assert line["status"] == status
    for text in (response.text, caplog.text):
        assert "sk-secret" not in text
    assert "key" not in response.text.lower()
    assert len(model.requests) == 1


WITHHELD = [
    (400, openai_error("The response was filtered due to the prompt triggering Azure OpenAI's "
                       "content management policy.", code="content_filter")),
    (400, openai_error("Your request was rejected.", code="content_policy_violation")),
    (400, openai_error("<400> InternalError.Algo.DataInspectionFailed: Input text data may contain "
                       "inappropriate content.", code="data_inspection_failed")),
    (400, openai_error("Content Exists Risk")),
    (400, openai_error("Your request was rejected as a result of our safety system.")),
    (400, openai_error("This request has been flagged for potentially high-risk activity.")),
    (400, openai_error("Violated guardrail policy: the words of a tool were blocked")),
    (451, "Unavailable For Legal Reasons"),
    (403, {"code": "The caller does not have permission to execute the specified operation",
           "error": "Content violates usage guidelines. Failed check: SAFETY_CHECK_TYPE_BIO"}),
]  # fmt: skip


@pytest.mark.parametrize(("status", "error"), WITHHELD)
async def test_a_question_that_a_filter_refuses_is_told_so_and_the_next_one_is_answered(
    parley: Parley, model: ScriptedModel, status: int, error: object
) -> None:
    model.replies = [Reply(status=status, error=error)]

    problem_of(await parley.say("Hello!", conversation_id=CHAT_ID), 502, "answer_withheld")
    response = await parley.say("Sorry. Hello?", conversation_id=CHAT_ID)

    assert response.status_code == 200
    assert [body["messages"][-1]["content"] for body in model.requests] == [
        "Hello!",
        "Sorry. Hello?",
    ]


@pytest.mark.parametrize("status", [400, 403])
async def test_a_question_that_is_refused_in_unknown_words_costs_no_later_one_its_answer(
    parley: Parley, model: ScriptedModel, status: int
) -> None:
    def choose(body: Body) -> Reply:
        is_odd = "odd" in json.dumps(body["messages"])
        return Reply(status=status, error=openai_error("No.")) if is_odd else Reply()

    model.choose = choose
    problem_of(await parley.send("Something odd"), 502, "model_refused")

    for number in (2, 3):
        response = await parley.send(f"Hello {number}", message_id=f"message-{number}")
        assert text_of(response) == "Hello, how are you?"

    contents = [message["content"] for message in model.requests[-1]["messages"][1:]]
    assert contents == ["Hello 2", "Hello, how are you?", "Hello 3"]


async def _show(
    parley: Parley, text: str, *, image: dict[str, str] = CAT, chat_id: str = CHAT_ID
) -> httpx2.Response:
    parts = [{"type": "text", "text": text}, image]
    message = {"id": "message-1", "role": "user", "parts": parts}
    return await parley.send("", messages=[message], chat_id=chat_id, user="ann")
