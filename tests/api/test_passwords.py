"""/api/auth with a token: another password, the end of all tokens, the end of an account."""

import asyncio
import time
from typing import Any

import jwt
import psycopg
import pytest

from lib.users import accounts
from tests.support.accounts import (
    EMAIL,
    LOCAL,
    PASSWORD,
    authenticate,
    bearer,
    leave,
    logged_in,
    post,
    registered,
    status_with,
)
from tests.support.model_server import Reply, ScriptedModel
from tests.support.product import JWT_SECRET, Parley, problem_of, token_of

pytestmark = [LOCAL, pytest.mark.usefixtures("hashed")]
NEW, WRONG = "another good password", "wrong"
CHANGE, SIGN_OUT = "change_password", "sign_out_everywhere"


async def test_a_changed_password_replaces_the_old_one_and_its_token_works_at_once(
    parley: Parley,
) -> None:
    token = (await registered(parley, name="Ada"))["token"]

    changed = await post(parley, token, CHANGE, password=PASSWORD, new_password=NEW)

    assert changed.status_code == 200
    assert changed.json().keys() == {"token", "expires_at", "user"}
    assert changed.json()["user"].items() >= {"email": EMAIL, "name": "Ada"}.items()
    assert await status_with(parley, changed.json()["token"]) == 200
    problem_of(await authenticate(parley, "login"), 401, "wrong_credentials")
    await logged_in(parley, password=NEW)


async def test_a_changed_password_ends_every_earlier_token_also_of_the_same_second(
    parley: Parley,
) -> None:
    earlier = [(await registered(parley))["token"], (await logged_in(parley))["token"]]

    changed = await post(parley, earlier[0], CHANGE, password=PASSWORD, new_password=NEW)
    later = await logged_in(parley, password=NEW)

    for token in earlier:
        response = await parley.client.get("/api/conversations", headers=bearer(token))
        assert "Sign in again" in problem_of(response, 401, "unauthenticated")["detail"]
    for token in (changed.json()["token"], later["token"]):
        assert await status_with(parley, token) == 200


async def test_signing_out_everywhere_ends_every_earlier_token_and_allows_a_log_in_at_once(
    parley: Parley,
) -> None:
    earlier = [(await registered(parley))["token"], (await logged_in(parley))["token"]]
    bystander = (await registered(parley, "eve@example.com"))["token"]

    assert (await post(parley, earlier[0], SIGN_OUT)).status_code == 204

    for _ in range(5):
        later = (await logged_in(parley))["token"]
        assert await status_with(parley, later) == 200
    assert [await status_with(parley, token) for token in earlier] == [401, 401]
    assert await status_with(parley, bystander) == 200


@pytest.mark.environment(LOCAL_ACCOUNTS=None)
@pytest.mark.parametrize("is_stored", [True, False], ids=["known", "never seen"])
async def test_a_user_of_an_identity_provider_signs_out_everywhere_without_local_accounts(
    parley: Parley, *, is_stored: bool
) -> None:
    now = int(time.time())
    old, without_time = token_of("ada", iat=now - 60), token_of("ada")
    new = token_of("ada", iat=now + 20)
    if is_stored:
        await parley.client.post("/api/chat", json={"message": "Hello!"}, headers=bearer(old))

    assert (await post(parley, old, SIGN_OUT)).status_code == 204

    statuses = [await status_with(parley, token) for token in (old, without_time, new)]
    assert statuses == [401, 401, 200]
    assert await status_with(parley, token_of("eve", iat=now - 60)) == 200


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/api/chat", {"message": "Hello!"}),
        ("GET", "/api/history?conversation_id=abcdefghijklmnop", None),
        ("GET", "/api/conversations", None),
        ("GET", "/api/conversations?export=true", None),
        ("GET", "/api/conversations?q=hello", None),
        ("PATCH", "/api/conversations?id=abcdefghijklmnop", {"title": "New"}),
        ("DELETE", "/api/conversations?all=true", None),
        ("GET", "/api/chat/abcdefghijklmnop/stream", None),
        ("DELETE", "/api/chat/abcdefghijklmnop/stream", None),
        ("GET", "/api/tasks", None),
        ("POST", "/api/tasks", {"title": "New"}),
        ("GET", "/api/messages?usage=true", None),
        ("DELETE", "/api/auth", {"password": PASSWORD}),
        ("POST", "/api/auth", {"action": SIGN_OUT}),
        ("POST", "/api/auth", {"action": CHANGE, "password": PASSWORD, "new_password": NEW}),
    ],
)
async def test_every_endpoint_refuses_a_token_that_was_signed_out(
    parley: Parley,
    database: psycopg.Connection,
    method: str,
    path: str,
    body: dict[str, Any] | None,
) -> None:
    token = (await registered(parley))["token"]
    await post(parley, token, SIGN_OUT)
    before = database.execute("SELECT users::text FROM users").fetchall()

    response = await parley.client.request(method, path, json=body, headers=bearer(token))

    problem_of(response, 401, "unauthenticated")
    assert database.execute("SELECT users::text FROM users").fetchall() == before


