"""Providers that refuse any order of messages but one: conversations with them go on."""

from typing import Any

import psycopg
import pytest

from tests.support.model_server import Called, Reply, ScriptedModel, calling
from tests.support.product import CHAT_ID, Parley, parts_of, text_of
from tests.support.strictest_provider import fault_in

ADD_TASK = Called("add_task", {"title": "Buy milk"})


@pytest.fixture(autouse=True)
def faults(model: ScriptedModel) -> list[str]:
    """Have the model refuse as the strictest providers do; return why it has refused."""
    found: list[str] = []

    def choose(body: dict[str, Any]) -> Reply:
        if fault := fault_in(body["messages"]):
            found.append(fault)
            return Reply(status=400)
        return model.replies.pop(0) if model.replies else Reply()

    model.choose = choose
    return found


async def test_a_conversation_goes_on_after_its_window_has_begun_to_move(
    parley: Parley, faults: list[str]
) -> None:
    for number in range(13):
        response = await parley.send(f"Question {number}", message_id=f"message-{number}")
        assert text_of(response) == "Hello, how are you?"

    assert faults == []


@pytest.mark.parametrize("failure", [Reply(status=500), Reply(status=429), Reply(garbles_after=0)])
async def test_a_question_after_a_failed_one_is_answered(
    parley: Parley, model: ScriptedModel, faults: list[str], failure: Reply
) -> None:
    model.replies = [failure]
    await parley.send("First")

    response = await parley.send("Another", message_id="message-2")

    assert text_of(response) == "Hello, how are you?"
    assert model.requests[-1]["messages"][-1]["content"] == "First\n\nAnother"
    assert faults == []


@pytest.mark.parametrize(
    "after_tool", [Reply(pieces=()), Reply(status=500)], ids=["no words", "a failure"]
)
async def test_a_question_after_an_answer_that_ended_with_a_tool_is_answered(
    parley: Parley, model: ScriptedModel, faults: list[str], after_tool: Reply
) -> None:
    model.replies = [calling(ADD_TASK), after_tool]
    await parley.send("Add milk", user="ann")

    response = await parley.send("And now?", message_id="message-2", user="ann")

    assert text_of(response) == "Hello, how are you?"
    assert faults == []


@pytest.mark.environment(MAX_TOOL_STEPS="1")
async def test_a_question_after_an_answer_that_ran_out_of_steps_is_answered(
    parley: Parley, model: ScriptedModel, faults: list[str]
) -> None:
    model.replies = [calling(ADD_TASK)]
    await parley.send("Add milk", user="ann")

    response = await parley.send("And now?", message_id="message-2", user="ann")

    assert text_of(response) == "Hello, how are you?"
    assert faults == []


async def test_a_system_message_written_in_the_middle_is_told_in_the_next_question(
    parley: Parley, model: ScriptedModel, faults: list[str], database: psycopg.Connection
) -> None:
    await parley.send("Hello!")
    database.execute("""
        INSERT INTO chat_messages (conversation_id, user_id, role, content)
        SELECT id, user_id, 'system', 'Answer in one word.' FROM conversations
    """)

    response = await parley.send("And now?", message_id="message-2", chat_id=CHAT_ID)

    assert [part["type"] for part in parts_of(response)][-1] == "finish"
    assert "\nAnswer in one word.\n" in model.requests[-1]["messages"][-1]["content"]
    assert faults == []
