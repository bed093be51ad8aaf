"""The model's title comes while the first answer streams, and never at the answer's cost."""

import asyncio
import json
import logging
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import psycopg
import pytest
from starlette.requests import Request
from starlette.types import Message, Receive, Scope, Send

import lib.answers._title
import lib.answers.begin
from lib.answers._title import title_in
from lib.conversations.conversation import TITLE_CHARS
from lib.model.client import stream_answer
from lib.model.cost import Spending
from lib.model.reply import Piece, ReasoningPiece
from lib.model.reply import Reply as ModelReply
from lib.model.request import ModelRequest
from tests.support.logs import events_of
from tests.support.model_server import TITLE_MODEL, Called, Reply, ScriptedModel, calling
from tests.support.product import CHAT_ID, Parley, parts_of, sdk_body, text_of
from tests.support.serving import Switchboard

PATIENCE = lib.answers._title.TITLE_PATIENCE_SECONDS
FIRST = "What is the capital of France?"
TITLE = Reply(pieces=("The capital", " of France"))
LATE = Reply(pieces=TITLE.pieces, seconds_before=0.3)
HANGING = [
    Reply(seconds_before=3600),
    Reply(pieces=("The", " capital"), hangs_after=0),
    Reply(pieces=("The", " capital"), hangs_after=1),
]
FAILING = [
    Reply(status=500),
    Reply(status=404),
    Reply(pieces=("The", " capital"), cuts_after=1),
    Reply(pieces=("The", " capital"), garbles_after=1),
    Reply(pieces=("The", " capital"), finish_reason=None),
    Reply(pieces=()),
    Reply(pieces=(" ", "\n", '""', "\n\n")),
    Reply(pieces=("<think>\nThe user wants", " a title.\nThe capital")),
    Reply(chunks=[{"choices": [{"delta": {"content": 5}}]}]),
]


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait for a title without a limit, so that no test depends on the machine's speed."""
    monkeypatch.setattr(lib.answers._title, "TITLE_PATIENCE_SECONDS", 30)


@pytest.fixture
def impatience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait for a title as long as the product does."""
    monkeypatch.setattr(lib.answers._title, "TITLE_PATIENCE_SECONDS", PATIENCE)


@pytest.mark.parametrize("user", [None, "ann"])
async def test_the_models_title_is_stored_and_sent_before_the_end(
    parley: Parley, model: ScriptedModel, user: str | None
) -> None:
    model.title_reply = TITLE

    response = await parley.send(FIRST, user=user)

    parts = parts_of(response)
    assert [part["type"] for part in parts[-3:]] == ["finish-step", "data-conversation", "finish"]
    conversation = (await parley.history(user=user))["conversation"]
    assert conversation["title"] == "The capital of France"
    assert parts[-2] == {
        "type": "data-conversation",
        "data": {"id": conversation["id"], "title": conversation["title"]},
        "transient": True,
    }


async def test_a_title_is_read_after_what_its_model_thinks(
    parley: Parley, model: ScriptedModel
) -> None:
    model.title_reply = Reply(
        pieces=("<think>\nThe user wants", " a title.\n</think>\nThe capital")
    )

    await parley.send(FIRST)

    assert (await parley.history())["conversation"]["title"] == "The capital"


async def test_a_json_answer_gives_its_conversation_a_title(
    parley: Parley, model: ScriptedModel
) -> None:
    model.title_reply = TITLE

    await parley.say(FIRST, user="ann")

    [conversation] = (await parley.get("/api/conversations", user="ann")).json()["conversations"]
    assert conversation["title"] == "The capital of France"


async def test_a_title_is_requested_with_the_first_message_alone(
    parley: Parley, model: ScriptedModel
) -> None:
    await parley.send(FIRST)

    [asked] = model.title_requests
    assert asked.keys() == {"model", "messages", "stream", "stream_options"}
    assert asked["model"] == TITLE_MODEL
    instruction, message = asked["messages"]
    assert (instruction["role"], "title" in instruction["content"]) == ("system", True)
    assert message == {"role": "user", "content": FIRST}
    assert len(model.requests) == 1


@pytest.mark.environment(OPENAI_TITLE_MODEL=None)
async def test_without_a_title_model_the_chat_model_writes_the_title(
    parley: Parley, model: ScriptedModel
) -> None:
    model.choose = lambda body: TITLE if _asks_for_title(body) else Reply()

    assert text_of(await parley.send(FIRST)) == "Hello, how are you?"

    assert [each["model"] for each in model.requests] == ["test-model", "test-model"]
    assert sorted(map(_asks_for_title, model.requests)) == [False, True]
    assert await _title(parley) == "The capital of France"


class OneAtATime:
    """A provider that answers one request at a time; of several, the one for a title first.

    Attributes:
        events: what happened, in order: the model of each request when it arrives, and `text` with
            the first text that is sent.
    """

    def __init__(self, model: ScriptedModel) -> None:
        """Take the model that answers."""
        self._model = model
        self._turn = asyncio.Lock()
        self.events: list[str] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request when all earlier ones have ended."""
        body = await Request(scope, receive).body()
        asked = json.loads(body)["model"]
        self.events.append(asked)
        if asked != TITLE_MODEL:
            # One for a title that was sent at the same time overtakes it.
            await asyncio.sleep(0.2)

        async def noted(message: Message) -> None:
            if b'"content"' in message.get("body", b"") and "text" not in self.events:
                self.events.append("text")
            await send(message)

        unread: list[Message] = [{"type": "http.request", "body": body}]

        async def again() -> Message:
            return unread.pop() if unread else await receive()

        async with self._turn:
            await self._model(scope, again, noted)