async def test_an_answer_that_is_being_made_is_stored_after_its_user_signed_out(
    parley: Parley, model: ScriptedModel
) -> None:
    token = (await registered(parley))["token"]
    asked, go_on = asyncio.Event(), asyncio.Event()
    model.on_request = asked.set
    model.default = Reply(until=go_on)
    sending = asyncio.create_task(
        parley.client.post("/api/chat", json={"message": "Hello!"}, headers=bearer(token))
    )
    await asked.wait()
    await post(parley, token, SIGN_OUT)
    go_on.set()

    response = await sending

    assert response.status_code == 200
    later = (await logged_in(parley))["token"]
    listed = await parley.client.get("/api/conversations", headers=bearer(later))
    assert [each["message_count"] for each in listed.json()["conversations"]] == [2]


async def test_a_wrong_password_changes_nothing_and_counts_as_a_failed_log_in(
    parley: Parley, database: psycopg.Connection
) -> None:
    token = (await registered(parley))["token"]
    before = database.execute("SELECT users::text FROM users").fetchall()

    for number in range(5):
        if number % 2:
            response = await leave(parley, token, password=WRONG)
        else:
            response = await post(parley, token, CHANGE, password=WRONG, new_password=NEW)
        problem_of(response, 401, "wrong_credentials")

    assert database.execute("SELECT users::text FROM users").fetchall() == before
    for response in (
        await post(parley, token, CHANGE, password=PASSWORD, new_password=NEW),
        await leave(parley, token, password=PASSWORD),
        await authenticate(parley, "login"),
    ):
        problem_of(response, 429, "too_many_attempts")
        assert response.headers["retry-after"] == "1"


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({}, ["password", "new_password"]),
        ({"password": PASSWORD}, ["new_password"]),
        ({"password": "", "new_password": NEW}, ["password"]),
        ({"password": PASSWORD, "new_password": "x" * 7}, ["new_password"]),
        ({"password": PASSWORD, "new_password": "x" * 73}, ["new_password"]),
        ({"password": PASSWORD, "new_password": "x\0" * 8}, ["new_password"]),
        ({"password": 12345678, "new_password": None}, ["password", "new_password"]),
    ],
)
async def test_an_invalid_change_of_password_is_refused_without_repeating_it(
    parley: Parley, body: dict[str, Any], fields: list[str]
) -> None:
    token = (await registered(parley))["token"]

    response = await post(parley, token, CHANGE, **body)

    problem = problem_of(response, 422, "invalid_request")
    assert [error["field"] for error in problem["errors"]] == fields
    assert PASSWORD not in response.text
    assert await status_with(parley, token) == 200


