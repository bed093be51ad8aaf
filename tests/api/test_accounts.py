"""POST /api/auth: register and log in, and the token that both return."""

import asyncio
import logging
import re
from collections import Counter
from datetime import datetime, timedelta
from typing import Any

import bcrypt
import jwt
import psycopg
import pytest

from lib.users import accounts
from tests.support.accounts import (
    EMAIL,
    LOCAL,
    PASSWORD,
    PATH,
    authenticate,
    bearer,
    logged,
    registered,
)
from tests.support.product import JWT_SECRET, Parley, problem_of, rows_stored, token_of

pytestmark = LOCAL
MULTIBYTE = "ü" * 36


@pytest.mark.environment(LOCAL_ACCOUNTS=None)
@pytest.mark.parametrize("action", ["register", "login", "anything"])
async def test_without_local_accounts_the_endpoint_is_not_found(
    parley: Parley, database: psycopg.Connection, action: str
) -> None:
    problem_of(await authenticate(parley, action), 404, "not_found")

    assert rows_stored(database) == 0


async def test_registering_signs_the_user_in_and_allows_a_log_in(parley: Parley) -> None:
    registered = await authenticate(parley, "register", name="Ada")
    again = await authenticate(parley, "login")

    assert (registered.status_code, again.status_code) == (201, 200)
    assert registered.headers["cache-control"] == "no-store"
    assert registered.json().keys() == again.json().keys() == {"token", "expires_at", "user"}
    assert registered.json()["user"] == again.json()["user"]
    assert registered.json()["user"].items() >= {"email": EMAIL, "name": "Ada"}.items()


async def test_the_token_names_its_user_and_is_valid_for_seven_days(
    parley: Parley, database: psycopg.Connection
) -> None:
    answer = await registered(parley, name="Ada")
    headers = bearer(answer["token"])

    text = await parley.client.post("/api/chat", json={"message": "Hello!"}, headers=headers)
    listed = await parley.client.get("/api/conversations", headers=headers)

    assert text.status_code == 200
    assert len(listed.json()["conversations"]) == 1
    assert database.execute("SELECT id, email, name FROM users").fetchall() == [
        (answer["user"]["id"], EMAIL, "Ada")
    ]
    claims = jwt.decode(answer["token"], JWT_SECRET, algorithms=["HS256"])
    assert claims["exp"] - claims["iat"] == timedelta(days=7).total_seconds()
    assert datetime.fromisoformat(answer["expires_at"]).timestamp() == claims["exp"]
    assert claims.keys() == {"sub", "email", "name", "iat", "exp", "local_account"}


@pytest.mark.environment(
    LOCAL_ACCOUNTS="true", JWT_ISSUER="https://a.app", JWT_AUDIENCE="parley", AUTH_REQUIRED="true"
)
async def test_the_token_has_the_configured_issuer_and_audience(parley: Parley) -> None:
    answer = await registered(parley)

    claims = jwt.decode(answer["token"], options={"verify_signature": False})
    assert (claims["iss"], claims["aud"]) == ("https://a.app", "parley")
    assert "name" not in claims
    response = await parley.client.get("/api/conversations", headers=bearer(answer["token"]))
    assert response.status_code == 200


@pytest.mark.parametrize("written", [" Ada@Example.COM ", "ADA@EXAMPLE.COM", EMAIL])
async def test_an_address_is_the_same_in_small_and_in_capital_letters(
    parley: Parley, written: str
) -> None:
    await registered(parley, "Ada@example.com")

    problem_of(await authenticate(parley, "register", written), 409, "email_taken")
    response = await authenticate(parley, "login", written)
    assert response.json()["user"]["email"] == EMAIL


@pytest.mark.parametrize(
    "password",
    ["x" * 8, "x" * 72, MULTIBYTE, "😀" * 18, " " * 8, " x\ty\nzz "],
    ids=ascii,
)
async def test_a_password_of_8_characters_to_72_bytes_is_taken_as_it_is(
    parley: Parley, password: str
) -> None:
    await registered(parley, password=password)

    assert (await authenticate(parley, "login", password=password)).status_code == 200
    other = password[:-1] + "y"
    problem_of(await authenticate(parley, "login", password=other), 401, "wrong_credentials")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"password": "x" * 7}, "password"),
        ({"password": "x" * 73}, "password"),
        ({"password": MULTIBYTE + "x"}, "password"),
        ({"password": "correct\0horse"}, "password"),
        ({"password": 12345678}, "password"),
        ({"password": None}, "password"),
        ({"email": "ada"}, "email"),
        ({"email": "@example.com"}, "email"),
        ({"email": "ada@"}, "email"),
        ({"email": "a da@example.com"}, "email"),
        ({"email": "ada@exam\u2028ple.com"}, "email"),
        ({"email": "a\0da@example.com"}, "email"),
        ({"email": "x" * 244 + "@example.com"}, "email"),
        ({"email": "İ" * 200 + "@example.com"}, "email"),
        ({"email": ""}, "email"),
        ({"name": ""}, "name"),
        ({"name": "x" * 256}, "name"),
        ({"name": "a\0b"}, "name"),
    ],
    ids=lambda value: ascii(value)[:40],
)
@pytest.mark.parametrize("action", ["register", "login"])
async def test_invalid_credentials_are_refused_without_repeating_them(
    parley: Parley, database: psycopg.Connection, action: str, body: dict[str, Any], field: str
) -> None:
    response = await authenticate(parley, action, **body)

    problem = problem_of(response, 422, "invalid_request")
    assert [error["field"] for error in problem["errors"]] == [field]
    assert PASSWORD not in response.text
    assert "correct" not in response.text
    assert rows_stored(database) == 0


