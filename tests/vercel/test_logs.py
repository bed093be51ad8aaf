"""What the platform gets to log: lines of JSON, as Vercel's real runtime passes them on."""

import asyncio
import json
from collections.abc import AsyncGenerator
from typing import Any

import httpx2
import psycopg
import pytest

from tests.support.model_server import Reply, ScriptedModel
from tests.support.product import headers_of, parts_of, problem_of, sdk_body, token_of
from tests.support.runtime import RunningFunction, invocation_headers, start_function
from tests.support.transports import ResendingTransport

VERCEL_ID = "fra1::iad1::abcde-1700000000000-0123456789ab"
FIELDS = {
    "event",
    "request_id",
    "function",
    "method",
    "status",
    "code",
    "caller",
    "total_ms",
    "first_byte_ms",
    "db_ms",
    "wait_ms",
    "model_ms",
    "round_trips",
}


@pytest.fixture
async def chat(environment: dict[str, str]) -> AsyncGenerator[RunningFunction]:
    """Return the chat function in the real runtime."""
    running = await asyncio.to_thread(start_function, "api/chat.py", environment)
    yield running
    await asyncio.to_thread(running.stop)


async def ask(
    function: RunningFunction, text: str = "My heart", user: str | None = None, **headers: str
) -> httpx2.Response:
    """Send a message as `useChat` does, and wait until the function has ended."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    async with httpx2.AsyncClient(timeout=30, transport=ResendingTransport(verify=False)) as client:
        response = await client.post(
            f"{function.base_url}/api/chat?a=secret",
            json=sdk_body(text),
            headers=invocation_headers(60) | headers_of(user) | named,
        )
    await asyncio.to_thread(function.wait_for, "end")
    return response


def lines_of(function: RunningFunction) -> list[dict[str, Any]]:
    """Return what was logged: each line must be JSON."""
    return [json.loads(line) for line in function.log_text().splitlines()]


async def test_a_stream_is_one_line_when_it_has_ended(
    chat: RunningFunction, model: ScriptedModel
) -> None:
    model.default = Reply(pieces=("a", "b", "c"), seconds_before=0.2, seconds_between=1.0)

    assert parts_of(await ask(chat, x_vercel_id=VERCEL_ID))[-1]["type"] == "finish"

    [line] = [each for each in lines_of(chat) if each["event"] == "request"]
    assert line.keys() == FIELDS
    assert (
        line
        | {
            "request_id": VERCEL_ID,
            "function": "api/chat",
            "method": "POST",
            "status": 200,
            "code": None,
            "caller": "anonymous",
            "round_trips": 2,
        }
        == line
    )
    assert 200 <= line["model_ms"] <= line["first_byte_ms"] <= line["total_ms"] - 1000
    assert 0 < line["wait_ms"] < line["db_ms"] < line["total_ms"]


async def test_no_line_says_what_was_said_or_who_said_it(
    environment: dict[str, str], model: ScriptedModel
) -> None:
    model.default = Reply(pieces=("Your ", "secret"))
    loud = environment | {"DEBUG": "true", "SLOW_QUERY_MS": "0"}
    function = await asyncio.to_thread(start_function, "api/chat.py", loud)

    await ask(function, user="ann", x_forwarded_for="203.0.113.7")
    text = function.log_text()
    await asyncio.to_thread(function.stop)

    assert '"caller": "user"' in text
    for secret in ("heart", "secret", "ann", token_of("ann"), "203.0.113.7", "127.0.0.1"):
        assert secret not in text


# Without a line for each slow step or connection: on a busy machine all are slow.
@pytest.mark.environment(SLOW_QUERY_MS="600000")
async def test_a_problem_and_its_lines_have_the_same_id(
    chat: RunningFunction, database: psycopg.Connection
) -> None:
    database.execute("ALTER TABLE chat_messages ADD CONSTRAINT never CHECK (content <> 'My heart')")

    response = await ask(chat)
    problem_of(response, 409, "refused_by_rule")
    told = response.json()["request_id"]

    failed, request = lines_of(chat)
    assert failed["event"] == "refused_by_rule"
    assert '"never"' in str(failed)
    assert (request["event"], request["status"]) == ("request", 409)
    assert request["code"] == "refused_by_rule"
    assert told == failed["request_id"] == request["request_id"]
    assert len(told) == 32


async def test_a_failure_within_a_stream_is_the_code_of_its_line(
    chat: RunningFunction, model: ScriptedModel
) -> None:
    model.default = Reply(cuts_after=2)

    assert parts_of(await ask(chat))[-1]["type"] == "error"

    lines = lines_of(chat)
    [failed] = [each for each in lines if each["event"] == "turn_failed"]
    request = lines[-1]
    assert request["event"] == "request"
    assert (request["status"], request["code"]) == (200, "model_failed")
    assert failed["request_id"] == request["request_id"]


@pytest.mark.environment(SLOW_QUERY_MS="0")
async def test_slow_statements_are_logged_by_name_with_the_request_they_belong_to(
    chat: RunningFunction,
) -> None:
    await ask(chat, x_vercel_id=VERCEL_ID)

    # Without what is done for no request: the parts of a slow answer are stored.
    lines = [each for each in lines_of(chat) if "request_id" in each]
    slow = [each for each in lines if each["event"] == "slow_step"]
    assert ["begin_turn" in each["step"] for each in slow] == [True, False]
    assert ["finish_turn" in each["step"] for each in slow] == [False, True]
    assert {each["request_id"] for each in lines} == {VERCEL_ID}
    assert [each["event"] for each in lines].count("slow_connection") == 2


@pytest.mark.parametrize("given", ["x" * 201, "tab\tbed", "caf\u00e9"])
async def test_an_id_that_is_none_of_the_platforms_is_replaced(
    chat: RunningFunction, given: str
) -> None:
    async with httpx2.AsyncClient(transport=ResendingTransport(verify=False)) as client:
        headers = [(b"x-vercel-id", given.encode("latin-1"))]
        response = await client.post(f"{chat.base_url}/api/chat", headers=headers)

    problem_of(response, 415, "unsupported_media_type")
    assert len(response.json()["request_id"]) == 32


async def test_a_database_that_refuses_is_told_in_its_words_and_without_its_address(
    environment: dict[str, str], database_url: str
) -> None:
    environment |= {"DATABASE_URL": f"{database_url}_not_there", "DB_POOL_TIMEOUT": "1"}
    function = await asyncio.to_thread(start_function, "api/chat.py", environment)
    try:
        problem_of(await ask(function), 503, "database_unavailable")
    finally:
        await asyncio.to_thread(function.stop)

    warnings = [each for each in lines_of(function) if each["event"] == "database_warning"]
    assert any("does not exist" in (each["refusal"] or "") for each in warnings)
    assert "127.0.0.1" not in str(warnings)
