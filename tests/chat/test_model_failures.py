"""A model that fails: a fitting problem, no lost text, and the message can be sent again."""

import psycopg
import pytest

import lib.answers.begin
from lib.answers.answer import running_answers
from tests.support.model_server import Called, Reply, ScriptedModel, calling
from tests.support.product import CHAT_ID, Parley, parts_of, problem_of, text_of

BEFORE_THE_FIRST_TOKEN = [
    (Reply(status=401), 502, "model_refused"),
    (Reply(status=403), 502, "model_refused"),
    (Reply(status=404), 502, "model_refused"),
    (Reply(status=400), 502, "model_refused"),
    (Reply(status=429, headers={"retry-after": "17"}), 503, "model_overloaded"),
    (Reply(status=500), 502, "model_failed"),
    (Reply(status=503), 503, "model_overloaded"),
    (Reply(status=504), 504, "model_timeout"),
    (Reply(cuts_after=0), 502, "model_failed"),
    (Reply(garbles_after=0), 502, "model_failed"),
    (Reply(pieces=()), 502, "model_failed"),
    (calling(Called("that_nobody_offered")), 502, "model_failed"),
    (Reply(pieces=(), finish_reason=None), 502, "model_failed"),
    (Reply(pieces=(), finish_reason="content_filter"), 502, "answer_withheld"),
    (Reply(chunks=[{"error": {"message": "sk-secret says"}}]), 502, "model_failed"),
    (Reply(chunks=[{"choices": {"a": 1}}]), 502, "model_failed"),
    (Reply(chunks=[{"choices": [{"delta": "x"}]}]), 502, "model_failed"),
    (Reply(chunks=[{"choices": [{"delta": {"content": 5}}]}]), 502, "model_failed"),
    (Reply(chunks=[{"choices": [{"finish_reason": ["stop"]}]}]), 502, "model_failed"),
]
IN_THE_MIDDLE = [
    Reply(cuts_after=2),
    Reply(garbles_after=2),
    Reply(pieces=("Hello", ", how"), finish_reason=None),
]


@pytest.mark.parametrize(("reply", "status", "code"), BEFORE_THE_FIRST_TOKEN)
@pytest.mark.parametrize("stream", [True, False])
async def test_a_model_failure_before_the_first_token_is_an_http_status(
    parley: Parley, model: ScriptedModel, *, reply: Reply, status: int, code: str, stream: bool
) -> None:
    model.replies = [reply]

    response = await parley.say("Hello!", stream=stream, conversation_id=CHAT_ID)

    problem = problem_of(response, status, code)
    assert "sk-secret" not in response.text
    assert problem["detail"]
    assert await parley.said(CHAT_ID) == ["Hello!"]


async def test_the_503_of_an_overloaded_model_says_when_to_try_again(
    parley: Parley, model: ScriptedModel
) -> None:
    model.replies = [Reply(status=429, headers={"retry-after": "17"})]

    response = await parley.send("Hello!")

    assert response.headers["retry-after"] == "17"


@pytest.mark.environment(OPENAI_BASE_URL="http://127.0.0.1:9/v1")
async def test_a_model_that_cannot_be_reached_is_a_502(parley: Parley) -> None:
    response = await parley.send("Hello!")

    problem_of(response, 502, "model_failed")


@pytest.mark.parametrize("stream", [False, True])
async def test_an_import_error_of_the_model_side_ends_the_answer_with_a_500(
    parley: Parley, monkeypatch: pytest.MonkeyPatch, *, stream: bool
) -> None:
    def fail() -> None:
        raise ImportError

    monkeypatch.setattr(lib.answers.begin, "answer_maker", fail)

    response = await parley.say("Hello!", stream=stream, conversation_id=CHAT_ID)

    problem_of(response, 500, "internal_error")
    assert not running_answers


@pytest.mark.parametrize("reply", IN_THE_MIDDLE)
async def test_a_model_failure_after_the_first_token_ends_the_stream_and_its_text_is_stored(
    parley: Parley, model: ScriptedModel, reply: Reply
) -> None:
    model.replies = [reply]

    parts = parts_of(await parley.send("Hello!"))

    assert parts[-1]["type"] == "error"
    assert "finish" not in {part["type"] for part in parts}
    answer = (await parley.history())["messages"][-1]
    assert (answer["content"], answer["finish_reason"]) == ("Hello, how", "error")


@pytest.mark.parametrize("reply", IN_THE_MIDDLE)
async def test_a_model_failure_during_a_json_answer_is_a_502_and_its_text_is_stored(
    parley: Parley, model: ScriptedModel, reply: Reply
) -> None:
    model.replies = [reply]

    response = await parley.say("Hello!", conversation_id=CHAT_ID)

    problem_of(response, 502, "model_failed")
    assert await parley.said(CHAT_ID) == ["Hello!", "Hello, how"]


@pytest.mark.parametrize("reason", ["length", "content_filter"])
async def test_an_answer_that_the_model_ends_early_is_an_answer(
    parley: Parley, model: ScriptedModel, reason: str
) -> None:
    model.replies = [Reply(finish_reason=reason)]

    parts = parts_of(await parley.send("Hello!"))

    assert parts[-1]["type"] == "finish"
    assert parts[-1]["messageMetadata"]["finish_reason"] == reason
    assert (await parley.history())["messages"][-1]["finish_reason"] == reason


async def test_an_answer_whose_stream_breaks_after_its_finish_reason_is_complete(
    parley: Parley, model: ScriptedModel
) -> None:
    finished: dict[str, object] = {"delta": {}, "finish_reason": "stop"}
    model.replies = [
        Reply(chunks=[{"choices": [{"delta": {"content": "Hi"}}]}, {"choices": [finished]}, {}])
    ]

    assert text_of(await parley.send("Hello!")) == "Hi"


async def test_a_turn_whose_model_failed_is_free_at_once(
    parley: Parley, model: ScriptedModel, database: psycopg.Connection
) -> None:
    model.replies = [Reply(status=500)]
    await parley.send("Hello!")

    turns = database.execute("SELECT turn_id, turn_expires_at FROM conversations").fetchall()

    assert turns == [(None, None)]
