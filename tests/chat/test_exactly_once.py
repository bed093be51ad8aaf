"""A message that is sent again is neither stored nor answered twice."""

import asyncio

import psycopg
import pytest

from tests.support.model_server import Reply, ScriptedModel
from tests.support.product import CHAT_ID, Parley, parts_of, problem_of, text_of

SLOW = Reply(pieces=("one ", "two ", "three"), seconds_between=0.15)


async def test_an_answered_message_gets_its_stored_answer_again(
    parley: Parley, model: ScriptedModel
) -> None:
    first = await parley.send("Hello!")

    again = await parley.send("Hello!")

    assert "idempotent-replayed" not in first.headers
    assert again.headers["idempotent-replayed"] == "true"
    assert text_of(again) == text_of(first)
    first_parts, again_parts = parts_of(first), parts_of(again)
    assert (again_parts[0], again_parts[-1]) == (first_parts[0], first_parts[-1])
    assert len(model.requests) == 1


async def test_a_plain_message_with_an_id_gets_its_stored_answer_again(
    parley: Parley, model: ScriptedModel
) -> None:
    ids = {"conversation_id": CHAT_ID, "message_id": "m1"}
    first = await parley.say("Hello!", **ids)

    again = await parley.say("Hello!", **ids)

    assert again.json() == first.json()
    assert again.headers["idempotent-replayed"] == "true"
    assert len(model.requests) == 1


async def test_an_old_message_gets_its_answer_again_though_newer_ones_are_stored(
    parley: Parley, model: ScriptedModel
) -> None:
    model.replies = [Reply(pieces=("first",)), Reply(pieces=("second",))]
    await parley.send("one", message_id="m1")
    await parley.send("two", message_id="m2")

    again = await parley.send("one", message_id="m1")

    assert text_of(again) == "first"
    assert len(model.requests) == 2


async def test_a_message_being_answered_attaches_to_the_running_answer_from_its_first_part(
    parley: Parley, model: ScriptedModel
) -> None:
    model.replies = [SLOW]

    first, second = await asyncio.gather(parley.send("Hello!"), _later(0.25, parley.send("Hello!")))

    assert second.text == first.text
    assert text_of(second) == "one two three"
    assert len(model.requests) == 1


async def test_two_sends_at_once_make_one_answer(parley: Parley, model: ScriptedModel) -> None:
    model.replies = [SLOW]

    first, second = await asyncio.gather(parley.send("Hello!"), parley.send("Hello!"))

    assert text_of(first) == text_of(second) == "one two three"
    assert len(model.requests) == 1
    assert await parley.said() == ["Hello!", "one two three"]


async def test_another_message_during_an_answer_is_a_409(
    parley: Parley, model: ScriptedModel
) -> None:
    model.replies = [SLOW]

    _, other = await asyncio.gather(
        parley.send("Hello!"), _later(0.2, parley.send("And?", message_id="message-2"))
    )

    problem_of(other, 409, "turn_in_progress")
    assert 1 <= int(other.headers["retry-after"]) <= 5
    assert await parley.said() == ["Hello!", "one two three"]


@pytest.mark.parametrize("reply", [Reply(status=500), Reply(cuts_after=2)])
async def test_a_message_whose_answer_failed_is_answered_when_it_is_sent_again(
    parley: Parley, model: ScriptedModel, reply: Reply
) -> None:
    model.replies = [reply]
    await parley.send("Hello!")

    again = await parley.send("Hello!")

    assert text_of(again) == "Hello, how are you?"
    assert await parley.said() == ["Hello!", "Hello, how are you?"]
    assert len(model.requests) == 2


@pytest.mark.parametrize("reason", ["aborted", "timeout", "length", "content_filter"])
async def test_a_message_whose_answer_was_cut_gets_that_answer_again(
    parley: Parley, model: ScriptedModel, database: psycopg.Connection, reason: str
) -> None:
    await parley.send("Hello!")
    database.execute("UPDATE chat_messages SET finish_reason = %s WHERE reply_to > 0", [reason])

    again = await parley.send("Hello!")

    assert again.headers["idempotent-replayed"] == "true"
    assert len(model.requests) == 1


async def test_an_unanswered_message_is_refused_once_newer_ones_are_stored(
    parley: Parley, model: ScriptedModel
) -> None:
    model.replies = [Reply(status=500)]
    await parley.send("one", message_id="m1")
    await parley.send("two", message_id="m2")

    again = await parley.send("one", message_id="m1")

    problem_of(again, 409, "conversation_moved_on")
    assert len(model.requests) == 2


async def test_a_request_waits_for_the_answer_of_another_process_and_replays_it(
    parley: Parley, model: ScriptedModel, database: psycopg.Connection
) -> None:
    model.replies = [Reply(status=500)]
    await parley.send("Hello!")
    database.execute(
        "UPDATE conversations SET turn_id = gen_random_uuid(), turn_message_id = 'message-1', "
        "turn_expires_at = now() + interval '20 s'"
    )

    waiting = asyncio.create_task(parley.send("Hello!"))
    await asyncio.sleep(0.6)
    assert not waiting.done()
    _finish_elsewhere(database, "from elsewhere")

    response = await waiting
    assert text_of(response) == "from elsewhere"
    assert response.headers["idempotent-replayed"] == "true"
    assert len(model.requests) == 1


async def test_the_turn_of_a_dead_process_is_taken_over_when_its_lease_ends(
    parley: Parley, model: ScriptedModel, database: psycopg.Connection
) -> None:
    model.replies = [Reply(status=500)]
    await parley.send("Hello!")
    database.execute(
        "UPDATE conversations SET turn_id = gen_random_uuid(), turn_message_id = 'message-1', "
        "turn_expires_at = now() + interval '1 s'"
    )

    response = await parley.send("Hello!")

    assert text_of(response) == "Hello, how are you?"
    assert await parley.said() == ["Hello!", "Hello, how are you?"]


def _finish_elsewhere(database: psycopg.Connection, text: str) -> None:
    database.execute(
        "INSERT INTO chat_messages (conversation_id, role, content, reply_to, finish_reason) "
        "SELECT conversation_id, 'assistant', %s, id, 'stop' FROM chat_messages",
        [text],
    )
    database.execute("UPDATE conversations SET turn_id = NULL, turn_expires_at = NULL")


async def _later[T](seconds: float, sending: "asyncio._CoroutineLike[T]") -> T:
    await asyncio.sleep(seconds)
    return await sending
