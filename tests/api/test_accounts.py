"""POST /api/auth: register and log in, and the token that a log-in returns."""

import asyncio
import logging
import re
from datetime import datetime, timedelta
from typing import Any

import bcrypt
import httpx2
import jwt
import psycopg
import pytest

from lib.identity import clients
from lib.users import accounts
from tests.support.accounts import (
    EMAIL,
    LOCAL,
    PASSWORD,
    authenticate,
    bearer,
    leave,
    logged,
    logged_in,
    registered,
    status_with,
)
from tests.support.product import JWT_SECRET, ROOT, Parley, problem_of, rows_stored, token_of

pytestmark = LOCAL
MULTIBYTE = "ü" * 36


@pytest.mark.environment(LOCAL_ACCOUNTS=None)
@pytest.mark.parametrize("action", ["register", "login", "anything"])
async def test_without_local_accounts_the_endpoint_is_not_found(
    parley: Parley, database: psycopg.Connection, action: str
) -> None:
    problem_of(await authenticate(parley, action), 404, "not_found")

    assert rows_stored(database) == 0


async def test_registering_allows_a_log_in_which_signs_the_user_in(parley: Parley) -> None:
    registered = await authenticate(parley, "register", name="Ada")
    logged_in = await authenticate(parley, "login")

    assert (registered.status_code, registered.json()) == (202, {"status": "registered"})
    assert logged_in.status_code == 200
    assert logged_in.headers["cache-control"] == "no-store"
    assert logged_in.json().keys() == {"token", "expires_at", "user"}
    assert logged_in.json()["user"].items() >= {"email": EMAIL, "name": "Ada"}.items()


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
    assert claims["exp"] - int(claims["iat"]) == timedelta(days=7).total_seconds()
    assert datetime.fromisoformat(answer["expires_at"]).timestamp() == claims["exp"]
    assert claims.keys() == {
        "sub", "email", "name", "iat", "exp", "local_account", "new_account",
    }  # fmt: skip


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

    await authenticate(parley, "register", written, password="another password")
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


async def test_registering_a_taken_address_is_answered_like_a_free_one_and_changes_nothing(
    parley: Parley, database: psycopg.Connection
) -> None:
    free = await authenticate(parley, "register")
    before = database.execute("SELECT users::text FROM users").fetchall()

    taken = await authenticate(parley, "register", password="another password")

    assert (free.status_code, free.content) == (taken.status_code, taken.content)
    assert _headers(free) == _headers(taken)
    assert database.execute("SELECT users::text FROM users").fetchall() == before


async def test_a_user_of_an_identity_provider_cannot_be_taken_over_by_registering(
    parley: Parley, database: psycopg.Connection
) -> None:
    await parley.client.post(
        "/api/chat",
        json={"message": "Hello!"},
        headers=bearer(token_of("ada", email="Ada@Example.com")),
    )

    assert (await authenticate(parley, "register")).status_code == 202
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

    assert {response.status_code for response in responses} == {202}
    [(hash_,)] = database.execute("SELECT hashed_password FROM users").fetchall()
    [winner] = [n for n in range(8) if bcrypt.checkpw(f"password {n}".encode(), hash_.encode())]
    assert await logged_in(parley, password=f"password {winner}")


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
    token = (await registered(parley))["token"]
    headers = bearer(token)
    assert (await leave(parley, token, password=PASSWORD)).status_code == 204

    text = await parley.client.post("/api/chat", json={"message": "Hello!"}, headers=headers)
    problem_of(text, 403, "account_deleted")
    for path in ("/api/conversations", "/api/conversations?q=x", "/api/conversations?export=true"):
        response = await parley.client.get(path, headers=headers)
        problem_of(response, 403, "account_deleted")

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

    assert [response.status_code for response in responses] == [202, 202, 200, 401, 422, 409]
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


def test_a_password_that_is_longer_than_bcrypt_reads_is_a_wrong_one() -> None:
    stored = bcrypt.hashpw(b"x" * 72, bcrypt.gensalt(4)).decode()

    assert accounts._is_password("x" * 72, stored)
    assert not accounts._is_password("x" * 73, stored)
    assert not accounts._is_password("x" * 1000, stored)


async def test_the_tokens_of_an_accounts_first_day_name_its_client_without_telling_the_address(
    parley: Parley, database: psycopg.Connection, hashed: list[str]
) -> None:
    here = _claims(await registered(parley, client="203.0.113.7"))
    same = _claims(await registered(parley, "eve@example.com", client="203.0.113.7"))
    elsewhere = _claims(await logged_in(parley, client="198.51.100.1"))
    database.execute("UPDATE users SET created_at = now() - interval '1 day'")
    later = _claims(await logged_in(parley))

    assert hashed
    assert here["new_account"].keys() == {"client", "until"}
    assert here["new_account"]["client"] == clients.hashed("new accounts", "203.0.113.7")
    assert here["new_account"]["client"] == same["new_account"]["client"]
    assert here["new_account"]["client"] != elsewhere["new_account"]["client"]
    assert here["new_account"]["until"] == elsewhere["new_account"]["until"]
    assert abs(here["new_account"]["until"] - here["iat"] - 86_400) < 60
    assert "203.0.113" not in str(here)
    assert "new_account" not in later


async def test_an_operator_frees_an_address_with_the_statement_that_the_document_has(
    parley: Parley, database: psycopg.Connection, hashed: list[str]
) -> None:
    squatter = await registered(parley, password="password of a squatter")
    await parley.client.post(
        "/api/chat", json={"message": "Hello!"}, headers=bearer(squatter["token"])
    )
    [statement] = re.findall(
        r"^DELETE FROM users WHERE email = .*;$", (ROOT / "README.md").read_text(), re.MULTILINE
    )
    assert EMAIL in statement

    database.execute(statement.encode())

    owner = await registered(parley)
    assert owner["user"]["id"] != squatter["user"]["id"]
    assert await status_with(parley, squatter["token"]) == 403
    assert database.execute("SELECT count(*) FROM conversations").fetchone() == (0,)
    assert hashed


def _claims(answer: dict[str, Any]) -> dict[str, Any]:
    return jwt.decode(answer["token"], JWT_SECRET, algorithms=["HS256"])


def _headers(response: httpx2.Response) -> dict[str, str]:
    different_each_time = {"server-timing", "date"}
    return {
        name: value for name, value in response.headers.items() if name not in different_each_time
    }
