"""Quotas against an attacker: attempts without an end, shared subjects, bytes, and tokens."""

import asyncio
import re
import time
from typing import Any

import httpx2
import psycopg
import pytest

from lib.identity.clients import hashed
from tests.api.test_quotas import say_from, told
from tests.support.accounts import bearer, registered
from tests.support.images import file_part, png_of_bytes
from tests.support.left_behind import leave_behind
from tests.support.model_server import Reply, ScriptedModel
from tests.support.product import (
    CHAT_ID,
    Parley,
    headers_of,
    problem_of,
    rows_stored,
    sdk_body,
    text_of,
    token_of,
)
from tests.support.reading import path_of, sending, until

SIGN_IN = r"Sign in, or come back at \d\d:\d\d UTC\."
IMAGE = file_part("image/png", png_of_bytes(3000))


def day_counts(database: psycopg.Connection) -> list[tuple[str, int]]:
    """Return the kind of each subject, and its uses in the running day."""
    return database.execute(
        "SELECT regexp_replace(subject, ' [0-9a-f]{64}$', ''), day_count FROM quotas ORDER BY 1, 2"
    ).fetchall()


@pytest.mark.environment(MESSAGES_PER_DAY="4", ANONYMOUS_PER_DAY="100")
@pytest.mark.parametrize("user", ["ann", None])
async def test_an_attacker_that_stops_each_answer_before_its_first_token_asks_the_model_no_oftener(
    parley: Parley, model: ScriptedModel, database: psycopg.Connection, user: str | None
) -> None:
    model.replies = [Reply(seconds_before=3600)] * 4
    for number in range(4):
        reader = sending(parley.client, user=user)
        await until(lambda number=number: len(model.requests) == number + 1)
        stopped = await parley.client.delete(path_of(), headers=headers_of(user))
        assert stopped.status_code == 204
        await reader.end()

    for _ in range(5):
        problem_of(await parley.send("Hello!", user=user), 429, "quota_exceeded")

    assert len(model.requests) + len(model.title_requests) == 4
    assert {count for _, count in day_counts(database)} == {4}
    assert await parley.said(user=user) == ["Hello!"]


@pytest.mark.environment(MESSAGES_PER_DAY="2")
async def test_an_attempt_after_a_killed_function_is_counted(
    parley: Parley, model: ScriptedModel, database: psycopg.Connection
) -> None:
    model.replies = [Reply(seconds_before=3600)]
    killed = sending(parley.client)
    await until(lambda: len(model.requests) == 1)
    leave_behind(database)

    assert text_of(await parley.send("Hello!")) == "Hello, how are you?"
    assert day_counts(database) == [("client", 2)]
    assert len(model.requests) == 2
    await killed.end()


@pytest.mark.environment(MESSAGES_PER_DAY="2")
async def test_deleting_the_account_brings_no_fresh_quota(
    parley: Parley, model: ScriptedModel
) -> None:
    for _ in range(2):
        assert (await parley.say("Hello!", user="ann")).status_code == 200
    for times in range(3):
        # A token from after the last deletion.
        headers = headers_of("ann", iat=time.time() + times)
        deleted = await parley.client.delete("/api/auth", headers=headers)
        assert deleted.status_code == 204
        later = headers_of("ann", iat=time.time() + times + 1)
        sent = await parley.client.post("/api/chat", json={"message": "Hello!"}, headers=later)
        problem_of(sent, 429, "quota_exceeded")

    assert len(model.requests) == 2
    assert (await parley.say("Hello!", user="bob")).status_code == 200


@pytest.mark.environment(MESSAGES_PER_DAY="1")
async def test_the_networks_of_one_site_have_ten_times_the_limits_of_one_of_them(
    parley: Parley, database: psycopg.Connection
) -> None:
    answers = [await say_from(parley, f"2001:db8:1:{n}::1") for n in range(13)]

    assert [answer.status_code for answer in answers] == [200] * 10 + [429] * 3
    problem = problem_of(answers[-1], 429, "quota_exceeded")
    assert re.fullmatch(rf"Guests from your network have .* stored\. {SIGN_IN}", problem["detail"])
    assert 86_000 <= int(answers[-1].headers["retry-after"]) <= 86_400
    assert (await say_from(parley, "2001:db8:2:1::1")).status_code == 200
    # A refused network leaves no counter behind.
    assert day_counts(database) == [("client", 1)] * 11 + [("site", 1), ("site", 10)]


