"""Local accounts whose passwords and addresses have several forms in Unicode."""

# ruff: noqa: RUF001 - the letters that look alike are what the tests are about.

from unicodedata import normalize

import bcrypt
import psycopg
import pytest

from lib.users import accounts
from tests.support.accounts import LOCAL, authenticate, logged_in, post, registered
from tests.support.product import Parley, problem_of, token_of

pytestmark = LOCAL
COMPOSED = "pässwörter"
DECOMPOSED = normalize("NFD", COMPOSED)


@pytest.mark.parametrize(("set_as", "given_as"), [(COMPOSED, DECOMPOSED), (DECOMPOSED, COMPOSED)])
async def test_a_password_is_right_in_either_unicode_form(
    parley: Parley, set_as: str, given_as: str
) -> None:
    await registered(parley, password=set_as)

    await logged_in(parley, password=given_as)
    wrong = await authenticate(parley, "login", password="passworter")
    problem_of(wrong, 401, "wrong_credentials")


async def test_a_password_that_was_stored_as_given_works_and_is_then_right_in_either_form(
    parley: Parley, database: psycopg.Connection
) -> None:
    await registered(parley)
    stored = bcrypt.hashpw(DECOMPOSED.encode(), bcrypt.gensalt(4)).decode()
    database.execute("UPDATE users SET hashed_password = %s", [stored])

    problem_of(await authenticate(parley, "login", password=COMPOSED), 401, "wrong_credentials")
    token = (await logged_in(parley, password=DECOMPOSED))["token"]

    await logged_in(parley, password=COMPOSED)
    changed = await post(
        parley, token, "change_password", password=DECOMPOSED, new_password="another password"
    )
    assert changed.status_code == 200


async def test_an_old_password_may_be_changed_in_the_form_in_which_it_was_stored(
    parley: Parley, database: psycopg.Connection
) -> None:
    token = (await registered(parley))["token"]
    stored = bcrypt.hashpw(DECOMPOSED.encode(), bcrypt.gensalt(4)).decode()
    database.execute("UPDATE users SET hashed_password = %s", [stored])

    changed = await post(
        parley, token, "change_password", password=DECOMPOSED, new_password="another password"
    )

    assert changed.status_code == 200
    await logged_in(parley, password="another password")


@pytest.mark.parametrize("password", ["password", COMPOSED, DECOMPOSED], ids=ascii)
def test_as_many_hashes_are_compared_with_an_account_as_without(
    monkeypatch: pytest.MonkeyPatch, password: str
) -> None:
    stored = bcrypt.hashpw(COMPOSED.encode(), bcrypt.gensalt(4)).decode()
    compared: list[str | None] = []

    def is_password(form: str, hash_: str | None) -> bool:
        compared.append(hash_)
        return form == COMPOSED

    monkeypatch.setattr(accounts, "_is_password", is_password)

    accounts._compare(password, stored)
    accounts._compare(password, None)

    assert (
        compared.count(stored)
        == compared.count(None)
        == len({password, normalize("NFC", password)})
    )


@pytest.mark.parametrize(
    ("password", "status"),
    [("u\u0308" * 36, 202), ("u\u0308" * 7, 422), ("ü" * 37, 422)],
    ids=ascii,
)
async def test_the_length_of_a_password_counts_after_it_is_normalized(
    parley: Parley, password: str, status: int
) -> None:
    assert (await authenticate(parley, "register", password=password)).status_code == status


@pytest.mark.parametrize(
    "written",
    [normalize("NFD", "ÄDA@Bücher.example"), " äda@xn--bcher-kva.example", "äda＠bücher．example"],
    ids=ascii,
)
async def test_an_address_has_one_account_however_it_is_written(
    parley: Parley, database: psycopg.Connection, written: str
) -> None:
    await registered(parley, "äda@bücher.example")

    await authenticate(parley, "register", written, password="another password")
    login = await logged_in(parley, written)

    assert login["user"]["email"] == "äda@bücher.example"
    assert database.execute("SELECT email FROM users").fetchall() == [("äda@bücher.example",)]


async def test_a_token_has_the_address_in_the_form_of_an_account(
    parley: Parley, database: psycopg.Connection
) -> None:
    await registered(parley, "äda@bücher.example")
    token = token_of("other", email=normalize("NFD", "äda@xn--bcher-kva.example"))
    await parley.client.post(
        "/api/chat", json={"message": "Hello!"}, headers={"authorization": f"Bearer {token}"}
    )

    assert database.execute("SELECT email FROM users WHERE id = 'other'").fetchall() == [(None,)]


async def test_the_length_of_an_address_counts_after_it_is_normalized(parley: Parley) -> None:
    decomposed = normalize("NFD", "é" * 200) + "@example.com"

    assert (await authenticate(parley, "register", f"  {decomposed}  ")).status_code == 202