async def test_a_change_of_password_needs_a_token_of_a_local_account(parley: Parley) -> None:
    await registered(parley)
    body = {"password": PASSWORD, "new_password": NEW}

    problem_of(await post(parley, None, CHANGE, **body), 401, "unauthenticated")
    problem_of(await post(parley, None, SIGN_OUT), 401, "unauthenticated")
    foreign = token_of("ada", email=EMAIL)
    problem_of(await post(parley, foreign, CHANGE, **body), 409, "no_password")
    await logged_in(parley)


async def test_a_token_reaches_no_account_but_its_own_by_an_address_in_it(parley: Parley) -> None:
    ada = await registered(parley)
    await registered(parley, "eve@example.com")
    claims: dict[str, Any] = jwt.decode(ada["token"], JWT_SECRET, algorithms=["HS256"])
    forged = jwt.encode(claims | {"email": "eve@example.com"}, JWT_SECRET, algorithm="HS256")

    problem_of(await leave(parley, forged, password=PASSWORD), 401, "wrong_credentials")

    await logged_in(parley, "eve@example.com")


async def test_an_account_is_deleted_only_with_its_password(
    parley: Parley, database: psycopg.Connection
) -> None:
    token = (await registered(parley))["token"]
    users = "SELECT count(*) FROM users"

    for body in ({}, {"pass": PASSWORD}, {"password": ""}, {"password": None}):
        response = await leave(parley, token, **body)
        problem = problem_of(response, 422, "invalid_request")
        assert [error["field"] for error in problem["errors"]] == ["password"]
    problem_of(await leave(parley, token, password=WRONG), 401, "wrong_credentials")
    assert database.execute(users).fetchone() == (1,)

    assert (await leave(parley, token, password=PASSWORD)).status_code == 204
    assert database.execute(users).fetchone() == (0,)
    assert database.execute("SELECT count(*) FROM known_networks").fetchone() == (0,)


async def test_a_deleted_account_neither_changes_its_password_nor_signs_out(
    parley: Parley, database: psycopg.Connection
) -> None:
    token = (await registered(parley))["token"]
    await leave(parley, token, password=PASSWORD)

    for response in (
        await post(parley, token, CHANGE, password=PASSWORD, new_password=NEW),
        await post(parley, token, SIGN_OUT),
        await leave(parley, token, password=PASSWORD),
    ):
        problem_of(response, 403, "account_deleted")
    assert database.execute("SELECT count(*) FROM users").fetchone() == (0,)


async def test_a_log_in_whose_password_is_changed_meanwhile_gets_no_token(
    parley: Parley, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = (await registered(parley))["token"]
    is_password, loop = accounts._is_password, asyncio.get_running_loop()
    compared, go_on = asyncio.Event(), asyncio.Event()

    def slow(password: str, stored: str | None) -> bool:
        monkeypatch.setattr(accounts, "_is_password", is_password)
        loop.call_soon_threadsafe(compared.set)
        asyncio.run_coroutine_threadsafe(go_on.wait(), loop).result(60)
        return is_password(password, stored)

    monkeypatch.setattr(accounts, "_is_password", slow)
    logging_in = asyncio.create_task(authenticate(parley, "login"))
    await compared.wait()
    changed = await post(parley, token, CHANGE, password=PASSWORD, new_password=NEW)
    go_on.set()

    problem_of(await logging_in, 401, "wrong_credentials")
    assert changed.status_code == 200


async def test_of_two_changes_of_password_at_once_one_succeeds(parley: Parley) -> None:
    token = (await registered(parley))["token"]

    answers = await asyncio.gather(
        *[post(parley, token, CHANGE, password=PASSWORD, new_password=f"{NEW} {n}") for n in (0, 1)]
    )

    assert sorted(response.status_code for response in answers) == [200, 401]
    [winner] = [n for n, response in enumerate(answers) if response.status_code == 200]
    await logged_in(parley, password=f"{NEW} {winner}")


async def test_an_unknown_action_is_told_the_known_ones(parley: Parley) -> None:
    response = await post(parley, None, "anything")

    [error] = problem_of(response, 422, "invalid_request")["errors"]
    assert error["field"] == "action"
    assert "sign_out_everywhere" in error["detail"]
