"""MESSAGES_PER_MINUTE and MESSAGES_PER_DAY: what counts, what is told, and who is a client."""

import asyncio
import re
from collections import Counter
from typing import Any

import httpx2
import psycopg
import pytest

from tests.api.test_cron_cleanup import CRON
from tests.api.test_cron_cleanup import PATH as CLEANUP
from tests.api.test_one_conversation import change
from tests.support.model_server import Reply, ScriptedModel
from tests.support.product import CHAT_ID, Parley, id_of, problem_of, rows_stored, sdk_body, text_of

TWO = pytest.mark.environment(MESSAGES_PER_MINUTE="2", MESSAGES_PER_DAY="3")
ONE = pytest.mark.environment(MESSAGES_PER_MINUTE="1", MESSAGES_PER_DAY="0")
ONE_A_DAY = pytest.mark.environment(MESSAGES_PER_MINUTE="0", MESSAGES_PER_DAY="1")
HEADERS = (
    "ratelimit",
    "ratelimit-policy",
    "ratelimit-limit",
    "ratelimit-remaining",
    "ratelimit-reset",
)


# The marks of a question that the provider has failed.
OWED = "UPDATE chat_messages SET failed_attempts = 1, owed_attempt = TRUE WHERE role = 'user'"


def told(response: httpx2.Response) -> dict[str, str]:
    """Return what a response tells of the quota."""
    return {name: response.headers[name] for name in HEADERS if name in response.headers}


def counts(database: psycopg.Connection) -> list[int]:
    """Return how much is counted in the running minute, for each who is."""
    rows = database.execute("SELECT minute_count FROM quotas ORDER BY subject").fetchall()
    return [count for (count,) in rows]


def let_pass(database: psycopg.Connection, duration: str) -> None:
    """Let time pass for what is counted."""
    database.execute(
        "UPDATE quotas SET minute_ends_at = minute_ends_at - %(d)s::interval, "
        "day_ends_at = day_ends_at - %(d)s::interval",
        {"d": duration},
    )


async def say_from(parley: Parley, address: str, text: str = "Hello!") -> httpx2.Response:
    """Say something in a new conversation, from a client's address, as the platform tells it."""
    headers = {"x-forwarded-for": address}
    return await parley.client.post("/api/chat", json={"message": text}, headers=headers)


@TWO
@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("user", ["ann", None])
async def test_what_is_left_is_told_with_each_answer_and_what_is_over_is_refused(
    parley: Parley, user: str | None, *, stream: bool
) -> None:
    first, second, refused = [
        await parley.say("Hello!", user=user, stream=stream) for _ in range(3)
    ]

    assert (first.status_code, second.status_code) == (200, 200)
    assert told(first)["ratelimit-policy"] == '"minute";q=2;w=60, "day";q=3;w=86400'
    assert re.fullmatch(r'"minute";r=1;t=(60|59), "day";r=2;t=86\d{3}', told(first)["ratelimit"])
    assert [told(each)["ratelimit-remaining"] for each in (first, second, refused)] == [
        "1", "0", "0",
    ]  # fmt: skip
    assert told(second)["ratelimit-limit"] == "2"
    problem_of(refused, 429, "quota_exceeded")
    assert 50 <= int(refused.headers["retry-after"]) <= 60
    assert refused.headers["ratelimit-reset"] == refused.headers["retry-after"]
    assert "x-conversation-id" in refused.headers


@TWO
async def test_a_page_of_another_origin_may_read_what_is_told(parley: Parley) -> None:
    response = await parley.client.post(
        "/api/chat", json={"message": "Hello!"}, headers={"origin": "https://example.app"}
    )

    exposed = response.headers["access-control-expose-headers"].lower().split(", ")
    assert {*HEADERS, "retry-after"} <= {*exposed}


@ONE
@pytest.mark.parametrize("user", ["ann", None])
async def test_what_is_over_the_quota_leaves_nothing_and_asks_no_model(
    parley: Parley, model: ScriptedModel, database: psycopg.Connection, user: str | None
) -> None:
    await parley.say("One", user=user)
    before = rows_stored(database)

    problem_of(await parley.say("Two", user=user), 429, "quota_exceeded")
    problem_of(await parley.send("Three", user=user), 429, "quota_exceeded")

    assert rows_stored(database) == before
    assert counts(database) == [1]
    assert len(model.requests) == 1