@pytest.mark.environment(MESSAGES_PER_DAY="2", ANONYMOUS_PER_DAY="3")
async def test_all_guests_together_have_a_ceiling_that_stops_no_user(
    parley: Parley, model: ScriptedModel, database: psycopg.Connection
) -> None:
    for address in ("203.0.113.1", "198.51.100.2", "2001:db8::1"):
        assert (await say_from(parley, address)).status_code == 200
    before = rows_stored(database)

    refused = await say_from(parley, "192.0.2.9")

    problem = problem_of(refused, 429, "quota_exceeded")
    assert re.fullmatch(rf"All guests together have .* stored\. {SIGN_IN}", problem["detail"])
    assert 86_000 <= int(refused.headers["retry-after"]) <= 86_400
    assert told(refused)["ratelimit-policy"] == '"day";q=3;w=86400'
    assert (rows_stored(database), len(model.requests)) == (before, 3)
    for _ in range(2):
        assert (await parley.say("Hello!", user="ann")).status_code == 200


@pytest.mark.environment(MESSAGES_PER_DAY="9", ANONYMOUS_PER_DAY="12")
async def test_of_many_guests_at_once_exactly_the_ceiling_passes(
    parley: Parley, model: ScriptedModel, database: psycopg.Connection
) -> None:
    answers = await asyncio.gather(
        *[say_from(parley, f"2001:db8:{n % 3}:{n % 7}::1") for n in range(40)]
    )

    assert sorted(answer.status_code for answer in answers) == [200] * 12 + [429] * 28
    assert len(model.requests) == 12
    assert ("all guests", 12) in day_counts(database)


@pytest.mark.environment(MESSAGES_PER_DAY="5", ANONYMOUS_PER_DAY="7")
async def test_the_headers_tell_of_the_subject_with_the_fewest_answers_left(
    parley: Parley,
) -> None:
    first = [await say_from(parley, "203.0.113.1") for _ in range(4)]
    other = await say_from(parley, "203.0.113.2")

    assert [told(each)["ratelimit-remaining"] for each in first] == ["4", "3", "2", "1"]
    assert told(first[-1])["ratelimit-limit"] == "5"
    # This client has 4 left, but all guests together only 2.
    assert (told(other)["ratelimit-limit"], told(other)["ratelimit-remaining"]) == ("7", "2")


@pytest.mark.environment(MESSAGES_PER_DAY="2")
async def test_the_new_accounts_of_one_client_share_one_quota_on_their_first_day(
    parley: Parley, database: psycopg.Connection, model: ScriptedModel
) -> None:
    claim = {"client": hashed("new accounts", "203.0.113.7"), "until": time.time() + 60}
    answers = [await _say_as(parley, database, f"account-{n}", claim) for n in range(4)]

    assert [answer.status_code for answer in answers] == [200, 200, 429, 429]
    problem = problem_of(answers[-1], 429, "quota_exceeded")
    assert problem["detail"].startswith("The new accounts of your network have reached")
    assert "Sign in" not in problem["detail"]
    assert len(model.requests) == 2
    elsewhere = {"client": hashed("new accounts", "198.51.100.1"), "until": time.time() + 60}
    assert (await _say_as(parley, database, "account-9", elsewhere)).status_code == 200


@pytest.mark.usefixtures("hashed")
@pytest.mark.environment(MESSAGES_PER_DAY="1", LOCAL_ACCOUNTS="true")
async def test_the_new_accounts_of_one_site_have_ten_times_the_quota_of_one_client(
    parley: Parley, model: ScriptedModel
) -> None:
    statuses = list[int]()
    for number in range(13):
        address = f"2001:db8:1:{number}::1"
        token = (await registered(parley, f"{number}@example.com", client=address))["token"]
        sent = await parley.client.post(
            "/api/chat", json={"message": "Hello!"}, headers=bearer(token)
        )
        statuses.append(sent.status_code)

    assert statuses == [200] * 10 + [429] * 3
    assert len(model.requests) == 10


@pytest.mark.environment(MESSAGES_PER_DAY="1")
@pytest.mark.parametrize(
    "claim",
    [
        {"client": "new accounts x", "until": 1_000_000_000},
        {"client": "new accounts x", "until": "never"},
        {"client": "", "until": 9_999_999_999},
        {"client": "\0", "until": 9_999_999_999},
        {"client": "x" * 400, "until": 9_999_999_999},
        {"client": 7, "until": 9_999_999_999},
        {"until": 9_999_999_999},
        "new accounts x",
        None,
    ],
)
async def test_an_account_that_is_no_longer_new_counts_for_itself_alone(
    parley: Parley, database: psycopg.Connection, claim: object
) -> None:
    answers = [await _say_as(parley, database, f"account-{n}", claim) for n in range(2)]

    assert [answer.status_code for answer in answers] == [200, 200]
    assert day_counts(database) == [("user", 1), ("user", 1)]


