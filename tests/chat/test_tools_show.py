"""What tools show beside their result: progress, sources, data and files."""

import asyncio
import json
import logging
from collections.abc import Iterator
from typing import Any

import anyio.to_thread
import psycopg
import pytest
from pydantic import BaseModel, Field

import lib.answers._tools.context
from lib.answers._tools.context import MAX_OUTPUT_CHARS, MAX_SHOWN_PARTS
from lib.answers._tools.runs import FAILED
from lib.tools import ToolContext
from tests.chat.conftest import Offer
from tests.chat.test_tools import check_provider_form
from tests.node.sdk import StreamReader
from tests.support.left_behind import leave_behind
from tests.support.logs import events_of
from tests.support.model_server import Called, Reply, ScriptedModel, calling
from tests.support.product import Parley, parts_of, text_of
from tests.support.reading import path_of, sending, until, until_stored

DONE = Reply(pieces=("Done",))
URL = "https://example.com/weather"
PNG = b"\x89PNG\r\n\x1a\n"
PNG_URL = "data:image/png;base64,iVBORw0KGgo="


class City(BaseModel):
    """Arguments of the tools of these tests."""

    city: str = Field(default="Oslo", max_length=100, description="Name of the city")


def asking(*cities: str, name: str = "weather") -> Reply:
    """Return a reply that asks a tool about each city."""
    return calling(*(Called(name, {"city": city}, f"call_{city}") for city in cities))


@pytest.fixture
def weather(offer: Offer) -> None:
    """Offer a tool that shows all that a tool can show."""

    async def weather(city: City, context: ToolContext) -> object:
        """Tell the weather of a city."""
        await context.begin()
        context.progress({"station": city.city})
        context.source(URL, title="The weather")
        context.show("weather", {"city": city.city, "degrees": None}, id=city.city)
        context.show("weather", {"city": city.city, "degrees": 21}, id=city.city)
        context.show("remark", ["mild"])
        context.source(title="Almanac", media_type="application/pdf", filename="almanac.pdf")
        await context.file("image/png", PNG, "map.png")
        return {"degrees": 21}

    offer(weather)


@pytest.fixture(scope="module")
def sdk() -> Iterator[StreamReader]:
    """Return a reader of streams."""
    with StreamReader() as reader:
        yield reader


async def parts_in_history(parley: Parley) -> list[dict[str, Any]]:
    """Return the parts of the newest answer, files with their bytes."""
    parts = (await parley.history(user="ann"))["messages"][-1]["parts"]
    return [await parley.opened(part) if part["type"] == "file" else part for part in parts]


