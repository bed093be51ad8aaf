"""Guesses: requests of a guest for conversations that the guest does not reach are limited."""

import asyncio
from uuid import uuid4

import psycopg
import pytest

from lib.http.ids import conversation_id_of
from lib.identity.callers import Caller
from tests.api.test_claims import claim
from tests.api.test_guests import use
from tests.support.guests import Guest, new_guest
from tests.support.model_server import ScriptedModel
from tests.support.product import CHAT_ID, Parley, id_of, problem_of

PER_MINUTE = 60
GUESSES = ("history", "read", "stream", "stop", "rename", "mark", "delete", "regenerate")
USED_UP = (429, "too_many_guesses")
GUESSER = "198.51.100.9"


def guesser(parley: Parley, chat_id: str | None = None, client: str = GUESSER) -> Guest:
    """Return a guest that has no key."""
    return Guest(parley, chat_id or str(uuid4()), None, client)


def use_up(
    database: psycopg.Connection, *, minute: int = PER_MINUTE, day: int = PER_MINUTE
) -> None:
    """Set the counts of each client that has guessed."""
    changed = database.execute(
        "UPDATE quotas SET minute_count = %s, day_count = %s WHERE subject LIKE 'guesses %%'",
        [minute, day],
    )
    assert changed.rowcount == 1


@pytest.mark.parametrize("name", GUESSES)
async def test_each_way_to_try_an_id_counts_as_a_guess_and_is_refused_when_they_are_used_up(
    parley: Parley, database: psycopg.Connection, name: str
) -> None:
    status, _ = await use(guesser(parley), name)
    assert status in {404, 204, 422}

    use_up(database, minute=PER_MINUTE - 1)
    assert await use(guesser(parley), name) != USED_UP
    assert await use(guesser(parley), name) == USED_UP


async def test_exactly_so_many_guesses_of_many_at_once_are_answered(parley: Parley) -> None:
    responses = await asyncio.gather(*(guesser(parley).history() for _ in range(PER_MINUTE + 20)))

    assert sorted(each.status_code for each in responses) == [404] * PER_MINUTE + [429] * 20


async def test_a_refused_guess_says_when_the_next_is_allowed(
    parley: Parley, database: psycopg.Connection
) -> None:
    await guesser(parley).history()

    use_up(database)
    minute = await guesser(parley).history()
    use_up(database, minute=1, day=1000)
    day = await guesser(parley).history()

    assert "Try again later" in problem_of(minute, *USED_UP)["detail"]
    assert 1 <= int(minute.headers["retry-after"]) <= 60
    assert 86_000 <= int(day.headers["retry-after"]) <= 86_400


async def test_guesses_are_allowed_again_in_the_next_minute(
    parley: Parley, database: psycopg.Connection
) -> None:
    await guesser(parley).history()
    use_up(database)

    database.execute("UPDATE quotas SET minute_ends_at = now()")

    problem_of(await guesser(parley).history(), 404, "not_found")


async def test_a_client_that_has_used_up_its_guesses_does_not_learn_which_id_is_right(
    parley: Parley, database: psycopg.Connection
) -> None:
    await guesser(parley, CHAT_ID).say("Hello!")
    await guesser(parley).history()
    use_up(database)

    for chat_id in (CHAT_ID, id_of("another")):
        assert await use(guesser(parley, chat_id), "history") == USED_UP
    # Another network goes on.
    problem_of(await guesser(parley, client="203.0.113.1").history(), 404, "not_found")


async def test_a_page_with_its_key_goes_on_when_its_network_has_used_up_the_guesses(
    parley: Parley, database: psycopg.Connection
) -> None:
    guest = await new_guest(parley, GUESSER)
    await guest.say("Hello!")
    await guesser(parley).history()
    use_up(database)

    assert (await guest.history()).status_code == 200
    assert (await guest.say("And?")).status_code == 200
    # Nor do new pages need guesses.
    fresh = await new_guest(parley, GUESSER)
    problem_of(await fresh.history(), 404, "not_found")
    assert (await fresh.say("Hello!")).status_code == 200


async def test_a_message_that_is_answered_is_no_guess_because_the_quota_counts_it(
    parley: Parley, database: psycopg.Connection
) -> None:
    await guesser(parley).say("Hello!")
    await guesser(parley, CHAT_ID).say("Hello!")
    await guesser(parley, CHAT_ID).history()

    counted = database.execute("SELECT subject FROM quotas WHERE subject LIKE 'guesses %'")
    assert counted.fetchall() == []


@pytest.mark.parametrize(
    "chat_id",
    [
        pytest.param("my-first-conversation", id="an id that can be guessed"),
        pytest.param(None, id="the id of a conversation with a key"),
    ],
)
async def test_a_message_that_reaches_no_conversation_is_a_guess(
    parley: Parley, database: psycopg.Connection, chat_id: str | None
) -> None:
    guest = await new_guest(parley)
    await guest.say("Hello!")
    missing = guesser(parley, chat_id or guest.id)

    assert await use(missing, "say") in {(404, "not_found"), (422, "invalid_request")}
    use_up(database, minute=PER_MINUTE - 1)
    assert await use(missing, "say") != USED_UP
    assert await use(missing, "say") == USED_UP
    assert (await guest.say("And?")).status_code == 200


async def test_a_client_that_has_used_up_its_guesses_does_not_learn_by_messages_which_id_is_right(
    parley: Parley, database: psycopg.Connection
) -> None:
    # As it was begun before ids that can be guessed were refused.
    old = "my-first-conversation"
    begun = "INSERT INTO conversations (id) VALUES (%s)"
    database.execute(begun, [conversation_id_of(old, Caller())])
    assert await use(guesser(parley, old), "say") == (200, None)
    await guesser(parley).history()
    use_up(database)

    for chat_id in (old, "another-conversation"):
        assert await use(guesser(parley, chat_id), "say") == USED_UP


async def test_a_claim_with_a_wrong_key_is_a_guess(
    parley: Parley, database: psycopg.Connection
) -> None:
    guest, stranger = await new_guest(parley), await new_guest(parley)
    await guest.say("Hello!")
    stranger.id = guest.id

    problem_of(await claim(parley, stranger), 404, "not_found")
    use_up(database)
    problem_of(await claim(parley, stranger), *USED_UP)

    # With the right key, the claim and its repetition are none.
    for _ in range(2):
        assert (await claim(parley, guest)).status_code == 200


async def test_a_user_who_misses_is_not_guessing(
    parley: Parley, database: psycopg.Connection
) -> None:
    problem_of(
        await parley.get("/api/history", user="ann", conversation_id=uuid4()), 404, "not_found"
    )

    assert database.execute("SELECT subject FROM quotas").fetchall() == []


async def test_an_answer_is_stored_though_its_conversation_was_deleted_and_the_guesses_used_up(
    parley: Parley, model: ScriptedModel, database: psycopg.Connection
) -> None:
    await guesser(parley).history()
    model.on_request = lambda: use_up(database)

    said = await guesser(parley, CHAT_ID).say("Hello!")

    assert said.json()["message"]["content"] == "Hello, how are you?"
