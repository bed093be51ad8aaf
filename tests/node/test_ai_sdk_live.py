"""The code behind `useChat`, of each version, in conversation with the running product."""

import anyio.to_thread
import pytest

from tests.node.sdk import (
    VERSIONS,
    ChatResult,
    Step,
    UIMessage,
    Version,
    read_stream,
    run_chat,
    texts_of,
    validate_messages,
)
from tests.support.model_server import Called, Reply, ScriptedModel, calling
from tests.support.product import Parley, headers_of, sdk_body

each_version = pytest.mark.parametrize("version", VERSIONS, ids=lambda version: f"ai{version}")


async def chat(
    parley: Parley, version: Version, *steps: Step, user: str | None = None
) -> ChatResult:
    """Play steps on a page; the chat id is the SDK's own."""
    return await anyio.to_thread.run_sync(
        lambda: run_chat(version, parley.base_url, steps, headers=headers_of(user))
    )


@each_version
@pytest.mark.parametrize("user", [None, "ann"])
async def test_a_page_shows_what_history_will_show(
    parley: Parley, version: Version, user: str | None
) -> None:
    page = await chat(parley, version, {"do": "send", "text": "Hello!"}, user=user)

    assert (page["status"], page["error"]) == ("ready", None)
    assert texts_of(page["messages"]) == ["Hello!", "Hello, how are you?"]
    history = (await parley.history(page["chatId"], user=user))["messages"]
    assert [each["id"] for each in page["messages"]] == [each["id"] for each in history]
    assert [each["role"] for each in page["messages"]] == [each["role"] for each in history]
    assert texts_of(page["messages"]) == texts_of(history)
    assert page["messages"][1].get("metadata") == history[1]["metadata"]
    [finish] = page["finishes"]
    assert finish["messageId"] == history[1]["id"]
    for failure in ("isAbort", "isDisconnect", "isError"):
        assert not finish[failure]


@each_version
async def test_a_second_message_goes_on_with_the_conversation(
    parley: Parley, model: ScriptedModel, version: Version
) -> None:
    model.replies = [Reply(pieces=("First", ".")), Reply(pieces=("Second", "."))]

    page = await chat(parley, version, {"do": "send", "text": "One"}, {"do": "send", "text": "Two"})

    assert page["error"] is None
    assert texts_of(page["messages"]) == ["One", "First.", "Two", "Second."]
    assert await parley.said(page["chatId"]) == texts_of(page["messages"])
    assert [each["content"] for each in model.requests[1]["messages"][1:]] == [
        "One", "First.", "Two"
    ]  # fmt: skip


@each_version
async def test_a_stream_is_rebuilt_as_history_shows_it(
    parley: Parley, model: ScriptedModel, version: Version
) -> None:
    model.default = Reply(pieces=("😀 ", "a\u2028b\n\n", "data: x"))
    response = await parley.client.post("/api/chat", json=sdk_body("Hello!"))

    result = await anyio.to_thread.run_sync(read_stream, version, response.content)

    assert result["error"] is None
    rebuilt, stored = result["message"], (await parley.history())["messages"][1]
    assert (rebuilt["id"], rebuilt["role"]) == (stored["id"], "assistant")
    assert rebuilt.get("metadata") == stored["metadata"]
    assert texts_of([rebuilt]) == [stored["content"]]


@each_version
async def test_a_stored_answer_that_is_sent_again_is_the_same_message(
    parley: Parley, model: ScriptedModel, version: Version
) -> None:
    streams = [
        (await parley.client.post("/api/chat", json=sdk_body("Hello!"))).content for _ in range(2)
    ]

    first, again = [
        await anyio.to_thread.run_sync(read_stream, version, stream) for stream in streams
    ]

    assert first == again
    assert len(model.requests) == 1


@each_version
async def test_a_page_is_told_the_title_and_its_message_stays_as_history_shows_it(
    parley: Parley, model: ScriptedModel, version: Version
) -> None:
    model.title_reply = Reply(pieces=("A greeting",))

    page = await chat(parley, version, {"do": "send", "text": "Hello!"})

    history = await parley.history(page["chatId"])
    assert (page["status"], page["error"]) == ("ready", None)
    [told] = page["data"]
    assert (told["type"], told["data"]) == (
        "data-conversation",
        {"id": history["conversation"]["id"], "title": "A greeting"},
    )
    assert history["conversation"]["title"] == "A greeting"
    answer = page["messages"][-1]
    assert [part["type"] for part in answer["parts"]] == ["step-start", "text"]
    assert answer.get("metadata") == history["messages"][-1]["metadata"]


@each_version
async def test_a_title_in_a_stream_is_no_part_of_its_message(
    parley: Parley, model: ScriptedModel, version: Version
) -> None:
    model.title_reply = Reply(pieces=("A greeting",))
    first, again = [
        (await parley.client.post("/api/chat", json=sdk_body("Hello!"))).content for _ in range(2)
    ]

    told = await anyio.to_thread.run_sync(read_stream, version, first)

    assert (b"data-conversation" in first, b"data-conversation" in again) == (True, False)
    assert told["error"] is None
    assert told == await anyio.to_thread.run_sync(read_stream, version, again)


@each_version
async def test_a_refusal_is_an_error_on_the_page_and_the_message_can_be_sent_anew(
    parley: Parley, model: ScriptedModel, version: Version
) -> None:
    model.replies = [Reply(status=500)]

    page = await chat(parley, version, {"do": "send", "text": "Hello!"}, {"do": "regenerate"})

    refused, answered = page["steps"]
    assert refused["status"] == "error"
    assert refused["error"] is not None
    assert "model_failed" in refused["error"]["message"] + (refused["error"]["responseBody"] or "")
    assert (answered["status"], answered["error"]) == ("ready", None)
    assert texts_of(page["messages"]) == ["Hello!", "Hello, how are you?"]
    assert await parley.said(page["chatId"]) == texts_of(page["messages"])


@each_version
async def test_a_message_without_text_is_refused(parley: Parley, version: Version) -> None:
    page = await chat(parley, version, {"do": "send", "text": "Hello!"}, {"do": "send"})

    assert page["status"] == "error"
    assert page["requests"][-1]["status"] == 422
    assert len(await parley.said(page["chatId"])) == 2


@each_version
async def test_a_page_shows_tools_as_history_will_show_them(
    parley: Parley, model: ScriptedModel, version: Version
) -> None:
    model.replies = [
        calling(
            Called("add_task", {"title": "Buy milk"}, "1"),
            Called("add_task", {}, "2"),
            text="Let me see.",
        ),
        Reply(pieces=("Done", ".")),
    ]

    page = await chat(parley, version, {"do": "send", "text": "Add milk"}, user="ann")

    assert (page["status"], page["error"]) == ("ready", None)
    history = (await parley.history(page["chatId"], user="ann"))["messages"]
    assert _tools_and_texts(page["messages"][1]) == _tools_and_texts(history[1])
    states = [part["state"] for part in history[1]["parts"] if "toolCallId" in part]
    assert states == ["output-available", "output-error"]
    assert await anyio.to_thread.run_sync(validate_messages, version, history) is None


def _tools_and_texts(message: UIMessage) -> list[dict[str, object]]:
    """Return what a page shows of each part, but not whether it came by a stream."""
    shown = ("type", "text", "toolCallId", "state", "input", "output", "errorText")
    return [
        {
            name: part[name]
            for name in shown
            if name in part and (name != "state" or "toolCallId" in part)
        }
        for part in message["parts"]
    ]