@TWO
async def test_a_minute_later_and_a_day_later_there_is_more(
    parley: Parley, database: psycopg.Connection
) -> None:
    statuses: list[int] = []
    for duration in ("0 s", "0 s", "0 s", "61 s", "0 s", "61 s", "1 day"):
        let_pass(database, duration)
        statuses.append((await parley.say("Hello!")).status_code)

    assert statuses == [200, 200, 429, 200, 429, 429, 200]


@ONE_A_DAY
async def test_a_limit_of_the_day_alone_is_told_alone(parley: Parley) -> None:
    first, refused = [await parley.say("Hello!") for _ in range(2)]

    assert told(first)["ratelimit-policy"] == '"day";q=1;w=86400'
    problem_of(refused, 429, "quota_exceeded")
    assert 86_300 <= int(refused.headers["retry-after"]) <= 86_400


async def test_without_limits_nothing_is_counted_or_told(
    parley: Parley, database: psycopg.Connection
) -> None:
    responses = [await parley.say("Hello!", user="ann") for _ in range(3)]

    assert [told(each) for each in responses] == [{}] * 3
    assert counts(database) == []


@ONE
async def test_a_message_sent_again_is_not_counted_again(
    parley: Parley, model: ScriptedModel, database: psycopg.Connection
) -> None:
    model.replies = [Reply(pieces=("one ", "two"), seconds_between=0.2)]
    first, meanwhile = await asyncio.gather(parley.send("Hello!"), parley.send("Hello!"))
    again = await parley.send("Hello!")

    assert text_of(first) == text_of(meanwhile) == text_of(again) == "one two"
    assert [bool(told(each)) for each in (first, meanwhile)].count(True) == 1
    assert told(again) == {}
    assert counts(database) == [1]


@ONE
@pytest.mark.parametrize("reply", [Reply(status=500), Reply(cuts_after=2)])
async def test_another_attempt_after_a_failure_of_the_provider_is_not_counted(
    parley: Parley, model: ScriptedModel, database: psycopg.Connection, reply: Reply
) -> None:
    model.replies = [reply, reply]
    await parley.send("Hello!")
    database.execute(OWED)
    await parley.send("Hello!", trigger="regenerate-message")
    database.execute(OWED)

    assert text_of(await parley.send("Hello!")) == "Hello, how are you?"
    assert counts(database) == [1]


@pytest.mark.environment(MESSAGES_PER_MINUTE="9")
async def test_an_edit_and_another_answer_are_counted(
    parley: Parley, database: psycopg.Connection
) -> None:
    await parley.send("Hello!")
    assert told(await parley.send("Good day!"))["ratelimit-remaining"] == "7"
    regenerated = await parley.send("Good day!", trigger="regenerate-message")

    assert told(regenerated)["ratelimit-remaining"] == "6"
    assert counts(database) == [3]


@pytest.mark.environment(MESSAGES_PER_MINUTE="9", MAX_CONVERSATION_MESSAGES="2")
async def test_what_is_refused_for_another_reason_is_not_counted(
    parley: Parley, model: ScriptedModel, database: psycopg.Connection
) -> None:
    model.replies = [Reply(seconds_before=0.4)]
    saying = asyncio.create_task(parley.send("Hello!"))
    while not model.requests:  # noqa: ASYNC110 (the model offers no event)
        await asyncio.sleep(0.01)
    problem_of(await parley.send("And?", message_id="m2"), 409, "turn_in_progress")
    conversation_id = (await saying).headers["x-conversation-id"]

    problem_of(await parley.send("And?", message_id="m2"), 409, "conversation_full")
    problem_of(await parley.send(""), 422, "invalid_request")
    problem_of(await parley.say("Mine?", conversation_id="short"), 422, "invalid_request")
    other = await parley.say("Mine?", user="eve", conversation_id=conversation_id)
    problem_of(other, 404, "not_found")
    answer: dict[str, Any] = {"id": "a", "role": "assistant", "parts": []}
    problem_of(await parley.send("", messages=[answer]), 422, "nothing_to_answer")
    await change(parley, {"status": "archived"}, user=None)
    edit = await parley.send("Edited", message_id="message-1")
    problem_of(edit, 409, "conversation_archived")

    # The other count is that of the id that could be guessed.
    assert counts(database) == [1, 1]
    assert not any(told(each) for each in (other, edit))


