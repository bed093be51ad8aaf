"""PATCH /api/conversations?id= {"claim": true}: a user takes over an anonymous conversation."""

import asyncio
from collections import Counter

import httpx2
import psycopg
import pytest

from tests.api.test_conversations import DETAILS, PATH, listed, titles_of
from tests.api.test_one_conversation import change
from tests.support.guests import Guest, new_guest
from tests.support.model_server import Reply, ScriptedModel
from tests.support.product import CHAT_ID, Parley, headers_of, problem_of

CLAIM = {"claim": True}


async def claim(
    parley: Parley, guest: Guest, body: object = CLAIM, *, user: str = "ann"
) -> httpx2.Response:
    """Claim a guest's conversation with its key, as a user."""
    return await parley.client.patch(
        PATH, params={"id": guest.id}, json=body, headers=headers_of(user) | guest.headers()
    )


async def test_a_claimed_conversation_belongs_to_the_user_from_then_on(
    parley: Parley, database: psycopg.Connection
) -> None:
    guest = await new_guest(parley)
    await guest.say("Hello!")

    claimed = await claim(parley, guest)

    assert claimed.status_code == 200
    assert claimed.headers["x-conversation-id"] == guest.id
    [conversation] = (await listed(parley))["conversations"]
    assert conversation | DETAILS == claimed.json()
    assert claimed.json()["message_count"] == 2
    assert await parley.said(guest.id, user="ann") == ["Hello!", "Hello, how are you?"]
    problem_of(await guest.history(), 404, "not_found")
    problem_of(await guest.say("Still me"), 404, "not_found")
    assert database.execute("SELECT id FROM users").fetchall() == [("ann",)]
    [(is_noted,)] = database.execute("SELECT claimed_at <= now() FROM conversations").fetchall()
    assert is_noted


async def test_a_claimed_conversation_continues_and_the_model_gets_its_messages(
    parley: Parley, model: ScriptedModel
) -> None:
    guest = await new_guest(parley)
    await guest.say("Hello!")
    await claim(parley, guest)

    await parley.say("And?", user="ann", conversation_id=guest.id)

    assert [message["content"] for message in model.requests[-1]["messages"][1:]] == [
        "Hello!", "Hello, how are you?", "And?",
    ]  # fmt: skip


async def test_a_claim_includes_replaced_answers(parley: Parley) -> None:
    guest = await new_guest(parley)
    await guest.say("Hello!", message_id="message-1")
    await guest.regenerate()

    await claim(parley, guest)

    history = await parley.history(guest.id, user="ann", include="superseded")
    assert len(history["messages"]) == 3


async def test_a_conversation_is_claimed_once_and_the_same_user_may_repeat_the_claim(
    parley: Parley,
) -> None:
    guest = await new_guest(parley)
    await guest.say("Hello!")

    first, again, other = [await claim(parley, guest, user=user) for user in ("ann", "ann", "bob")]

    assert (first.status_code, first.json()) == (200, again.json())
    problem_of(other, 404, "not_found")
    assert titles_of(await listed(parley, "bob")) == []


async def test_of_many_claims_at_once_one_succeeds(parley: Parley) -> None:
    guest = await new_guest(parley)
    await guest.say("Hello!")

    claims = await asyncio.gather(
        *[claim(parley, guest, user=f"user-{number}") for number in range(20)]
    )

    assert Counter(each.status_code for each in claims) == {200: 1, 404: 19}


@pytest.mark.parametrize(
    ("body", "title", "status"),
    [
        (CLAIM | {"title": " Mine "}, "Mine", "active"),
        (CLAIM | {"status": "archived"}, "Hello!", "archived"),
        (CLAIM | {"title": "Mine", "status": "archived"}, "Mine", "archived"),
    ],
)
async def test_a_claim_may_change_the_conversation_and_may_be_repeated(
    parley: Parley, body: dict[str, object], title: str, status: str
) -> None:
    guest = await new_guest(parley)
    await guest.say("Hello!")

    for _ in range(2):
        claimed = (await claim(parley, guest, body)).json()

        assert (claimed["title"], claimed["status"]) == (title, status)
        [conversation] = (await listed(parley, status="all"))["conversations"]
        assert conversation | DETAILS == claimed