def without_source_ids(parts: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return parts without the ids of sources, which are random."""
    return [{name: value for name, value in part.items() if name != "sourceId"} for part in parts]


def shown(city: str) -> list[dict[str, Any]]:
    """Return the parts that `weather` shows, but for the ids of sources."""
    return [
        {"type": "source-url", "url": URL, "title": "The weather"},
        {"type": "data-weather", "id": city, "data": {"city": city, "degrees": 21}},
        {"type": "data-remark", "data": ["mild"]},
        {
            "type": "source-document",
            "mediaType": "application/pdf",
            "title": "Almanac",
            "filename": "almanac.pdf",
        },
        {"type": "file", "mediaType": "image/png", "url": PNG_URL},
    ]


def called(city: str, name: str = "weather", **outcome: object) -> dict[str, Any]:
    """Return the part of a call."""
    state = "output-error" if "errorText" in outcome else "output-available"
    part = {"type": f"tool-{name}", "toolCallId": f"call_{city}", "state": state}
    return part | {"input": {"city": city}} | outcome


@pytest.mark.usefixtures("weather")
async def test_history_shows_what_a_tool_has_shown_in_the_step_of_its_call(
    parley: Parley, model: ScriptedModel
) -> None:
    model.replies = [asking("Oslo", "Rome"), DONE]

    await parley.send("How is the weather?", user="ann")

    assert without_source_ids(await parts_in_history(parley)) == [
        {"type": "step-start"},
        called("Oslo", output={"degrees": 21}),
        called("Rome", output={"degrees": 21}),
        *shown("Oslo"),
        *shown("Rome"),
        {"type": "step-start"},
        {"type": "text", "text": "Done", "state": "done"},
    ]


@pytest.mark.usefixtures("weather")
async def test_every_page_holds_what_a_tool_has_shown_as_history_does(
    parley: Parley, model: ScriptedModel, sdk: StreamReader
) -> None:
    model.replies = [asking("Oslo", "Rome"), DONE]
    live = await parley.send("How is the weather?", user="ann")
    again = await parley.send("How is the weather?", user="ann")
    resumed = await parley.get(path_of(), user="ann")

    [_, answer] = (await parley.history(user="ann"))["messages"]

    streams = [live.content, again.content, resumed.content]
    for results in (await anyio.to_thread.run_sync(sdk.read, streams, [answer])).values():
        for result in results:
            assert (result["error"], result["message"]["parts"]) == (None, answer["parts"])


@pytest.mark.usefixtures("weather")
async def test_the_model_is_told_the_result_of_a_tool_and_not_what_it_has_shown(
    parley: Parley, model: ScriptedModel
) -> None:
    model.replies = [asking("Oslo"), DONE]

    await parley.send("How is the weather?", user="ann")
    await parley.send("Thanks", message_id="message-2", user="ann")

    for request in model.requests[1:]:
        results = [each for each in check_provider_form(request) if each["role"] == "tool"]
        assert [json.loads(each["content"]) for each in results] == [{"degrees": 21}]
        assert URL not in json.dumps(request)


async def test_a_page_sees_the_newest_progress_of_a_call_and_history_only_its_result(
    parley: Parley, model: ScriptedModel, offer: Offer
) -> None:
    go = asyncio.Event()

    async def count(_city: City, context: ToolContext) -> object:
        """Count."""
        for number in range(1000):
            context.progress({"counted": number})
        await go.wait()
        return "counted"

    offer(count)
    model.replies = [asking("Oslo", name="count"), DONE]
    page = sending(parley.client, user="ann")

    await page.has('"counted":999')
    go.set()
    parts = [each for each in parts_of(await page.end()) if each["type"].startswith("tool-out")]

    states = [(each["output"], each.get("preliminary", False)) for each in parts]
    assert states[0] == ({"counted": 0}, True)
    assert states[-2:] == [({"counted": 999}, True), ("counted", False)]
    # As many as 10 in a second.
    assert len(states) == 3
    assert called("Oslo", "count", output="counted") in await parts_in_history(parley)


async def test_progress_that_waits_for_its_time_does_not_come_after_the_result(
    parley: Parley, model: ScriptedModel, offer: Offer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lib.answers._tools.context, "PROGRESS_SECONDS", 0.02)
    model.replies = [asking("Oslo", name="count"), Reply(pieces=("a", "b"), seconds_between=0.2)]

    async def count(_city: City, context: ToolContext) -> object:
        """Count."""
        for number in range(10):
            context.progress(number)
        return "counted"

    offer(count)

    parts = parts_of(await parley.send("Count", user="ann"))

    outputs = [each["output"] for each in parts if each["type"] == "tool-output-available"]
    assert outputs == [0, "counted"]


@pytest.mark.parametrize(
    "result",
    ["x" * 100_000, '"\n👩‍👧' * 20_000, [{"id": number, "é": "ü"} for number in range(9000)]],
    ids=["text", "quotes and emojis", "objects"],
)
async def test_a_result_that_is_too_long_is_cut_once_and_says_so_to_everyone(
    parley: Parley, model: ScriptedModel, offer: Offer, result: object
) -> None:
    async def read_all(_city: City, _context: ToolContext) -> object:
        """Read everything."""
        return result

    offer(read_all)
    model.replies = [asking("Oslo", name="read_all"), DONE]
    parts = parts_of(await parley.send("Read", user="ann"))
    await parley.send("Thanks", message_id="message-2", user="ann")
    history = (await parley.history(user="ann"))["messages"][1]

    [streamed] = [each["output"] for each in parts if each["type"] == "tool-output-available"]
    told = [each["content"] for request in model.requests[1:] for each in request["messages"]
            if each["role"] == "tool"]  # fmt: skip
    whole = (
        result
        if isinstance(result, str)
        else json.dumps(result, ensure_ascii=False, separators=(",", ":"))
    )
    beginning, _, note = streamed.rpartition("\n\n")
    assert whole.startswith(beginning)
    assert note == f"[Cut: the result has {len(whole)} characters. Ask for less.]"
    assert told == [json.dumps(streamed, ensure_ascii=False)] * 2
    assert MAX_OUTPUT_CHARS - 2 <= len(told[0]) <= MAX_OUTPUT_CHARS
    assert called("Oslo", "read_all", output=streamed) in history["parts"]


async def test_calls_of_one_step_run_at_the_same_time_where_their_tools_allow_it(
    parley: Parley, model: ScriptedModel, offer: Offer
) -> None:
    first, last = asyncio.Event(), asyncio.Event()

    async def look(city: City, _context: ToolContext) -> object:
        """Look, and end before the call that came first."""
        if city.city == "Oslo":
            first.set()
            await last.wait()
        else:
            await first.wait()
            last.set()
        return city.city

    offer(side_by_side=True)(look)
    model.replies = [asking("Oslo", "Rome", name="look"), DONE]

    async with asyncio.timeout(60):
        parts = parts_of(await parley.send("Look", user="ann"))

    outcomes = [each["toolCallId"] for each in parts if each["type"] == "tool-output-available"]
    assert outcomes == ["call_Rome", "call_Oslo"]
    history = await parts_in_history(parley)
    calls = [called(city, "look", output=city) for city in ("Oslo", "Rome")]
    assert history[:3] == [{"type": "step-start"}, *calls]
    told = [each["content"] for each in model.requests[1]["messages"] if each["role"] == "tool"]
    assert told == ['"Oslo"', '"Rome"']


async def test_two_calls_may_show_the_same_file_at_once(
    parley: Parley, model: ScriptedModel, offer: Offer, database: psycopg.Connection
) -> None:
    async def draw(_city: City, context: ToolContext) -> object:
        """Draw a map."""
        await context.file("image/png", PNG)
        return "drawn"

    offer(side_by_side=True)(draw)
    model.replies = [asking("Oslo", "Rome", name="draw"), DONE]

    await parley.send("Draw both", user="ann")

    kinds = [part["type"] for part in await parts_in_history(parley)]
    assert kinds.count("file") == 2
    assert [part.get("state") for part in (await parts_in_history(parley))[1:3]] == [
        "output-available", "output-available",
    ]  # fmt: skip
    assert database.execute("SELECT count(*) FROM chat_files").fetchall() == [(1,)]


async def test_a_call_waits_for_the_calls_before_it_unless_its_tool_says_otherwise(
    parley: Parley, model: ScriptedModel, offer: Offer
) -> None:
    log = list[str]()

    async def note(city: City) -> None:
        log.append(f"{city.city} begins")
        await asyncio.sleep(0.02)
        log.append(f"{city.city} ends")

    async def change(city: City, _context: ToolContext) -> object:
        """Change."""
        await note(city)

    async def look(city: City, _context: ToolContext) -> object:
        """Look."""
        await note(city)

    offer(change)
    offer(side_by_side=True)(look)
    names = ["change", "change", "look", "look", "change"]
    calls = [Called(name, {"city": str(number)}, f"c{number}") for number, name in enumerate(names)]
    model.replies = [calling(*calls), DONE]

    await parley.send("Change and look", user="ann")

    assert log[:4] == ["0 begins", "0 ends", "1 begins", "1 ends"]
    assert set(log[4:6]) == {"2 begins", "3 begins"}
    assert set(log[6:8]) == {"2 ends", "3 ends"}
    assert log[8:] == ["4 begins", "4 ends"]


async def test_a_stop_ends_all_calls_that_run_side_by_side(
    parley: Parley, model: ScriptedModel, offer: Offer
) -> None:
    ended = list[str]()

    async def look(city: City, context: ToolContext) -> object:
        """Look for a long time."""
        context.show("look", city.city)
        try:
            await asyncio.sleep(3600)
        finally:
            ended.append(city.city)

    offer(side_by_side=True)(look)
    model.replies = [asking("Oslo", "Rome", name="look")]
    page = sending(parley.client, user="ann")
    await page.has('"data":"Rome"')

    await parley.client.delete(path_of(), headers=parley.headers_of("ann", ""))
    await page.end()

    assert sorted(ended) == ["Oslo", "Rome"]
    history = await parts_in_history(parley)
    assert [each["state"] for each in history[1:3]] == ["output-error"] * 2
    assert all("It is not known" in each["errorText"] for each in history[1:3])
    assert [each["data"] for each in history[3:]] == ["Oslo", "Rome"]


@pytest.mark.usefixtures("weather")
async def test_a_retry_shows_what_the_tool_has_shown_that_it_does_not_run_again(
    parley: Parley, model: ScriptedModel
) -> None:
    model.replies = [asking("Oslo"), Reply(status=500), DONE]
    failed = await parley.send("How is the weather?", user="ann")
    assert '"type":"error"' in failed.text

    retried = await parley.send("How is the weather?", user="ann")

    assert text_of(retried) == "Done"
    assert without_source_ids(await parts_in_history(parley))[1:-2] == [
        called("Oslo", output={"degrees": 21}),
        *shown("Oslo"),
    ]


@pytest.mark.usefixtures("weather")
async def test_a_killed_answer_keeps_what_a_tool_has_shown_though_its_parts_were_not_stored(
    parley: Parley, model: ScriptedModel, database: psycopg.Connection, sdk: StreamReader
) -> None:
    model.replies = [asking("Oslo"), Reply(hangs_after=1)]
    page = sending(parley.client, user="ann")
    await page.has("Hello")
    await until_stored(database, "Hello")
    await until(lambda: _has_outcome(database))
    leave_behind(database)
    # As if the function had died before it stored them.
    database.execute("DELETE FROM stream_batches")

    resumed = await parley.get(path_of(), user="ann")

    [_, answer] = (await parley.history(user="ann"))["messages"]
    assert without_source_ids(await parts_in_history(parley))[1:] == [
        called("Oslo", output={"degrees": 21}),
        *shown("Oslo"),
    ]
    results = await anyio.to_thread.run_sync(sdk.read, [resumed.content], [answer])
    for [result] in results.values():
        assert result["message"]["parts"] == answer["parts"]
        assert result["message"]["id"] == answer["id"]
    await page.leave()


def _has_outcome(database: psycopg.Connection) -> bool:
    return database.execute("SELECT FROM tool_runs WHERE output IS NOT NULL").fetchone() is not None


@pytest.mark.parametrize(
    ("method", "arguments"),
    [
        ("show", ["conversation", 1]),
        ("show", ["Weather", 1]),
        ("show", ["weather", 1, ""]),
        ("show", ["weather", float("nan")]),
        ("show", ["weather", "x" * 40_000]),
        ("source", ["javascript:alert(1)"]),
        ("source", ["https://bank.example@evil.example/"]),
        ("source", ["https://"]),
        ("source", ["/page"]),
        ("source", [None]),
    ],
    ids=[
        "Parley's own data",
        "capitals",
        "an empty id",
        "no JSON",
        "too much",
        "a script",
        "a user that looks like a host",
        "no host",
        "a path",
        "nothing",
    ],
)
async def test_a_tool_that_shows_something_impossible_has_failed(
    parley: Parley,
    model: ScriptedModel,
    offer: Offer,
    caplog: pytest.LogCaptureFixture,
    method: str,
    arguments: list[Any],
) -> None:
    async def look(_city: City, context: ToolContext) -> object:
        """Look."""
        getattr(context, method)(*arguments)

    offer(look)
    model.replies = [asking("Oslo", name="look"), DONE]

    parts = parts_of(await parley.send("Look", user="ann"))

    assert [each["errorText"] for each in parts if each["type"] == "tool-output-error"] == [FAILED]
    assert [each["tool"] for each in events_of(caplog, "tool_failed")] == ["look"]
    assert not [each for each in parts if each["type"].startswith(("data-", "source-"))]


async def test_an_answer_has_no_more_shown_parts_than_its_bound_and_the_log_says_so(
    parley: Parley, model: ScriptedModel, offer: Offer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "parley")

    async def look(_city: City, context: ToolContext) -> object:
        """Look."""
        for number in range(2 * MAX_SHOWN_PARTS):
            context.show("number", number)
        return "looked"

    offer(look)
    model.replies = [asking("Oslo", "Rome", name="look"), DONE]

    parts = parts_of(await parley.send("Look", user="ann"))

    numbers = [each["data"] for each in parts if each["type"] == "data-number"]
    assert numbers == [*range(MAX_SHOWN_PARTS)]
    assert events_of(caplog, "tool_shows_too_much") == [
        {"event": "tool_shows_too_much", "tool": "look"}
    ]


async def test_a_tool_shows_nothing_after_its_call_has_ended(
    parley: Parley, model: ScriptedModel, offer: Offer
) -> None:
    contexts = list[ToolContext]()

    async def look(_city: City, context: ToolContext) -> object:
        """Look."""
        contexts.append(context)
        return "looked"

    offer(look)
    model.replies = [asking("Oslo", name="look"), DONE]
    await parley.send("Look", user="ann")

    with pytest.raises(RuntimeError, match="has ended"):
        contexts[0].show("late", 1)
    with pytest.raises(RuntimeError, match="has ended"):
        contexts[0].progress(1)
