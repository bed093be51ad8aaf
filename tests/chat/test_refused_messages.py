"""A message that the provider refuses is left out, and the conversation goes on without it."""

import json
from typing import Any

import pytest

from tests.support.model_server import Called, Reply, ScriptedModel, calling
from tests.support.product import CHAT_ID, Parley, problem_of, text_of
from tests.support.strictest_provider import fault_in

FILTERED = Reply(pieces=(), finish_reason="content_filter")
BAD = "something unsuitable"
WHOLE = "Hello, how are you?"


@pytest.fixture(autouse=True)
def provider(model: ScriptedModel) -> ScriptedModel:
    """Have the model refuse each request that has BAD anywhere, and any order but the strictest."""

    def choose(body: dict[str, Any]) -> Reply:
        assert fault_in(body["messages"]) is None
        if BAD in json.dumps(body["messages"]):
            return FILTERED
        return model.replies.pop(0) if model.replies else Reply()

    model.choose = choose
    return model


def contents(request: dict[str, Any]) -> list[str]:
    """Return the texts of a request, without the system's."""
    return [each["content"] for each in request["messages"][1:]]


async def test_the_question_after_a_refused_one_is_answered(
    parley: Parley, model: ScriptedModel
) -> None:
    await parley.send("Hello!")
    problem_of(await parley.send(BAD, message_id="message-2"), 502, "answer_withheld")

    response = await parley.send("Sorry. Hello?", message_id="message-3")

    assert text_of(response) == WHOLE
    assert contents(model.requests[-1]) == ["Hello!", WHOLE, "Sorry. Hello?"]
    assert len(model.requests) == 3


async def test_history_says_why_a_message_has_no_answer(parley: Parley) -> None:
    await parley.send(BAD)
    await parley.send("Sorry. Hello?", message_id="message-2")

    messages = (await parley.history())["messages"]

    assert [(each["content"], each["refusal"]) for each in messages] == [
        (BAD, "answer_withheld"), ("Sorry. Hello?", None), (WHOLE, None),
    ]  # fmt: skip


async def test_a_failure_that_passes_is_no_refusal(parley: Parley, model: ScriptedModel) -> None:
    model.replies = [Reply(status=503)]
    await parley.send("First")

    await parley.send("Another", message_id="message-2")

    assert contents(model.requests[-1]) == ["First\n\nAnother"]
    assert [each["refusal"] for each in (await parley.history())["messages"]] == [None] * 3


async def test_an_unanswered_question_that_was_refused_with_the_next_one_is_left_out_with_it(
    parley: Parley, model: ScriptedModel
) -> None:
    await parley.send("Hello!")
    # The first question fails before the provider looks at it.
    choose = model.choose
    model.choose = lambda _: Reply(status=500)
    await parley.send(BAD, message_id="message-2")
    model.choose = choose
    problem_of(await parley.send("And now?", message_id="message-3"), 502, "answer_withheld")

    response = await parley.send("Still there?", message_id="message-4")

    assert text_of(response) == WHOLE
    assert contents(model.requests[-1]) == ["Hello!", WHOLE, "Still there?"]


async def test_a_refused_message_sent_again_is_tried_again(
    parley: Parley, model: ScriptedModel
) -> None:
    problem_of(await parley.send(BAD), 502, "answer_withheld")
    model.choose = lambda _: Reply()

    assert text_of(await parley.send(BAD)) == WHOLE

    assert contents(model.requests[-1]) == [BAD]
    await parley.send("And now?", message_id="message-2")
    assert contents(model.requests[-1]) == [BAD, WHOLE, "And now?"]
    assert [each["refusal"] for each in (await parley.history())["messages"]] == [None] * 4


async def test_the_response_in_json_to_a_message_that_was_refused_before_shows_no_refusal(
    parley: Parley, model: ScriptedModel
) -> None:
    again = {"conversation_id": CHAT_ID, "message_id": "message-1"}
    problem_of(await parley.say(BAD, **again), 502, "answer_withheld")
    model.choose = lambda _: Reply()

    response = await parley.say(BAD, **again)

    assert response.json()["user_message"]["refusal"] is None