async def test_registering_a_taken_address_is_refused_and_changes_nothing(
    parley: Parley, database: psycopg.Connection
) -> None:
    await registered(parley)
    before = database.execute("SELECT users::text FROM users").fetchall()

    taken = await authenticate(parley, "register", password="another password")

    problem_of(taken, 409, "email_taken")
    assert database.execute("SELECT users::text FROM users").fetchall() == before


async def test_a_user_of_an_identity_provider_cannot_be_taken_over_by_registering(
    parley: Parley, database: psycopg.Connection
) -> None:
    await parley.client.post(
        "/api/chat",
        json={"message": "Hello!"},
        headers=bearer(token_of("ada", email="Ada@Example.com")),
    )

    problem_of(await authenticate(parley, "register"), 409, "email_taken")
    problem_of(await authenticate(parley, "login"), 401, "wrong_credentials")
    assert database.execute("SELECT id, email, hashed_password FROM users").fetchall() == [
        ("ada", EMAIL, None)
    ]


async def test_a_token_does_not_take_over_the_address_of_an_account(
    parley: Parley, database: psycopg.Connection
) -> None:
    answer = await registered(parley)

    await parley.client.post(
        "/api/chat", json={"message": "Hello!"}, headers=bearer(token_of("eve", email=EMAIL))
    )

    users = database.execute("SELECT id, email FROM users ORDER BY email NULLS LAST").fetchall()
    assert users == [(answer["user"]["id"], EMAIL), ("eve", None)]
    assert (await authenticate(parley, "login")).json()["user"] == answer["user"]


async def test_many_registrations_of_one_address_at_once_create_one_account(
    parley: Parley, database: psycopg.Connection
) -> None:
    responses = await asyncio.gather(
        *[authenticate(parley, "register", password=f"password {n}") for n in range(8)]
    )

    assert Counter(response.status_code for response in responses) == {201: 1, 409: 7}
    assert database.execute("SELECT count(*) FROM users").fetchall() == [(1,)]
    winner = [response.status_code for response in responses].index(201)
    login = await authenticate(parley, "login", password=f"password {winner}")
    assert login.status_code == 200


async def test_a_switched_off_account_is_revealed_only_with_the_right_password(
    parley: Parley, database: psycopg.Connection
) -> None:
    answer = await registered(parley)
    database.execute("UPDATE users SET is_active = FALSE")

    problem_of(await authenticate(parley, "login"), 403, "account_inactive")
    wrong = await authenticate(parley, "login", password="another password")
    problem_of(wrong, 401, "wrong_credentials")
    used = await parley.client.get("/api/conversations", headers=bearer(answer["token"]))
    problem_of(used, 403, "account_inactive")


async def test_the_token_of_a_deleted_account_does_not_create_it_again(
    parley: Parley, database: psycopg.Connection
) -> None:
    headers = bearer((await registered(parley))["token"])
    assert (await parley.client.delete(PATH, headers=headers)).status_code == 204

    text = await parley.client.post("/api/chat", json={"message": "Hello!"}, headers=headers)
    problem_of(text, 403, "account_unknown")
    for path in ("/api/conversations", "/api/conversations?q=x", "/api/conversations?export=true"):
        response = await parley.client.get(path, headers=headers)
        problem_of(response, 403, "account_unknown")

    problem_of(await authenticate(parley, "login"), 401, "wrong_credentials")
    assert database.execute("SELECT count(*) FROM users").fetchall() == [(0,)]


async def test_no_response_and_no_log_line_contains_a_password_or_its_hash(
    parley: Parley, database: psycopg.Connection, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    responses = [
        await authenticate(parley, "register"),
        await authenticate(parley, "register"),
        await authenticate(parley, "login"),
        await authenticate(parley, "login", password=f"not {PASSWORD}"),
        await authenticate(parley, "login", "a da@example.com"),
    ]
    # An error of the database quotes the row.
    database.execute("ALTER TABLE users ADD CONSTRAINT never CHECK (name IS NULL)")
    responses.append(await authenticate(parley, "register", "eve@example.com", name="Eve"))

    assert [response.status_code for response in responses] == [201, 409, 200, 401, 422, 500]
    text = logged(caplog) + "".join(f"{response.text}{response.headers}" for response in responses)
    assert r"violates check constraint \"never\"" in text
    assert PASSWORD not in text
    assert not re.search(r"\$2[aby]\$\d\d\$", text)


async def test_passwords_are_stored_as_bcrypt_of_cost_12_with_different_salts(
    parley: Parley, database: psycopg.Connection
) -> None:
    await registered(parley)
    await registered(parley, "eve@example.com")

    hashes = [
        hash_ for (hash_,) in database.execute("SELECT hashed_password FROM users").fetchall()
    ]
    assert len({*hashes}) == 2
    for hash_ in hashes:
        assert re.fullmatch(r"\$2b\$12\$[./A-Za-z0-9]{53}", hash_)
        assert bcrypt.checkpw(PASSWORD.encode(), hash_.encode())


def test_the_hash_compared_for_an_unknown_address_costs_as_much() -> None:
    assert accounts.NOBODYS_HASH.startswith(f"$2b${accounts.BCRYPT_ROUNDS}$")
    assert accounts.BCRYPT_ROUNDS == 12
    assert not accounts._is_password("", None)
