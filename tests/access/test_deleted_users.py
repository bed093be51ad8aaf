"""A user who was deleted does not come back with a token from before."""

import time
from datetime import timedelta

import psycopg
import pytest

from tests.support.product import CRON_SECRET, Parley, headers_of, problem_of, rows_stored

ANN = "ann"
MARKS = "SELECT ends_at - deleted_at FROM deleted_users"


def header(issued_in: float | None = None, user: str = ANN) -> dict[str, str]:
    """Return the header of a token that was issued in so many seconds from now; None: no `iat`."""
    claims = {} if issued_in is None else {"iat": time.time() + issued_in}
    return headers_of(user, **claims)


async def say(parley: Parley, headers: dict[str, str]) -> int:
    """Send a message; return the status."""
    sent = await parley.client.post("/api/chat", json={"message": "Hello!"}, headers=headers)
    return sent.status_code


async def delete(parley: Parley, headers: dict[str, str]) -> None:
    """Delete the account of a token."""
    assert (await parley.client.delete("/api/auth", headers=headers)).status_code == 204


@pytest.mark.parametrize("issued_in", [-60, None], ids=["issued before", "does not say when"])
async def test_no_request_brings_a_deleted_user_back(
    parley: Parley, database: psycopg.Connection, issued_in: float | None
) -> None:
    headers = header(issued_in)
    assert await say(parley, headers) == 200
    await delete(parley, headers)
    left = rows_stored(database)

    for method, path, body in (
        ("POST", "/api/chat", {"message": "Hello!"}),
        ("POST", "/api/tasks", {"title": "Water the plants"}),
        ("POST", "/api/auth", {"action": "sign_out_everywhere"}),
        ("GET", "/api/conversations?export=true", None),
        ("GET", "/api/tasks", None),
        ("DELETE", "/api/auth", None),
    ):
        response = await parley.client.request(method, path, json=body, headers=headers)
        problem_of(response, 403, "account_deleted")

    assert database.execute("SELECT count(*) FROM users").fetchone() == (0,)
    assert rows_stored(database) == left


async def test_a_later_token_begins_anew_and_earlier_ones_stay_refused(
    parley: Parley, database: psycopg.Connection
) -> None:
    earlier, later = header(-60), header(1)
    await say(parley, earlier)
    await delete(parley, earlier)

    assert await say(parley, later) == 200

    response = await parley.client.get("/api/conversations", headers=later)
    assert len(response.json()["conversations"]) == 1
    assert await say(parley, earlier) == 401
    assert database.execute("SELECT count(*) FROM users").fetchone() == (1,)


async def test_a_user_whom_an_operator_deletes_by_hand_does_not_come_back(
    parley: Parley, database: psycopg.Connection
) -> None:
    headers = header(-60)
    await say(parley, headers)
    database.execute("DELETE FROM users WHERE id = 'ann'")

    assert await say(parley, headers) == 403
    assert await say(parley, header(-60, "bob")) == 200


async def test_the_mark_of_a_deleted_user_names_nobody_and_goes_after_30_days(
    parley: Parley, database: psycopg.Connection
) -> None:
    headers = header(-60)
    await say(parley, headers)
    await delete(parley, headers)
    assert database.execute(MARKS).fetchall() == [(timedelta(days=30),)]
    [(text,)] = database.execute("SELECT deleted_users::text FROM deleted_users").fetchall()
    assert ANN not in text

    cron = {"authorization": f"Bearer {CRON_SECRET}"}
    database.execute("UPDATE deleted_users SET ends_at = now() - interval '1 second'")
    assert (await parley.client.get("/api/cron/cleanup", headers=cron)).status_code == 200

    assert database.execute(MARKS).fetchall() == []


async def test_a_user_who_is_deleted_while_a_request_is_let_in_does_not_come_back(
    database: psycopg.Connection, parley: Parley
) -> None:
    headers = header(-60)
    await say(parley, headers)
    await delete(parley, headers)

    # What the request runs after act_as_caller, which found the user.
    with pytest.raises(psycopg.Error) as raised:
        database.execute("SELECT remember_user('ann', NULL, NULL, now() - interval '1 minute')")

    assert raised.value.sqlstate == "PA014"