@pytest.mark.environment(MESSAGES_PER_MINUTE="5", MESSAGES_PER_DAY="0")
@pytest.mark.parametrize("user", ["ann", None])
async def test_of_many_at_once_exactly_as_many_as_may_be_pass(
    parley: Parley, model: ScriptedModel, database: psycopg.Connection, user: str | None
) -> None:
    responses = await asyncio.gather(
        *[parley.send(f"{n}", chat_id=id_of(n), user=user) for n in range(25)]
    )

    assert Counter(each.status_code for each in responses) == {200: 5, 429: 20}
    assert len(model.requests) == 5
    assert counts(database) == [5]
    assert database.execute("SELECT count(*) FROM conversations").fetchall() == [(5,)]


@ONE
async def test_each_user_and_each_anonymous_client_is_counted_for_itself(parley: Parley) -> None:
    for user in ("ann", "bob", None):
        assert (await parley.say("One", user=user)).status_code == 200
        problem_of(await parley.say("Two", user=user), 429, "quota_exceeded")

    assert (await say_from(parley, "203.0.113.7")).status_code == 200
    problem_of(await say_from(parley, "203.0.113.7"), 429, "quota_exceeded")
    assert (await say_from(parley, "203.0.113.8")).status_code == 200


@ONE
@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9", True),
        ("2001:db8:1:2::1", "2001:DB8:1:2::1", True),
        ("2001:db8:1:2::1", "2001:db8:1:3::1", False),
        ("::ffff:203.0.113.7", "203.0.113.7", True),
        ("::ffff:203.0.113.7", "::ffff:203.0.113.8", False),
    ],
)
async def test_a_network_of_ipv6_is_one_client(
    parley: Parley, one: str, other: str, *, is_same: bool
) -> None:
    assert (await say_from(parley, one)).status_code == 200

    assert ((await say_from(parley, other)).status_code == 429) is is_same


@ONE
async def test_what_a_client_puts_before_its_own_address_changes_nothing(parley: Parley) -> None:
    # The last is what the platform's own proxy has seen.
    assert (await say_from(parley, "203.0.113.7")).status_code == 200

    for forged in ("198.51.100.1, 203.0.113.7", "unknown, 203.0.113.7", "127.0.0.1, 203.0.113.7"):
        problem_of(await say_from(parley, forged), 429, "quota_exceeded")


@pytest.mark.environment(MESSAGES_PER_MINUTE="9")
@pytest.mark.parametrize("address", ["203.0.113.7", "2001:db8:1:2::1"])
async def test_addresses_are_not_stored_plain_nor_as_what_anybody_could_compute(
    parley: Parley, database: psycopg.Connection, address: str
) -> None:
    await say_from(parley, address)

    rows = database.execute("SELECT subject, quotas::text FROM quotas").fetchall()
    assert rows
    plain = "SELECT encode(sha256(%s), 'hex')"
    for subject, row in rows:
        assert re.fullmatch(r"(client|site) [0-9a-f]{64}", subject)
        for guess in (address, f"client {address}"):
            [(digest,)] = database.execute(plain, [guess.encode()]).fetchall()
            assert digest not in row
        assert address not in row


@ONE
async def test_the_cron_deletes_counters_whose_day_is_over_and_no_others(
    parley: Parley, database: psycopg.Connection
) -> None:
    await parley.say("Hello!", user="ann")
    [(anns, _)] = database.execute("SELECT subject, day_count FROM quotas").fetchall()
    await parley.say("Hello!", user="bob")
    database.execute(
        "UPDATE quotas SET day_ends_at = now() - interval '1 s' WHERE subject = %s", [anns]
    )

    response: Any = (await parley.client.get(CLEANUP, headers=CRON)).json()

    assert response["deleted"] == 0
    [(left,)] = database.execute("SELECT subject FROM quotas").fetchall()
    assert left != anns


@pytest.mark.environment(MESSAGES_PER_MINUTE="9", RETENTION_DAYS="0")
async def test_the_cron_deletes_counters_also_where_messages_are_kept_for_ever(
    parley: Parley, database: psycopg.Connection
) -> None:
    await parley.client.post("/api/chat", json=sdk_body("Hello!", chat_id=CHAT_ID))
    let_pass(database, "2 days")

    await parley.client.get(CLEANUP, headers=CRON)

    assert counts(database) == []
