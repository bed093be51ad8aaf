"""A disconnect is not a stop: the answer is finished and stored without a reader."""

import asyncio
import contextlib

import httpx2
import pytest

import lib.answers.begin
import lib.streams.response
import lib.streams.stream
from tests.support.model_server import Reply, ScriptedModel
from tests.support.product import CHAT_ID, Parley, parts_of, sdk_body, text_of

SLOW = Reply(pieces=tuple(f"word{number} " for number in range(8)), seconds_between=0.1)
WHOLE = "".join(SLOW.pieces)


async def test_the_answer_is_stored_though_the_reader_left_in_the_middle(
    parley: Parley, model: ScriptedModel
) -> None:
    model.replies = [SLOW]

    async with parley.client.stream("POST", "/api/chat", json=sdk_body("Hello!")) as response:
        async for line in response.aiter_lines():
            if "word1" in line:
                break

    assert await _stored_answer(parley) == WHOLE
    assert model.left == 0


@pytest.mark.parametrize("body", [sdk_body("Hello!"), {"message": "Hello!", "session_id": CHAT_ID}])
async def test_the_answer_is_stored_though_the_reader_left_before_its_first_byte(
    parley: Parley, model: ScriptedModel, body: dict[str, object]
) -> None:
    model.replies = [Reply(seconds_before=0.5)]

    with pytest.raises(httpx2.ReadTimeout):
        await parley.client.post("/api/chat", json=body, timeout=0.2)

    assert await _stored_answer(parley) == "Hello, how are you?"


async def test_a_second_reader_goes_on_when_the_first_has_left(
    parley: Parley, model: ScriptedModel
) -> None:
    model.replies = [SLOW]

    async with parley.client.stream("POST", "/api/chat", json=sdk_body("Hello!")) as response:
        async for line in response.aiter_lines():
            if "word1" in line:
                break
        second = asyncio.create_task(parley.send("Hello!"))
        await asyncio.sleep(0.1)

    assert text_of(await second) == WHOLE
    assert len(model.requests) == 1


async def test_the_function_does_not_return_before_the_answer_is_stored(
    parley: Parley, model: ScriptedModel, returned: list[str]
) -> None:
    model.replies = [SLOW]

    async with parley.client.stream("POST", "/api/chat", json=sdk_body("Hello!")) as response:
        async for line in response.aiter_lines():
            if "word1" in line:
                break
    await asyncio.sleep(0.2)

    assert returned == []
    assert await _stored_answer(parley) == WHOLE
    await asyncio.sleep(0.2)
    assert returned == ["/api/chat"]


async def test_a_reader_that_takes_nothing_counts_as_gone(
    parley: Parley, model: ScriptedModel, returned: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lib.streams.response, "STALL_SECONDS", 0.3)
    model.replies = [Reply(pieces=("x" * 1_000_000,) * 8)]
    host, port = parley.base_url.removeprefix("http://").split(":")
    body = httpx2.Request("POST", "http://x", json=sdk_body("Hello!")).content
    head = f"POST /api/chat HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}\r\n"
    reader, writer = await asyncio.open_connection(host, int(port), limit=1)

    writer.write(f"{head}content-type: application/json\r\n\r\n".encode() + body)

    assert len(await _stored_answer(parley)) == 8_000_000
    await asyncio.sleep(0.5)
    assert returned == ["/api/chat"]
    writer.transport.abort()
    with contextlib.suppress(ConnectionError):
        await reader.read()


async def test_comments_keep_proxies_from_cutting_the_stream_of_a_silent_model(
    parley: Parley, model: ScriptedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lib.streams.stream, "KEEP_ALIVE_SECONDS", 0.1)
    model.replies = [Reply(seconds_before=0.35, seconds_between=0.25)]

    response = await parley.send("Hello!")

    before, _, after = response.text.partition("data:")
    assert before.count(": keep-alive\n\n") >= 2
    assert after.count(": keep-alive\n\n") >= 3
    assert text_of(response) == "Hello, how are you?"


async def test_a_model_failure_after_a_comment_is_a_part_of_the_stream(
    parley: Parley, model: ScriptedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lib.streams.stream, "KEEP_ALIVE_SECONDS", 0.1)
    model.replies = [Reply(seconds_before=0.3, status=500)]

    parts = parts_of(await parley.send("Hello!"))

    assert [part["type"] for part in parts] == ["error"]


@pytest.fixture
def returned(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the paths of POST requests whose function has returned: Vercel may freeze it then."""
    paths: list[str] = []
    original = lib.streams.response.AnswerStream.__call__

    async def noted(self: lib.streams.response.AnswerStream, *asgi: "object") -> None:
        await original(self, *asgi)  # pyright: ignore[reportArgumentType]
        paths.append("/api/chat")

    monkeypatch.setattr(lib.streams.response.AnswerStream, "__call__", noted)
    return paths


async def _stored_answer(parley: Parley) -> str:
    for _ in range(100):
        response = await parley.get("/api/history", conversation_id=CHAT_ID)
        messages = response.json().get("messages", [])
        if messages and messages[-1]["role"] == "assistant":
            return messages[-1]["content"]
        await asyncio.sleep(0.05)
    pytest.fail("no answer was stored")


async def test_an_answer_whose_process_ends_is_stored_as_interrupted(
    parley: Parley, model: ScriptedModel
) -> None:
    model.replies = [SLOW]
    sending = asyncio.create_task(parley.send("Hello!"))
    await asyncio.sleep(0.4)

    await lib.answers.begin.interrupt_answers()

    assert parts_of(await sending)[-1]["type"] == "error"
    answer = (await parley.history())["messages"][-1]
    assert answer["finish_reason"] == "interrupted"
    assert answer["content"]
    assert WHOLE.startswith(answer["content"])
    assert text_of(await parley.send("Hello!")) == "Hello, how are you?"