@pytest.fixture
def one_at_a_time(model: ScriptedModel, model_switchboard: Switchboard) -> OneAtATime:
    """Return the provider, which answers one request at a time."""
    model_switchboard.app = provider = OneAtATime(model)
    return provider


async def test_the_model_is_asked_for_a_title_when_the_answer_has_begun(
    parley: Parley, model: ScriptedModel, one_at_a_time: OneAtATime
) -> None:
    model.replies = [Reply(seconds_before=0.3)]
    model.title_reply = TITLE

    await parley.send(FIRST)

    assert one_at_a_time.events == ["test-model", "text", TITLE_MODEL]
    assert await _title(parley) == "The capital of France"


@pytest.mark.usefixtures("impatience", "one_at_a_time")
async def test_a_provider_that_takes_one_request_at_a_time_answers_first(
    parley: Parley, model: ScriptedModel
) -> None:
    model.title_reply = HANGING[0]

    async with asyncio.timeout(20):
        response = await parley.send(FIRST)
        again = await parley.send("And of Italy?", message_id="message-2")

    assert text_of(response) == text_of(again) == "Hello, how are you?"


@pytest.mark.usefixtures("impatience", "one_at_a_time")
async def test_a_title_stands_between_no_two_steps_of_an_answer(
    parley: Parley, model: ScriptedModel
) -> None:
    model.replies = [calling(Called("list_tasks")), Reply(pieces=("None",))]
    model.title_reply = HANGING[0]

    async with asyncio.timeout(20):
        response = await parley.send(FIRST, user="ann")

    assert text_of(response) == "None"


async def test_an_answer_of_tool_calls_alone_gets_a_title(
    parley: Parley, model: ScriptedModel
) -> None:
    model.default = calling(Called("list_tasks"))
    model.title_reply = TITLE

    await parley.send(FIRST, user="ann")

    assert (await parley.history(user="ann"))["conversation"]["title"] == "The capital of France"


@pytest.mark.parametrize("reply", [Reply(status=500), Reply(cuts_after=0), Reply(pieces=())])
async def test_an_answer_that_fails_before_its_first_text_asks_for_no_title(
    parley: Parley, model: ScriptedModel, reply: Reply
) -> None:
    model.replies = [reply]

    await parley.send(FIRST)

    assert len(model.requests) == 1
    assert model.title_requests == []


