"""Reload, stop, edit and try again with the code behind `useChat`, of each version."""

import anyio.to_thread
import pytest

from tests.node.sdk import VERSIONS, ChatResult, Step, Version, run_chat, texts_of
from tests.support.model_server import Reply, ScriptedModel
from tests.support.product import Parley

SLOW = Reply(pieces=tuple(f"word{number} " for number in range(20)), seconds_between=0.05)
WHOLE = "".join(SLOW.pieces)

each_version = pytest.mark.parametrize("version", VERSIONS, ids=lambda version: f"ai{version}")


async def chat(
    parley: Parley, version: Version, *steps: Step, resume_delay: float = 0
) -> ChatResult:
    """Play steps on a page."""
    return await anyio.to_thread.run_sync(
        lambda: run_chat(version, parley.base_url, steps, resume_delay=resume_delay)
    )


def answers_of(page: ChatResult, method: str = "GET") -> list[int | None]:
    """Return how the requests for the stream were answered."""
    return [
        request["status"]
        for request in page["requests"]
        if request["method"] == method and request["url"].endswith("/stream")
    ]


async def assert_shows_history(parley: Parley, page: ChatResult) -> None:
    """Check that a page is well, and shows what is stored."""
    assert (page["status"], page["error"]) == ("ready", None)
    history = (await parley.history(page["chatId"]))["messages"]
    assert [each["id"] for each in page["messages"]] == [each["id"] for each in history]
    assert texts_of(page["messages"]) == texts_of(history)


@each_version
async def test_a_page_reloaded_in_the_middle_of_an_answer_shows_all_of_it_once(
    parley: Parley, model: ScriptedModel, version: Version
) -> None:
    model.replies = [SLOW]

    page = await chat(
        parley,
        version,
        {"do": "send", "text": "Hello!", "after": 3, "then": "leave"},
        {"do": "reload"},
        {"do": "send", "text": "And now?"},
    )

    reloaded = page["steps"][1]
    assert answers_of(page) == [200]
    assert reloaded["status"] == "ready"
    assert texts_of(reloaded["messages"]) == ["Hello!", WHOLE]
    await assert_shows_history(parley, page)
    assert len(model.requests) == 2


@each_version
async def test_a_page_whose_answer_ended_before_it_came_back_shows_all_of_it_once(
    parley: Parley, model: ScriptedModel, version: Version
) -> None:
    model.replies = [SLOW]

    page = await chat(
        parley,
        version,
        {"do": "send", "text": "Hello!", "after": 3, "then": "leave"},
        {"do": "reload"},
        resume_delay=1.5,
    )

    assert answers_of(page) == [200]
    assert texts_of(page["messages"]) == ["Hello!", WHOLE]
    await assert_shows_history(parley, page)


@each_version
async def test_a_page_reloaded_when_nothing_runs_is_as_it_was(
    parley: Parley, version: Version
) -> None:
    page = await chat(
        parley, version, {"do": "reload"}, {"do": "send", "text": "Hello!"}, {"do": "reload"}
    )

    assert page["steps"][0] == {"messages": [], "status": "ready", "error": None}
    # What has just ended is sent once more: a page may have read history before it did.
    assert answers_of(page) == [204, 200]
    assert texts_of(page["messages"]) == ["Hello!", "Hello, how are you?"]
    await assert_shows_history(parley, page)


@each_version
async def test_a_stopped_answer_is_not_made_further_and_the_next_message_is_answered_at_once(
    parley: Parley, model: ScriptedModel, version: Version
) -> None:
    model.replies = [SLOW, Reply(pieces=("Another", "."))]

    page = await chat(
        parley,
        version,
        {"do": "send", "text": "Hello!", "after": 3, "then": "delete"},
        {"do": "send", "text": "Something else"},
    )

    stopped = page["steps"][0]
    assert (stopped["status"], stopped["error"]) == ("ready", None)
    assert answers_of(page, "DELETE") == [204]
    assert [request["status"] for request in page["requests"]].count(200) == 2
    assert model.left == 1
    # The page has stopped reading a little before the model was stopped.
    [_, shown, *rest] = texts_of(page["messages"])
    [_, stored, *stored_rest] = await parley.said(page["chatId"])
    assert WHOLE.startswith(stored)
    assert stored.startswith(shown)
    assert rest == stored_rest == ["Something else", "Another."]


@each_version
async def test_a_page_reloaded_after_a_stop_shows_what_there_is(
    parley: Parley, model: ScriptedModel, version: Version
) -> None:
    model.replies = [SLOW]

    page = await chat(
        parley,
        version,
        {"do": "send", "text": "Hello!", "after": 3, "then": "delete"},
        {"do": "reload"},
    )

    assert answers_of(page) == [204]
    assert len(page["messages"]) == 2
    await assert_shows_history(parley, page)


@each_version
async def test_a_page_that_edits_and_tries_again_shows_what_history_will_show(
    parley: Parley, model: ScriptedModel, version: Version
) -> None:
    said = ("First", "Half an", "Whole", "Edited", "Anew")
    model.replies = [Reply(pieces=(each, " answer.")) for each in said]
    model.replies[1].cuts_after = 1

    page = await chat(
        parley,
        version,
        {"do": "send", "text": "One"},
        {"do": "send", "text": "Two"},
        {"do": "regenerate"},
        {"do": "edit", "message": 0, "text": "Another one"},
        {"do": "regenerate"},
    )

    shown = [(step["status"], texts_of(step["messages"])) for step in page["steps"]]
    assert shown == [
        ("ready", ["One", "First answer."]),
        ("error", ["One", "First answer.", "Two", "Half an"]),
        ("ready", ["One", "First answer.", "Two", "Whole answer."]),
        ("ready", ["Another one", "Edited answer."]),
        ("ready", ["Another one", "Anew answer."]),
    ]
    await assert_shows_history(parley, page)


@each_version
async def test_a_page_reloaded_while_an_answer_is_made_anew_shows_both_until_the_next_reload(
    parley: Parley, model: ScriptedModel, version: Version
) -> None:
    model.replies = [Reply(pieces=("The", " first.")), SLOW]

    page = await chat(
        parley,
        version,
        {"do": "send", "text": "Hello!"},
        {"do": "regenerate", "after": 3, "then": "leave"},
        {"do": "reload"},
        {"do": "reload"},
    )

    # History shows an answer until there is another one, and the page adds that to it.
    assert texts_of(page["steps"][2]["messages"]) == ["Hello!", "The first.", WHOLE]
    assert texts_of(page["messages"]) == ["Hello!", WHOLE]
    await assert_shows_history(parley, page)