async def test_a_refused_message_can_be_edited(parley: Parley, model: ScriptedModel) -> None:
    problem_of(await parley.send(BAD), 502, "answer_withheld")

    response = await parley.send("Something nice", messageId="message-1")

    assert text_of(response) == WHOLE
    assert contents(model.requests[-1]) == ["Something nice"]


async def test_a_refused_message_can_be_regenerated(parley: Parley, model: ScriptedModel) -> None:
    problem_of(await parley.send(BAD), 502, "answer_withheld")
    model.choose = lambda _: Reply()

    response = await parley.send(BAD, trigger="regenerate-message")

    assert text_of(response) == WHOLE
    assert contents(model.requests[-1]) == [BAD]


async def test_an_answered_question_stays_in_the_conversation_when_regenerating_it_is_refused(
    parley: Parley, model: ScriptedModel
) -> None:
    await parley.send("Hello!")
    choose = model.choose
    model.choose = lambda _: FILTERED
    problem_of(await parley.send("Hello!", trigger="regenerate-message"), 502, "answer_withheld")
    model.choose = choose

    await parley.send("And now?", message_id="message-2")

    assert contents(model.requests[-1]) == ["Hello!", WHOLE, "And now?"]


async def test_a_question_whose_tools_result_is_refused_is_left_out_with_its_steps(
    parley: Parley, model: ScriptedModel
) -> None:
    model.replies = [calling(Called("add_task", {"title": BAD}))]
    await parley.send("Add it", user="ann")

    response = await parley.send("And now?", message_id="message-2", user="ann")

    assert text_of(response) == WHOLE
    assert contents(model.requests[-1]) == ["And now?"]


async def test_a_refused_question_stays_left_out_when_the_next_try_fails_for_another_reason(
    parley: Parley, model: ScriptedModel
) -> None:
    model.replies = [calling(Called("add_task", {"title": BAD}))]
    await parley.send("Add it", user="ann")
    choose = model.choose
    # The answer has the earlier try's call by then, so it is stored.
    model.choose = lambda _: Reply(status=500)
    problem_of(await parley.send("Add it", user="ann"), 502, "model_failed")
    model.choose = choose

    response = await parley.send("And now?", message_id="message-2", user="ann")

    assert text_of(response) == WHOLE
    assert contents(model.requests[-1]) == ["And now?"]


async def test_tool_results_that_are_first_told_with_a_refused_question_are_left_out_with_it(
    parley: Parley, model: ScriptedModel
) -> None:
    await parley.send("Hello!", user="ann")
    choose = model.choose
    # The model calls the tool, and fails before it has read the result.
    model.replies = [calling(Called("add_task", {"title": BAD}))]
    model.choose = lambda _: model.replies.pop(0) if model.replies else Reply(status=500)
    await parley.send("Add it", message_id="message-2", user="ann")
    model.choose = choose
    response = await parley.send("Is it there?", message_id="message-3", user="ann")
    problem_of(response, 502, "answer_withheld")

    response = await parley.send("And now?", message_id="message-4", user="ann")

    assert text_of(response) == WHOLE
    assert contents(model.requests[-1]) == ["Hello!", WHOLE, "And now?"]


async def test_an_answer_that_was_withheld_midway_is_left_out_with_the_question_refused_for_it(
    parley: Parley, model: ScriptedModel
) -> None:
    await parley.send("Hello!")
    model.replies = [Reply(pieces=("Well, ", BAD), finish_reason="content_filter")]
    await parley.send("Go on", message_id="message-2")
    problem_of(await parley.send("And?", message_id="message-3"), 502, "answer_withheld")

    response = await parley.send("Still there?", message_id="message-4")

    assert text_of(response) == WHOLE
    assert contents(model.requests[-1]) == ["Hello!", WHOLE, "Still there?"]