async def test_a_refused_claim_changes_nothing(parley: Parley) -> None:
    guest = await new_guest(parley)
    await guest.say("Hello!")
    await claim(parley, guest)

    refused = await claim(parley, guest, CLAIM | {"title": "Of bob"}, user="bob")

    problem_of(refused, 404, "not_found")
    assert titles_of(await listed(parley)) == ["Hello!"]


async def test_an_anonymous_caller_cannot_claim(parley: Parley) -> None:
    guest = await new_guest(parley)
    await guest.say("Hello!")

    response = await parley.client.patch(
        PATH, params={"id": guest.id}, json=CLAIM, headers=guest.headers()
    )

    problem_of(response, 401, "unauthenticated")
    assert (await guest.history()).status_code == 200


async def test_a_missing_conversation_cannot_be_claimed(parley: Parley) -> None:
    problem_of(await claim(parley, await new_guest(parley)), 404, "not_found")


async def test_an_id_alone_claims_nothing_whether_the_conversation_has_a_key_or_not(
    parley: Parley,
) -> None:
    guest = await new_guest(parley)
    await guest.say("Hello!")
    await parley.say("Hello!", conversation_id=CHAT_ID)

    for chat_id in (guest.id, CHAT_ID, "a missing one"):
        problem_of(await change(parley, CLAIM, chat_id), 403, "conversation_key_required")

    assert titles_of(await listed(parley)) == []
    assert len(await parley.said()) == 2


async def test_a_conversation_without_a_key_is_claimed_with_no_key_at_all(parley: Parley) -> None:
    await parley.say("Hello!", conversation_id=CHAT_ID)
    guest = await new_guest(parley)
    guest.id = CHAT_ID

    problem_of(await claim(parley, guest), 404, "not_found")

    assert len(await parley.said()) == 2


async def test_the_key_erases_a_claimed_conversation_and_does_nothing_else(
    parley: Parley, database: psycopg.Connection
) -> None:
    guest = await new_guest(parley)
    stranger = await new_guest(parley)
    await guest.say("Hello!")
    await claim(parley, guest)

    stranger.id, wrong_key = guest.id, await stranger.delete()
    problem_of(wrong_key, 404, "not_found")
    problem_of(await guest.rename("Mine again"), 404, "not_found")
    assert (await guest.stream()).status_code == 204
    assert titles_of(await listed(parley)) == ["Hello!"]

    assert (await guest.delete()).status_code == 204

    assert titles_of(await listed(parley)) == []
    assert database.execute("SELECT FROM chat_messages").fetchall() == []
    problem_of(await guest.delete(), 404, "not_found")


async def test_a_claim_is_refused_while_an_answer_is_being_made(
    parley: Parley, model: ScriptedModel
) -> None:
    model.replies = [Reply(seconds_before=0.5)]
    guest = await new_guest(parley)
    saying = asyncio.create_task(guest.say("Hello!"))
    while not model.requests:  # noqa: ASYNC110 (the model offers no event)
        await asyncio.sleep(0.01)

    refused = await claim(parley, guest)

    problem_of(refused, 409, "turn_in_progress")
    assert 1 <= int(refused.headers["retry-after"]) <= 24
    assert (await saying).status_code == 200
    assert (await claim(parley, guest)).json()["message_count"] == 2


async def test_claims_around_the_end_of_an_answer_leave_no_message_behind(
    parley: Parley, model: ScriptedModel, database: psycopg.Connection
) -> None:
    for _ in range(8):
        guest = await new_guest(parley)
        model.replies = [Reply(seconds_before=0.05)]
        saying = asyncio.create_task(guest.say("Hello!"))
        claims = await asyncio.gather(
            *[_claim_later(parley, guest, 0.01 * moment) for moment in range(10)]
        )

        assert (await saying).status_code == 200
        assert set(claims) <= {200, 404, 409}
        if 200 not in claims:
            assert (await claim(parley, guest)).status_code == 200

    counts = "SELECT user_id, count(*) FROM chat_messages GROUP BY user_id"
    assert database.execute(counts).fetchall() == [("ann", 16)]


async def _claim_later(parley: Parley, guest: Guest, seconds: float) -> int:
    await asyncio.sleep(seconds)
    return (await claim(parley, guest)).status_code
