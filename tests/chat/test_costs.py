"""The cost of requests to the model: each one is in the metrics, in the quota and in usage."""

import asyncio
import json
from collections.abc import Callable, Coroutine
from typing import Any

import psycopg
import pytest

import lib.answers._title
from lib.answers.answer import running_answers
from lib.answers.begin import interrupt_answers
from tests.chat.test_stop import HANGS, stop
from tests.support.analyses import analysis_reply, until_answers_done
from tests.support.images import file_part, png_of_bytes
from tests.support.left_behind import leave_behind
from tests.support.model_server import ANALYSIS_MODEL, Called, Reply, ScriptedModel, calling, chunk
from tests.support.product import CHAT_ID, METRICS_TOKEN, Parley, headers_of, parts_of, text_of
from tests.support.reading import sending, until

COUNTED = {"METRICS_TOKEN": METRICS_TOKEN, "MESSAGES_PER_DAY": "100"}
pytestmark = pytest.mark.environment(**COUNTED)
SILENT = Reply(seconds_before=3600)
TITLE = Reply(pieces=("A title",))
MARKS = "SELECT failed_attempts, owed_attempt FROM chat_messages WHERE role = 'user'"


async def test_each_request_of_a_question_that_is_stopped_before_its_first_token_is_seen(
    parley: Parley, model: ScriptedModel, database: psycopg.Connection
) -> None:
    model.replies, model.title_reply = [SILENT] * 3, TITLE
    for number in range(1, 4):
        first = sending(parley.client, user="ann")
        await until(lambda: len(model.requests) == number)  # noqa: B023 (waited for at once)
        await stop(parley, user="ann")
        await first.end()
    stopped = await _usage(parley)

    assert text_of(await parley.send("Hello!", user="ann")) == "Hello, how are you?"

    counted = await _counted(parley)
    assert counted["model_requests"] == {"answer": {"answered": 1, "cut": 3}}
    # The first attempt alone may ask for a title, and it was stopped before.
    assert (len(model.requests), len(model.title_requests)) == (4, 0)
    usage = await _usage(parley)
    assert usage == sum(counted["tokens"].values()) == _quota_tokens(database)
    # Each stopped request has cost its prompt, as far as that can be estimated.
    prompt = sum(len(each["content"]) for each in model.requests[0]["messages"])
    assert stopped >= 3 * (prompt // 4)
    assert counted["estimated_tokens"] == stopped


async def test_a_title_is_asked_for_once_however_often_its_question_is_answered(
    parley: Parley, model: ScriptedModel
) -> None:
    model.default, model.title_reply = HANGS, SILENT
    options: dict[str, Any] = {}
    for number in range(1, 5):
        body = {"id": CHAT_ID, "trigger": "regenerate-message"} | options
        answer = asyncio.create_task(parley.send("Hello!", user="ann", **(options and body)))
        await until(lambda: len(model.requests) == number)  # noqa: B023 (waited for at once)
        await until(lambda: any(each.has_begun for each in running_answers.values()))
        await stop(parley, user="ann")
        await answer
        options = {"trigger": "regenerate-message"}

    assert (len(model.requests), len(model.title_requests)) == (4, 1)


@pytest.mark.environment(**COUNTED, OPENAI_ANALYSIS_MODEL=ANALYSIS_MODEL)
@pytest.mark.parametrize(
    "analysis", [analysis_reply(), Reply(pieces=("no JSON",)), analysis_reply(cuts_after=1)]
)
async def test_a_title_and_an_analysis_are_in_the_quota_and_in_usage_whatever_becomes_of_them(
    parley: Parley, model: ScriptedModel, database: psycopg.Connection, analysis: Reply
) -> None:
    model.title_reply, model.analysis_reply = TITLE, analysis

    await parley.send("Hello!", user="ann")

    await until_answers_done()
    counted = await _counted(parley)
    assert counted["model_requests"].keys() == {"answer", "title", "analysis"}
    assert sum(counted["tokens_by_purpose"]["analysis"].values()) > 0
    total = sum(counted["tokens"].values())
    assert (await _usage(parley), _quota_tokens(database)) == (total, total)


async def test_a_title_that_comes_too_late_is_paid_for_all_the_same(
    parley: Parley,
    model: ScriptedModel,
    database: psycopg.Connection,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lib.answers._title, "TITLE_PATIENCE_SECONDS", 0.05)
    # The title is asked for in time, because the answer goes on for a while after its first text.
    model.default, model.title_reply = Reply(seconds_between=0.2), SILENT

    await parley.send("Hello!", user="ann")

    counted = await _counted(parley)
    assert counted["model_requests"]["title"] == {"cut": 1}
    assert counted["tokens_by_purpose"]["title"]["prompt"] > 0
    assert await _usage(parley) == sum(counted["tokens"].values()) == _quota_tokens(database)


async def test_an_answer_of_a_conversation_that_is_deleted_meanwhile_is_in_the_quota(
    parley: Parley, model: ScriptedModel, database: psycopg.Connection
) -> None:
    model.replies = [HANGS]
    first = sending(parley.client, user="ann")
    await first.has("how")

    await parley.client.delete(f"/api/conversations?id={CHAT_ID}", headers=headers_of("ann"))
    await first.end()

    await until_answers_done()
    counted = await _counted(parley)
    assert counted["model_requests"]["answer"] == {"cut": 1}
    assert _quota_tokens(database) == sum(counted["tokens"].values()) > 0


async def test_each_step_of_an_answer_is_counted_though_the_last_one_fails(
    parley: Parley, model: ScriptedModel, database: psycopg.Connection
) -> None:
    task = Called("add_task", {"title": "Buy milk"})
    model.replies = [calling(task), Reply(cuts_after=2)]

    await parley.send("Hello!", user="ann")

    counted = await _counted(parley)
    assert counted["model_requests"]["answer"] == {"answered": 1, "failed": 1}
    total = sum(counted["tokens"].values())
    assert total > sum(_usage_of({"prompt_tokens": 7, "completion_tokens": 2}))
    assert (await _usage(parley), _quota_tokens(database)) == (total, total)


async def test_the_cost_of_a_question_is_in_no_message_that_a_client_gets(
    parley: Parley, model: ScriptedModel, database: psycopg.Connection
) -> None:
    model.title_reply = TITLE

    await parley.send("Hello!", user="ann")

    tokens = "SELECT prompt_tokens, completion_tokens FROM chat_messages WHERE role = 'user'"
    assert database.execute(tokens).fetchall() == [(7, 1)]
    [question, answer] = (await parley.history(user="ann"))["messages"]
    assert (question["prompt_tokens"], question["completion_tokens"]) == (None, None)
    assert (answer["prompt_tokens"], answer["completion_tokens"]) == (7, 4)
    assert "prompt_tokens" not in json.dumps(question["metadata"])


@pytest.mark.parametrize(
    ("reply", "outcome"),
    [
        (Reply(status=401), "refused"),
        (Reply(status=429), "refused"),
        (Reply(status=500), "failed"),
        (Reply(status=503), "failed"),
        (Reply(cuts_after=0), "failed"),
        (Reply(chunks=[{"error": {"message": "overloaded"}}]), "refused"),
    ],
)
async def test_a_request_that_gets_no_reply_from_the_provider_costs_nothing(
    parley: Parley,
    model: ScriptedModel,
    database: psycopg.Connection,
    reply: Reply,
    outcome: str,
) -> None:
    model.replies = [reply]

    await parley.send("Hello!", user="ann")

    counted = await _counted(parley)
    assert counted["model_requests"] == {"answer": {outcome: 1}}
    assert (counted["tokens"], await _usage(parley), _quota_tokens(database)) == ({}, 0, 0)


@pytest.mark.environment(**COUNTED, OPENAI_BASE_URL="http://127.0.0.1:9/v1")
async def test_a_request_to_a_provider_that_is_not_there_costs_nothing(parley: Parley) -> None:
    await parley.send("Hello!", user="ann")

    counted = await _counted(parley)
    assert (counted["model_requests"], counted["tokens"]) == ({"answer": {"failed": 1}}, {})


@pytest.mark.environment(**COUNTED, MODEL_SILENCE_SECONDS="1")
async def test_a_request_that_the_provider_leaves_without_a_word_costs_its_prompt(
    parley: Parley, model: ScriptedModel
) -> None:
    model.replies = [SILENT]

    await parley.send("Hello!", user="ann")

    counted = await _counted(parley)
    assert counted["model_requests"] == {"answer": {"failed": 1}}
    assert counted["tokens"].keys() == {"prompt"}
    assert await _usage(parley) == counted["tokens"]["prompt"]


async def test_an_image_costs_as_much_as_some_text_and_not_as_its_bytes(
    parley: Parley, model: ScriptedModel
) -> None:
    model.replies = [Reply(cuts_after=1)]
    # 48 KB: as text, they would be 16,000 tokens.
    message = {
        "id": "message-1",
        "role": "user",
        "parts": [
            {"type": "text", "text": "Hello!"},
            file_part("image/png", png_of_bytes(48_000)),
        ],
    }

    await parley.send("", user="ann", messages=[message])

    assert 1000 < (await _counted(parley))["tokens"]["prompt"] < 2000


@pytest.mark.parametrize(
    "reply",
    [
        Reply(status=401),
        Reply(status=404),
        Reply(status=429),
        Reply(status=500),
        Reply(status=503),
        Reply(status=504),
        Reply(cuts_after=0),
        Reply(cuts_after=2),
        Reply(garbles_after=2),
        Reply(pieces=()),
        Reply(pieces=("Hello",), finish_reason=None),
    ],
)
async def test_a_question_that_the_provider_itself_fails_is_owed_an_attempt(
    parley: Parley, model: ScriptedModel, database: psycopg.Connection, reply: Reply
) -> None:
    model.replies = [reply]

    await parley.send("Hello!", user="ann")

    assert database.execute(MARKS).fetchall() == [(1, True)]


@pytest.mark.environment(**COUNTED, OPENAI_BASE_URL="http://127.0.0.1:9/v1")
async def test_a_question_to_a_provider_that_is_not_there_is_owed_an_attempt(
    parley: Parley, database: psycopg.Connection
) -> None:
    await parley.send("Hello!", user="ann")

    assert database.execute(MARKS).fetchall() == [(1, True)]


@pytest.mark.environment(**COUNTED, MAX_DURATION_SECONDS="5")
@pytest.mark.parametrize(
    ("reply", "marks"),
    [
        (SILENT, (1, True)),
        (Reply(pieces=("word ",) * 1000, seconds_between=0.1), (None, None)),
    ],
)
async def test_a_question_is_owed_an_attempt_by_a_silent_model_but_not_by_a_slow_one(
    parley: Parley,
    model: ScriptedModel,
    database: psycopg.Connection,
    reply: Reply,
    marks: tuple[int | None, bool | None],
) -> None:
    model.replies = [reply]

    await parley.send("Hello!", user="ann")

    assert database.execute(MARKS).fetchall() == [marks]


type End = Callable[[Parley, psycopg.Connection], Coroutine[Any, Any, object]]


async def _stopped(parley: Parley, _: psycopg.Connection) -> None:
    await stop(parley, user="ann")


async def _interrupted(_parley: Parley, _: psycopg.Connection) -> None:
    await interrupt_answers()


async def _killed(_parley: Parley, database: psycopg.Connection) -> None:
    leave_behind(database)


@pytest.mark.parametrize("end", [_stopped, _interrupted, _killed])
@pytest.mark.parametrize("reply", [SILENT, HANGS], ids=["before", "after"])
async def test_an_attempt_that_ends_by_a_stop_a_restart_or_a_kill_is_not_owed_again(
    parley: Parley, model: ScriptedModel, database: psycopg.Connection, reply: Reply, end: End
) -> None:
    model.replies = [reply]
    first = sending(parley.client, user="ann")
    await until(lambda: len(model.requests) == 1)
    if reply is HANGS:
        await first.has("how")

    await end(parley, database)
    await first.end()

    await until_answers_done()
    assert database.execute(MARKS).fetchall() == [(None, None)]


@pytest.mark.parametrize(
    "reply",
    [
        Reply(),
        Reply(finish_reason="length"),
        Reply(pieces=(), finish_reason="content_filter"),
        Reply(status=400, error={"error": {"code": "content_filter", "message": "no"}}),
        Reply(status=400, error={"error": {"code": "context_length_exceeded", "message": "no"}}),
    ],
)
async def test_an_answer_or_a_refusal_of_the_question_owes_nothing(
    parley: Parley, model: ScriptedModel, database: psycopg.Connection, reply: Reply
) -> None:
    model.default = Reply(status=500)
    await parley.send("Hello!", user="ann")
    assert database.execute(MARKS).fetchall() == [(1, True)]
    model.default = reply

    await parley.send("Hello!", user="ann")

    assert database.execute(MARKS).fetchall() == [(1, None)]


async def test_a_question_is_owed_three_attempts_and_no_more(
    parley: Parley, model: ScriptedModel, database: psycopg.Connection
) -> None:
    model.default = Reply(status=500)
    marks: list[tuple[int, bool | None]] = []
    for _ in range(5):
        await parley.send("Hello!", user="ann")
        marks += database.execute(MARKS).fetchall()

    assert marks == [(1, True), (2, True), (3, True), (4, None), (5, None)]


async def test_tokens_from_the_providers_cache_are_told_stored_and_counted_over_all_steps(
    parley: Parley, model: ScriptedModel
) -> None:
    def cached(reply: Reply, tokens: int) -> Reply:
        details = {"prompt_tokens_details": {"cached_tokens": tokens}}
        usage = {"prompt_tokens": 7, "completion_tokens": 2} | details
        return Reply(chunks=[*(reply.chunks or [])[:-1], chunk(None) | {"usage": usage}])

    said = Reply(chunks=[chunk({"content": "None."}, "stop"), chunk(None)])
    model.replies = [cached(calling(Called("list_tasks")), 3), cached(said, 5)]

    parts = parts_of(await parley.send("Which tasks?", user="ann"))

    assert parts[-1]["messageMetadata"]["cached_tokens"] == 8
    answer = (await parley.history(user="ann"))["messages"][1]
    assert (answer["cached_tokens"], answer["metadata"]["cached_tokens"]) == (8, 8)
    usage = await parley.get("/api/messages", user="ann", usage="true")
    assert usage.json()["total"]["cached_tokens"] == 8
    counted = await _counted(parley)
    assert counted["cached_tokens"] == {"answer": 8}
    assert counted["tokens"] == {"prompt": 14, "completion": 4}


async def _counted(parley: Parley) -> dict[str, Any]:
    """Return the metrics of turns, of all that was counted so far."""
    headers = {"authorization": f"Bearer {METRICS_TOKEN}"}
    response = await parley.client.get("/api/metrics?format=json", headers=headers)
    assert response.status_code == 200, response.text
    return response.json()["ever"]["turns"]


async def _usage(parley: Parley) -> int:
    """Return all tokens that usage shows to the user."""
    response = await parley.client.get("/api/messages?usage=true", headers=headers_of("ann"))
    assert response.status_code == 200, response.text
    return sum(sum(_usage_of(row)) for row in response.json()["usage"])


def _usage_of(row: dict[str, int]) -> tuple[int, int]:
    return row["prompt_tokens"], row["completion_tokens"]


def _quota_tokens(database: psycopg.Connection) -> int:
    """Return the tokens that the user's quota has counted."""
    rows = database.execute("SELECT max(token_count) FROM quotas").fetchall()
    return rows[0][0] or 0