@pytest.mark.environment(MESSAGES_PER_DAY="1")
async def test_a_token_of_another_issuer_shares_no_quota_of_new_accounts(
    parley: Parley, database: psycopg.Connection
) -> None:
    claim = {"client": "new accounts x", "until": time.time() + 60}
    for user in ("ann", "bob"):
        headers = {"authorization": f"Bearer {token_of(user, new_account=claim)}"}
        sent = await parley.client.post("/api/chat", json={"message": "Hello!"}, headers=headers)
        assert sent.status_code == 200

    assert day_counts(database) == [("user", 1), ("user", 1)]


@pytest.mark.environment(BYTES_PER_DAY="8000")
async def test_a_message_over_the_storage_of_the_day_is_refused_and_nothing_is_stored(
    parley: Parley, model: ScriptedModel, database: psycopg.Connection
) -> None:
    for _ in range(2):
        assert (await _send_image(parley)).status_code == 200
    before = rows_stored(database)

    refused = await _send_image(parley)

    problem = problem_of(refused, 429, "storage_quota_exceeded")
    assert re.fullmatch(
        r"You have reached your limit of storage, so nothing was stored\. "
        r"Send less, or come back at \d\d:\d\d UTC\.",
        problem["detail"],
    )
    assert 86_000 <= int(refused.headers["retry-after"]) <= 86_400
    assert (rows_stored(database), len(model.requests)) == (before, 2)
    # A short text still fits, and another user has storage of their own.
    assert (await parley.say("Hello!", user="ann")).status_code == 200
    assert (await _send_image(parley, user="bob")).status_code == 200


@pytest.mark.environment(BYTES_PER_DAY="3000")
async def test_a_message_larger_than_a_days_storage_is_refused_without_a_time_to_come_back(
    parley: Parley, database: psycopg.Connection
) -> None:
    database.execute("INSERT INTO users (id) VALUES ('ann')")
    before = rows_stored(database)

    refused = await _send_image(parley)

    problem = problem_of(refused, 429, "storage_quota_exceeded")
    assert "larger than the 3,000 bytes" in problem["detail"]
    assert "retry-after" not in refused.headers
    assert rows_stored(database) == before


@pytest.mark.environment(TOKENS_PER_DAY="1000")
async def test_after_the_tokens_of_a_day_a_message_is_refused_with_words_of_its_own(
    parley: Parley, model: ScriptedModel, database: psycopg.Connection
) -> None:
    assert (await parley.say("Hello!", user="ann")).status_code == 200
    database.execute("SELECT count_tokens(ARRAY(SELECT subject FROM quotas), 1000, now())")

    refused = await parley.say("And?", user="ann")

    problem = problem_of(refused, 429, "token_quota_exceeded")
    assert problem["detail"].startswith("You have reached your limit of tokens")
    assert 86_000 <= int(refused.headers["retry-after"]) <= 86_400
    assert len(model.requests) == 1
    assert (await parley.say("Hello!", user="bob")).status_code == 200


@pytest.mark.environment(MESSAGES_PER_MINUTE="1")
async def test_a_refusal_for_a_minute_tells_the_seconds(parley: Parley) -> None:
    await parley.say("Hello!", user="ann")

    problem = problem_of(await parley.say("And?", user="ann"), 429, "quota_exceeded")

    assert re.search(r"Try again in \d\d seconds\.$", problem["detail"])


async def _send_image(parley: Parley, user: str = "ann") -> httpx2.Response:
    body: dict[str, Any] = sdk_body("Look!", chat_id=CHAT_ID + user)
    message = body["messages"][0]
    message["id"] = f"message-{time.monotonic_ns()}"
    message["parts"].append(IMAGE)
    return await parley.client.post("/api/chat", json=body, headers=headers_of(user))


async def _say_as(
    parley: Parley, database: psycopg.Connection, user: str, claim: object
) -> httpx2.Response:
    """Say something with a token of a local account."""
    database.execute("INSERT INTO users (id) VALUES (%s)", [user])
    token = token_of(user, local_account=True, new_account=claim)
    headers = {"authorization": f"Bearer {token}"}
    return await parley.client.post("/api/chat", json={"message": "Hello!"}, headers=headers)
