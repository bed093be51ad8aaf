"""Replaced messages are marked as superseded, and not changed."""

import pytest

from tests.support.model_server import Reply, ScriptedModel
from tests.support.product import CHAT_ID, Parley, problem_of, text_of

REGENERATE = {"trigger": "regenerate-message"}


@pytest.fixture(autouse=True)
def numbered_answers(model: ScriptedModel) -> None:
    """Let the model number its answers."""
    model.replies = [Reply(pieces=(f"answer {number}",)) for number in range(1, 9)]


async def test_regenerating_replaces_the_last_answer(parley: Parley, model: ScriptedModel) -> None:
    await parley.send("Hello!")

    response = await parley.send("Hello!", **REGENERATE)

    assert text_of(response) == "answer 2"
    assert await parley.said() == ["Hello!", "answer 2"]
    assert [each["content"] for each in model.requests[1]["messages"]][1:] == ["Hello!"]


async def test_regenerating_an_earlier_answer_replaces_all_after_its_question(
    parley: Parley,
) -> None:
    await parley.send("one", message_id="m1")
    first_answer = (await parley.history())["messages"][1]["id"]
    await parley.send("two", message_id="m2")

    await parley.send("one", message_id="m1", **REGENERATE, messageId=first_answer)

    assert await parley.said() == ["one", "answer 3"]


async def test_regenerating_without_messages_answers_the_last_question_again(
    parley: Parley,
) -> None:
    await parley.send("Hello!")

    body: dict[str, object] = {"id": CHAT_ID, "messages": [], **REGENERATE}
    response = await parley.client.post("/api/chat", json=body)

    assert text_of(response) == "answer 2"


async def test_regenerating_a_message_that_was_never_stored_sends_it(parley: Parley) -> None:
    response = await parley.send("Hello!", **REGENERATE)

    assert text_of(response) == "answer 1"
    assert await parley.said() == ["Hello!", "answer 1"]


async def test_regenerating_a_message_whose_new_text_was_never_stored_edits_it(
    parley: Parley,
) -> None:
    await parley.send("Hello!")

    await parley.send("Goodbye!", **REGENERATE)

    assert await parley.said() == ["Goodbye!", "answer 2"]


async def test_regenerating_a_question_without_an_answer_answers_it(
    parley: Parley, model: ScriptedModel
) -> None:
    model.replies.insert(0, Reply(status=500))
    await parley.send("Hello!")

    response = await parley.send("Hello!", **REGENERATE)

    assert text_of(response) == "answer 1"


async def test_regenerating_in_an_empty_conversation_has_nothing_to_answer(parley: Parley) -> None:
    body: dict[str, object] = {"id": CHAT_ID, "messages": [], **REGENERATE}

    problem_of(await parley.client.post("/api/chat", json=body), 422, "nothing_to_answer")
    problem_of(await parley.get("/api/history", conversation_id=CHAT_ID), 404, "not_found")


async def test_another_text_under_the_same_id_replaces_the_message_and_all_after_it(
    parley: Parley, model: ScriptedModel
) -> None:
    await parley.send("one", message_id="m1")
    await parley.send("two", message_id="m2")
    await parley.send("three", message_id="m3")

    await parley.send("TWO", message_id="m2", messageId="m2")

    assert await parley.said() == ["one", "answer 1", "TWO", "answer 4"]
    asked = [each["content"] for each in model.requests[-1]["messages"]]
    assert asked[1:] == ["one", "answer 1", "TWO"]


async def test_a_message_under_an_id_of_its_own_replaces_the_one_it_names(parley: Parley) -> None:
    await parley.send("one", message_id="m1")
    await parley.send("two", message_id="m2")

    await parley.send("TWO", message_id="m3", messageId="m2")

    assert await parley.said() == ["one", "answer 1", "TWO", "answer 3"]


async def test_an_edit_that_is_sent_again_is_done_once(
    parley: Parley, model: ScriptedModel
) -> None:
    await parley.send("one")
    first = await parley.send("ONE", messageId="message-1")

    again = await parley.send("ONE", messageId="message-1")

    assert text_of(again) == text_of(first)
    assert again.headers["idempotent-replayed"] == "true"
    assert len(model.requests) == 2


async def test_history_shows_replaced_messages_on_request(parley: Parley) -> None:
    await parley.send("one")
    await parley.send("ONE", messageId="message-1")

    messages = (await parley.history(include="superseded"))["messages"]

    assert [(each["content"], each["superseded_at"] is None) for each in messages] == [
        ("one", False),
        ("answer 1", False),
        ("ONE", True),
        ("answer 2", True),
    ]


async def test_an_answer_stays_when_regenerating_it_fails(
    parley: Parley, model: ScriptedModel
) -> None:
    await parley.send("Hello!")
    model.replies.insert(0, Reply(status=500))

    response = await parley.send("Hello!", **REGENERATE)

    assert response.status_code == 502
    assert await parley.said() == ["Hello!", "answer 1"]
