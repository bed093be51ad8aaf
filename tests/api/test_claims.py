"""PATCH /api/conversations?id= {"claim": true}: a user takes over an anonymous conversation."""

import asyncio
from collections import Counter

import psycopg
import pytest

from tests.api.test_conversations import PATH, listed, titles_of
from tests.api.test_one_conversation import change
from tests.support.model_server import Reply, ScriptedModel
from tests.support.product import CHAT_ID, Parley, problem_of, text_of

CLAIM = {"claim": True}


@pytest.mark.parametrize("is_named_by_uuid", [False, True])
async def test_a_claimed_conversation_belongs_to_the_user_from_then_on(
    parley: Parley, database: psycopg.Connection, *, is_named_by_uuid: bool
) -> None:
    said = (await parley.say("Hello!", conversation_id=CHAT_ID)).json()
    conversation_id = said["conversation_id"]

    claimed = await change(parley, CLAIM, conversation_id if is_named_by_uuid else CHAT_ID)

    assert claimed.status_code == 200
    assert claimed.headers["x-conversation-id"] == conversation_id
    assert (await listed(parley))["conversations"] == [claimed.json()]
    assert claimed.json()["message_count"] == 2
    assert await parley.said(conversation_id, user="ann") == ["Hello!", "Hello, how are you?"]
    gone = await parley.get("/api/history", conversation_id=CHAT_ID)
    problem_of(gone, 404, "not_found")
    problem_of(await parley.say("Still me", conversation_id=CHAT_ID), 404, "not_found")
    assert database.execute("SELECT id FROM users").fetchall() == [("ann",)]


async def test_a_claimed_conversation_continues_and_the_model_gets_its_messages(
    parley: Parley, model: ScriptedModel
) -> None:
    said = (await parley.say("Hello!", conversation_id=CHAT_ID)).json()
    await change(parley, CLAIM)

    await parley.say("And?", user="ann", conversation_id=said["conversation_id"])

    assert [message["content"] for message in model.requests[-1]["messages"][1:]] == [
        "Hello!", "Hello, how are you?", "And?",
    ]  # fmt: skip


async def test_a_claim_includes_replaced_answers(parley: Parley) -> None:
    said = await parley.send("Hello!")
    text_of(await parley.send("Hello!", trigger="regenerate-message"))

    await change(parley, CLAIM)

    conversation_id = said.headers["x-conversation-id"]
    history = await parley.history(conversation_id, user="ann", include="superseded")
    assert len(history["messages"]) == 3


async def test_a_conversation_is_claimed_once_and_the_same_user_may_repeat_the_claim(
    parley: Parley,
) -> None:
    await parley.say("Hello!", conversation_id=CHAT_ID)

    first, again, other = [await change(parley, CLAIM, user=user) for user in ("ann", "ann", "bob")]

    assert (first.status_code, first.json()) == (200, again.json())
    problem_of(other, 404, "not_found")
    assert titles_of(await listed(parley, "bob")) == []


async def test_of_many_claims_at_once_one_succeeds(parley: Parley) -> None:
    await parley.say("Hello!", conversation_id=CHAT_ID)

    claims = await asyncio.gather(
        *[change(parley, CLAIM, user=f"user-{number}") for number in range(20)]
    )

    assert Counter(claim.status_code for claim in claims) == {200: 1, 404: 19}


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
    await parley.say("Hello!", conversation_id=CHAT_ID)

    for _ in range(2):
        claimed = (await change(parley, body)).json()

        assert (claimed["title"], claimed["status"]) == (title, status)
        assert (await listed(parley, status="all"))["conversations"] == [claimed]


async def test_a_refused_claim_changes_nothing(parley: Parley) -> None:
    await parley.say("Hello!", conversation_id=CHAT_ID)
    await change(parley, CLAIM)

    problem_of(await change(parley, CLAIM | {"title": "Of bob"}, user="bob"), 404, "not_found")

    assert titles_of(await listed(parley)) == ["Hello!"]


async def test_an_anonymous_caller_cannot_claim(parley: Parley) -> None:
    await parley.say("Hello!", conversation_id=CHAT_ID)

    response = await change(parley, CLAIM, user=None)

    problem_of(response, 401, "unauthenticated")
    assert len(await parley.said()) == 2


async def test_a_missing_conversation_cannot_be_claimed(parley: Parley) -> None:
    problem_of(await change(parley, CLAIM), 404, "not_found")


async def test_a_claim_with_a_short_id_is_refused(parley: Parley) -> None:
    problem = problem_of(await change(parley, CLAIM, "short"), 422, "invalid_request")

    assert [error["field"] for error in problem["errors"]] == ["id"]


async def test_a_claim_does_not_meet_the_users_own_conversation_with_the_same_chat_id(
    parley: Parley,
) -> None:
    await parley.say("As nobody", conversation_id=CHAT_ID)
    await parley.say("As ann", user="ann", conversation_id=CHAT_ID)

    claimed = (await change(parley, CLAIM)).json()

    assert claimed["title"] == "As nobody"
    assert titles_of(await listed(parley)) == ["As ann", "As nobody"]


async def test_a_claim_is_refused_while_an_answer_is_being_made(
    parley: Parley, model: ScriptedModel
) -> None:
    model.replies = [Reply(seconds_before=0.5)]
    saying = asyncio.create_task(parley.say("Hello!", conversation_id=CHAT_ID))
    while not model.requests:  # noqa: ASYNC110 (the model offers no event)
        await asyncio.sleep(0.01)

    refused = await change(parley, CLAIM)

    problem_of(refused, 409, "turn_in_progress")
    assert 1 <= int(refused.headers["retry-after"]) <= 5
    assert (await saying).status_code == 200
    assert (await change(parley, CLAIM)).json()["message_count"] == 2


async def test_claims_around_the_end_of_an_answer_leave_no_message_behind(
    parley: Parley, model: ScriptedModel, database: psycopg.Connection
) -> None:
    for number in range(8):
        chat_id = f"conversation-{number:04}"
        model.replies = [Reply(seconds_before=0.05)]
        saying = asyncio.create_task(parley.send("Hello!", chat_id=chat_id))
        claims = await asyncio.gather(
            *[_claim_later(parley, chat_id, 0.01 * moment) for moment in range(10)]
        )

        assert text_of(await saying) == "Hello, how are you?"
        assert set(claims) <= {200, 404, 409}
        if 200 not in claims:
            assert (await change(parley, CLAIM, chat_id)).status_code == 200

    counts = "SELECT user_id, count(*) FROM chat_messages GROUP BY user_id"
    assert database.execute(counts).fetchall() == [("ann", 16)]


@pytest.mark.environment(AUTH_REQUIRED="true")
async def test_a_claimed_conversation_is_read_by_its_id_as_the_user(
    parley: Parley, database: psycopg.Connection
) -> None:
    row = database.execute("INSERT INTO conversations (title) VALUES ('Old') RETURNING id")
    [(conversation_id,)] = row.fetchall()

    assert (await change(parley, CLAIM, conversation_id)).json()["title"] == "Old"

    assert (await parley.get(PATH, user="ann", id=conversation_id)).status_code == 200


async def _claim_later(parley: Parley, chat_id: str, seconds: float) -> int:
    await asyncio.sleep(seconds)
    return (await change(parley, CLAIM, chat_id)).status_code