async def test_a_title_is_read_without_the_models_thoughts(
    parley: Parley, model: ScriptedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def thoughtful(
        request: ModelRequest, reply: ModelReply, spending: Spending
    ) -> AsyncGenerator[Piece]:
        yield ReasoningPiece("A title\nabout France. " * 30)
        async with aclosing(stream_answer(request, reply, spending)) as pieces:
            async for piece in pieces:
                yield piece

    model.title_reply = TITLE
    monkeypatch.setattr(lib.answers._title, "stream_answer", thoughtful)

    await parley.send(FIRST)

    assert await _title(parley) == "The capital of France"


@pytest.mark.parametrize("reply", HANGING)
@pytest.mark.usefixtures("impatience")
async def test_a_title_that_does_not_come_delays_neither_the_first_token_nor_the_end(
    parley: Parley, model: ScriptedModel, reply: Reply
) -> None:
    model.title_reply = reply

    async with asyncio.timeout(20):
        response = await parley.send(FIRST)

    assert text_of(response) == "Hello, how are you?"
    assert _types(response)[-1] == "finish"
    assert "data-conversation" not in _types(response)
    assert await _title(parley) == FIRST
    await _left(model)


async def test_the_first_token_does_not_wait_for_a_title(
    parley: Parley, model: ScriptedModel
) -> None:
    model.title_reply = Reply(seconds_before=3600)
    model.replies = [Reply(pieces=("Hello", ", how"), hangs_after=1)]

    async with asyncio.timeout(20), _streaming(parley) as response:
        async for line in response.aiter_lines():
            if '"text-delta"' in line:
                break

    assert model.left == 0
    await _asked(model)
    await lib.answers.begin.interrupt_answers()
    await _left(model, 2)


async def test_the_whole_text_is_sent_before_the_wait_for_a_title(
    parley: Parley, model: ScriptedModel
) -> None:
    model.title_reply = LATE

    async with _streaming(parley) as response:
        lines = response.aiter_lines()
        assert await _until("finish-step", lines) == "".join(Reply().pieces)
        is_stored = len(await parley.said()) == 2
        await _until("data-conversation", lines)

    assert not is_stored
    assert await _title(parley) == "The capital of France"


@pytest.mark.parametrize("reply", FAILING)
async def test_a_failed_title_leaves_the_first_title_and_stays_out_of_the_stream(
    parley: Parley, model: ScriptedModel, caplog: pytest.LogCaptureFixture, reply: Reply
) -> None:
    caplog.set_level(logging.INFO, "parley")
    model.title_reply = reply

    response = await parley.send(FIRST)

    assert _types(response)[-2:] == ["finish-step", "finish"]
    assert text_of(response) == "Hello, how are you?"
    assert await _title(parley) == FIRST
    for secret in ("sk-secret", "capital"):
        assert secret not in response.text + caplog.text


async def test_a_failed_title_is_an_event_in_the_log(
    parley: Parley, model: ScriptedModel, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "parley")
    model.title_reply = Reply(status=500)

    await parley.send(FIRST)

    [failed] = events_of(caplog, "title_failed")
    assert failed == {"event": "title_failed", "cause": "500 x"}


async def test_an_unexpected_error_in_titles_leaves_the_first_title(
    parley: Parley, model: ScriptedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: str) -> None:
        raise ZeroDivisionError

    model.title_reply = TITLE
    monkeypatch.setattr(lib.answers._title, "title_in", fail)

    response = await parley.send(FIRST)

    assert _types(response)[-2:] == ["finish-step", "finish"]
    assert await _title(parley) == FIRST


@pytest.mark.parametrize(
    "pieces",
    [
        ("The capital of", " France\n", "Paris is") * 2,
        ("\n\nThe capital of France", "\n"),
        ("# The capital", " of France\n\n", "It is"),
    ],
)
async def test_a_title_is_read_up_to_its_first_line(
    parley: Parley, model: ScriptedModel, pieces: tuple[str, ...]
) -> None:
    model.title_reply = Reply(pieces=pieces, hangs_after=len(pieces))

    await parley.send(FIRST)

    assert await _title(parley) == "The capital of France"
    await _left(model)


@pytest.mark.parametrize(
    ("piece", "title"), [("word ", "word " * 11 + "word…"), ("\n", FIRST), ("*", FIRST)]
)
async def test_a_title_without_an_end_is_given_up(
    parley: Parley, model: ScriptedModel, piece: str, title: str
) -> None:
    model.title_reply = Reply(pieces=(piece,) * 1000, hangs_after=1000)

    await parley.send(FIRST)

    assert await _title(parley) == title
    await _left(model)


async def test_characters_of_a_title_that_cannot_be_stored_are_replaced(
    parley: Parley, model: ScriptedModel
) -> None:
    model.title_reply = Reply(pieces=("a\0b", "\ud800c", "\udc00 😀\u2028second line"))

    parts = parts_of(await parley.send(FIRST))

    assert parts[-2]["data"]["title"] == await _title(parley) == "ab\ufffdc\ufffd 😀"


async def test_a_title_given_by_the_user_meanwhile_stays(
    parley: Parley, model: ScriptedModel, database: psycopg.Connection
) -> None:
    def rename() -> None:
        database.execute("UPDATE conversations SET title = 'My own'")

    model.title_reply = TITLE
    model.on_request = rename

    response = await parley.send(FIRST)

    assert "data-conversation" not in _types(response)
    assert await _title(parley) == "My own"


async def test_no_title_is_requested_for_a_conversation_that_its_user_named(
    parley: Parley, model: ScriptedModel, database: psycopg.Connection
) -> None:
    model.replies = [Reply(status=500)]
    await parley.send(FIRST)
    database.execute("UPDATE conversations SET title = 'My own'")
    model.title_requests.clear()

    await parley.send(FIRST)

    assert model.title_requests == []
    assert await _title(parley) == "My own"


@pytest.mark.parametrize("text", [FIRST, "And of Italy?"])
async def test_a_second_message_requests_no_title(
    parley: Parley, model: ScriptedModel, text: str
) -> None:
    await parley.send(FIRST)
    model.title_reply = TITLE

    response = await parley.send(text, message_id="message-2")

    assert len(model.title_requests) == 1
    assert "data-conversation" not in _types(response)
    assert await _title(parley) == FIRST


async def test_no_title_is_requested_for_a_picture_without_words(
    parley: Parley, model: ScriptedModel
) -> None:
    picture = {"type": "file", "mediaType": "image/png", "url": "https://example.com/cat.png"}
    message = {"id": "message-1", "role": "user", "parts": [picture]}

    await parley.send("", messages=[message], user="ann")

    assert len(model.requests) == 1
    assert model.title_requests == []


async def test_regenerating_the_first_answer_requests_no_other_title(
    parley: Parley, model: ScriptedModel
) -> None:
    model.title_reply = TITLE
    await parley.send(FIRST)

    response = await parley.send(FIRST, trigger="regenerate-message")

    assert len(model.title_requests) == 1
    assert "data-conversation" not in _types(response)
    assert await _title(parley) == "The capital of France"


async def test_a_retry_after_a_first_answer_that_failed_before_its_text_requests_a_title(
    parley: Parley, model: ScriptedModel
) -> None:
    model.replies = [Reply(status=500)]
    await parley.send(FIRST)
    model.title_reply = TITLE

    response = await parley.send(FIRST)

    assert _types(response)[-2:] == ["data-conversation", "finish"]
    assert await _title(parley) == "The capital of France"


async def test_a_title_is_requested_though_a_system_message_comes_first(
    parley: Parley, model: ScriptedModel, database: psycopg.Connection
) -> None:
    model.replies = [Reply(status=500)]
    await parley.send(FIRST)
    database.execute(
        "INSERT INTO chat_messages (id, conversation_id, role, content) OVERRIDING SYSTEM VALUE "
        "SELECT 0, id, 'system', 'Be brief.' FROM conversations"
    )
    model.title_reply = TITLE

    await parley.send(FIRST)

    assert model.requests[-1]["messages"][0]["content"].endswith("\n\nBe brief.")
    assert await _title(parley) == "The capital of France"


async def test_a_replayed_answer_does_not_send_the_title(
    parley: Parley, model: ScriptedModel
) -> None:
    model.title_reply = TITLE
    await parley.send(FIRST)

    replayed = await parley.send(FIRST)

    assert replayed.headers["idempotent-replayed"] == "true"
    assert "data-conversation" not in _types(replayed)
    assert len(model.title_requests) == 1


async def test_a_reader_that_joins_a_running_answer_gets_the_title(
    parley: Parley, model: ScriptedModel
) -> None:
    model.title_reply = LATE

    first, second = await asyncio.gather(parley.send(FIRST), parley.send(FIRST))

    assert first.text == second.text
    assert _types(second)[-2:] == ["data-conversation", "finish"]


@pytest.mark.parametrize(
    ("reply", "title"), [(TITLE, "The capital of France"), (HANGING[0], FIRST)]
)
async def test_an_answer_cut_at_the_deadline_takes_the_title_that_is_there_and_waits_for_none(
    parley: Parley,
    model: ScriptedModel,
    monkeypatch: pytest.MonkeyPatch,
    reply: Reply,
    title: str,
) -> None:
    deadline = datetime.now(UTC) + timedelta(seconds=2)
    monkeypatch.setattr("vercel_runtime.deadline.get_deadline", lambda: deadline)
    model.replies = [Reply(pieces=("word ",) * 1000, seconds_between=0.1)]
    model.title_reply = reply

    parts = parts_of(await parley.send(FIRST))

    assert datetime.now(UTC) < deadline
    assert parts[-1]["finishReason"] == "length"
    assert (parts[-2]["type"] == "data-conversation") == (title != FIRST)
    assert await _title(parley) == title


@pytest.mark.parametrize("reply", [Reply(status=500), Reply(cuts_after=2)])
async def test_a_failed_answer_waits_for_no_title(
    parley: Parley, model: ScriptedModel, reply: Reply
) -> None:
    model.replies = [reply]
    model.title_reply = HANGING[0]

    async with asyncio.timeout(20):
        await parley.send(FIRST)

    assert await _title(parley) == FIRST


async def test_an_interrupted_answer_waits_for_no_title(
    parley: Parley, model: ScriptedModel
) -> None:
    model.replies = [Reply(pieces=("Hello", ", how"), hangs_after=1)]
    model.title_reply = HANGING[0]

    async with asyncio.timeout(20), _streaming(parley) as response:
        lines = response.aiter_lines()
        await _until("text-delta", lines)
        await _asked(model)
        await lib.answers.begin.interrupt_answers()
        await _until("error", lines)

    await _left(model, 2)


@pytest.mark.parametrize(
    ("said", "title"),
    [
        ("The capital of France", "The capital of France"),
        ("  The   capital\tof France  ", "The capital of France"),
        ("\n\nThe capital\nof France", "The capital"),
        ("The capital\r\nof France", "The capital"),
        ('"The capital of France"', "The capital of France"),
        ("“The capital of France”", "The capital of France"),
        ("„Die Hauptstadt Frankreichs“", "Die Hauptstadt Frankreichs"),
        ("« La capitale »", "La capitale"),
        ("「フランスの首都」", "フランスの首都"),
        ("'Ann's trip'", "Ann's trip"),
        ("**The capital of France**", "The capital of France"),
        ("_`The capital`_", "The capital"),
        ("# The capital of France", "The capital of France"),
        ("- The capital of France", "The capital of France"),
        ("Title: The capital of France", "The capital of France"),
        ('**Title:** "The capital of France"', "The capital of France"),
        ("**TITLE: The capital**", "The capital"),
        ("Title:\nThe capital of France", "The capital of France"),
        ("```\nThe capital of France\n```", "The capital of France"),
        ("What is C#?", "What is C#?"),
        ("# C#", "C#"),
        ("#MeToo", "#MeToo"),
        ('The word "hello"', 'The word "hello"'),
        ('"hello" or "goodbye"', '"hello" or "goodbye"'),
        ("__init__ in Python", "__init__ in Python"),
        ("Title fights", "Title fights"),
        ("👋", "👋"),
        ("x" * TITLE_CHARS, "x" * TITLE_CHARS),
        ("x" * (TITLE_CHARS + 1), "x" * (TITLE_CHARS - 1) + "…"),
        ("", None),
        (' \n# \n""\n---\n```python', None),
        ("<think>\nThe user\n</think>\nA title", None),
    ],
    ids=ascii,
)
def test_a_title_is_the_bare_text_of_the_first_line_that_holds_one(
    said: str, title: str | None
) -> None:
    assert title_in(said) == title


def _asks_for_title(body: dict[str, Any]) -> bool:
    return body["messages"][0]["content"] == lib.answers._title.PROMPT


def _types(response: httpx2.Response) -> list[str]:
    return [part["type"] for part in parts_of(response)]


async def _title(parley: Parley) -> str:
    return (await parley.history())["conversation"]["title"]


def _streaming(parley: Parley) -> Any:
    return parley.client.stream("POST", "/api/chat", json=sdk_body(FIRST, chat_id=CHAT_ID))


async def _until(kind: str, lines: AsyncIterator[str]) -> str:
    """Read up to a part of a type, and return the text before it."""
    text = ""
    async for line in lines:
        if line.startswith("data: {"):
            part = json.loads(line.removeprefix("data: "))
            text += part.get("delta", "")
            if part["type"] == kind:
                return text
    pytest.fail(f"there was no {kind}")


async def _asked(model: ScriptedModel) -> None:
    """Wait until the model is asked for a title."""
    async with asyncio.timeout(10):
        while not model.title_requests:  # noqa: ASYNC110 (the model offers no event)
            await asyncio.sleep(0.01)


async def _left(model: ScriptedModel, count: int = 1) -> None:
    """Wait until so many requests to the model were closed before their reply was complete."""
    async with asyncio.timeout(10):
        while model.left < count:  # noqa: ASYNC110 (the model offers no event)
            await asyncio.sleep(0.01)
    assert model.left == count
