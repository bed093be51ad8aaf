"""Sources, as the real `useChat` of each version shows them: live, and from history."""

from collections.abc import AsyncGenerator

import anyio.to_thread
import pytest

from tests.node.sdk import (
    VERSIONS,
    Step,
    Version,
    read_stream,
    run_chat,
    seen_by,
    validate_messages,
)
from tests.support.cited import answering, cited
from tests.support.model_server import Called, ScriptedModel, calling
from tests.support.product import Parley, headers_of, sdk_body
from tests.support.responses_model import ResponsesModel, responding, said, searched
from tests.support.serving import Switchboard

each_version = pytest.mark.parametrize("version", VERSIONS, ids=lambda version: f"ai{version}")
FILE = {"type": "file_citation", "file_id": "file-1", "filename": "cats.pdf", "index": 0}


@pytest.fixture(autouse=True)
def cites(model: ScriptedModel) -> None:
    """Let the model call a tool, and cite a page and a file in the text that follows."""
    model.replies = [
        calling(Called("list_tasks"), text="Let me look."),
        answering(
            {"content": "😀 purr"},
            {"annotations": [cited(2, 6)]},
            {"content": " a lot."},
            {"annotations": [FILE, cited(2, 6), cited(7, 12, title=None)]},
        ),
    ]


@each_version
async def test_a_page_holds_the_sources_that_history_returns(
    parley: Parley, version: Version
) -> None:
    steps: list[Step] = [{"do": "send", "text": "Do cats purr?"}]
    headers = headers_of("ann")

    page = await anyio.to_thread.run_sync(
        lambda: run_chat(version, parley.base_url, steps, headers=headers)
    )

    assert (page["status"], page["error"]) == ("ready", None)
    history = (await parley.history(page["chatId"], user="ann"))["messages"]
    kept = page["messages"][-1]["parts"]
    assert [part["type"] for part in kept].count("source-url") == 2
    assert kept == seen_by(version, history[-1]["parts"])
    [*_, text] = [part for part in history[-1]["parts"] if part["type"] == "text"]
    passages = [(each["startIndex"], each["endIndex"]) for each in text["citations"]]
    assert passages == [(3, 7), (8, 13)]
    assert await anyio.to_thread.run_sync(validate_messages, version, history) is None


@each_version
async def test_an_answer_that_is_sent_again_is_the_message_of_history(
    parley: Parley, version: Version
) -> None:
    _, again = [
        await parley.client.post(
            "/api/chat", json=sdk_body("Do cats purr?"), headers=headers_of("ann")
        )
        for _ in range(2)
    ]

    rebuilt = await anyio.to_thread.run_sync(read_stream, version, again.content)

    assert rebuilt["error"] is None
    history = (await parley.history(user="ann"))["messages"]
    assert rebuilt["message"]["parts"] == seen_by(version, history[-1]["parts"])


@pytest.fixture
async def searching_model(model_switchboard: Switchboard) -> AsyncGenerator[ResponsesModel]:
    """Return a model that searches the web itself, twice, and fails the second time."""
    scripted = ResponsesModel()
    scripted.base_url = f"{model_switchboard.base_url}/v1"
    scripted.replies = [
        responding(
            searched("do cats purr", sources=["https://example.com/a"]),
            searched("when", status="failed"),
            said("Cats purr."),
        )
    ]
    model_switchboard.app = scripted
    yield scripted
    model_switchboard.app = None
    assert scripted.faults == []


@each_version
@pytest.mark.usefixtures("searching_model")
@pytest.mark.environment(OPENAI_API="responses", OPENAI_WEB_SEARCH="on")
async def test_a_page_holds_the_searches_that_history_returns(
    parley: Parley, version: Version
) -> None:
    steps: list[Step] = [{"do": "send", "text": "Do cats purr?"}]

    page = await anyio.to_thread.run_sync(lambda: run_chat(version, parley.base_url, steps))

    assert (page["status"], page["error"]) == ("ready", None)
    history = (await parley.history(page["chatId"]))["messages"]
    assert [part["type"] for part in history[-1]["parts"]].count("tool-web_search") == 2
    assert page["messages"][-1]["parts"] == history[-1]["parts"]
    assert await anyio.to_thread.run_sync(validate_messages, version, history) is None


@each_version
async def test_a_page_may_begin_with_the_data_that_it_has_sent(
    parley: Parley, version: Version
) -> None:
    body = sdk_body("Do cats purr?")
    body["messages"][0]["parts"].insert(0, {"type": "data-page", "id": "x", "data": {"a": [1]}})
    await parley.client.post("/api/chat", json=body, headers=headers_of("ann"))

    history = (await parley.history(user="ann"))["messages"]

    assert history[0]["parts"] == body["messages"][0]["parts"]
    assert await anyio.to_thread.run_sync(validate_messages, version, history) is None
