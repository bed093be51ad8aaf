"""Random answers of the running product: every reader holds the parts that history shows."""

import asyncio
import random
from collections.abc import Iterator
from typing import Any

import anyio.to_thread
import pytest
from pydantic import BaseModel

from lib.tools import ToolContext
from tests.chat.conftest import Offer, anywhere, elsewhere, offer
from tests.node.sdk import StreamReader, seen_by
from tests.support.model_server import Called, Reply, ScriptedModel, calling, chunk
from tests.support.product import Parley
from tests.support.reading import Reading, events_of, path_of, resuming, sending, until

CASES = 8
__all__ = ["anywhere", "elsewhere", "offer"]


class Place(BaseModel):
    """Arguments of the tool of these tests."""

    name: str


@pytest.fixture
def look_up(offer: Offer) -> None:
    """Offer a tool that shows all that a tool can show."""

    async def look_up(place: Place, context: ToolContext) -> object:
        """Look a place up."""
        context.progress({"looking for": place.name})
        context.source(f"https://example.com/{place.name}", title=place.name)
        context.show("place", {"name": place.name, "found": False}, id="place")
        await context.file("image/png", b"\x89PNG", "map.png")
        context.show("place", {"name": place.name, "found": True}, id="place")
        return {"found": place.name}

    offer(side_by_side=True)(look_up)


@pytest.fixture(scope="module")
def sdk() -> Iterator[StreamReader]:
    """Return a reader of all streams."""
    with StreamReader() as reader:
        yield reader


def step(chance: random.Random, number: int, *, is_last: bool) -> list[dict[str, Any]]:
    """Return the chunks of a random step of the model; each but the last calls tools."""
    chunks = list[dict[str, Any]]()
    for turn in range(chance.randint(1, 3)):
        thoughts = [f"thought {number}.{turn}.{each} " for each in range(chance.randint(0, 2))]
        words = [f"word {number}.{turn}.{each} " for each in range(chance.randint(0, 2))]
        chunks += [chunk({"reasoning_content": thought}) for thought in thoughts]
        chunks += [chunk({"content": word}) for word in words]
        if words and chance.random() < 0.5:
            cited = {"url": f"https://example.com/{number}", "start_index": 0, "end_index": 1}
            chunks.append(chunk({"annotations": [{"type": "url_citation", "url_citation": cited}]}))
    if is_last:
        return [
            *chunks,
            chunk({"content": "The end."}),
            chunk({}, chance.choice(["stop", "length"])),
        ]
    called = [
        Called(
            chance.choice(["look_up", "list_tasks", "unknown"]), {"name": f"p{each}"}, f"c{each}"
        )
        for each in range(chance.randint(1, 3))
    ]
    return [*chunks, *(calling(*called).chunks or [])]


async def assert_all_read_as_history(
    parley: Parley, sdk: StreamReader, streams: list[str]
) -> list[dict[str, Any]]:
    """Check that each version reads each stream to the newest answer of history; return it."""
    answer = (await parley.history(user="ann"))["messages"][-1]
    sent = [stream.encode() for stream in streams]
    for version, results in (await anyio.to_thread.run_sync(sdk.read, sent, [answer])).items():
        for place, result in enumerate(results):
            held = result["message"]
            assert held["parts"] == seen_by(version, answer["parts"]), (version, place)
            assert held["id"] == answer["id"], (version, place)
            # A stream that ends with `abort` or `error` has no metadata in its end.
            if '"type":"finish"' in streams[place]:
                assert held.get("metadata") == answer["metadata"], (version, place)
    return answer["parts"]


async def resumed_streams(parley: Parley, came: str) -> list[Reading]:
    """Begin to read a running answer from its first part, and from the first that is missing."""
    rest = f"?startIndex={len(events_of(came))}"
    return [resuming(parley.client, query, user="ann") for query in ("", rest)]


@pytest.mark.usefixtures("look_up", "anywhere")
@pytest.mark.parametrize("seed", range(CASES))
async def test_a_random_answer_has_the_same_parts_live_resumed_replayed_and_in_history(
    parley: Parley, model: ScriptedModel, sdk: StreamReader, seed: int
) -> None:
    chance, go = random.Random(seed), asyncio.Event()
    count = chance.randint(1, 3)
    scripts = [step(chance, each, is_last=each == count - 1) for each in range(count)]
    # It stands still in the middle of its last step.
    middle = len(scripts[-1]) - 1
    model.replies = [Reply(chunks=each) for each in scripts[:-1]]
    model.replies += [Reply(chunks=scripts[-1], until=go, pauses_after=middle)]
    live = sending(parley.client, user="ann")
    await live.has("The end.")
    came = live.came

    whole, rest = await resumed_streams(parley, came)
    await whole.has("The end.")
    go.set()
    streams = [(await each.end()).text for each in (live, whole, rest)]

    again = await parley.send("Hello!", user="ann")
    streams = [streams[0], streams[1], came + streams[2], again.text]
    parts = await assert_all_read_as_history(parley, sdk, streams)
    texts = [part["text"] for part in parts if part["type"] == "text"]
    assert texts[-1].endswith("The end.")


@pytest.mark.usefixtures("look_up", "anywhere")
@pytest.mark.parametrize("end", ["is stopped", "fails"])
@pytest.mark.parametrize("seed", range(CASES // 2))
async def test_a_random_answer_that_breaks_off_has_the_same_parts_live_resumed_and_in_history(
    parley: Parley, model: ScriptedModel, sdk: StreamReader, seed: int, end: str
) -> None:
    chance, go = random.Random(100 + seed), asyncio.Event()
    first, second = step(chance, 0, is_last=False), step(chance, 1, is_last=False)
    # In the middle of its second step, or before the first part of its third.
    broken_at = chance.randint(0, len(second) - 2) if chance.random() < 0.7 else None
    model.replies = [Reply(chunks=first)]
    if broken_at is None:
        model.replies += [Reply(chunks=second), Reply(until=go, chunks=[{"error": {}}])]
    else:
        error = [*second[:broken_at], {"error": {"message": "It broke."}}]
        model.replies += [Reply(chunks=error, until=go, pauses_after=broken_at)]
    live = sending(parley.client, user="ann")
    requests = 3 if broken_at is None else 2
    await until(lambda: len(model.requests) == requests)
    await live.has('"c0"')
    whole, rest = await resumed_streams(parley, came := live.came)

    if end == "is stopped":
        # Nobody can join a stopped answer.
        await asyncio.gather(whole.begins(), rest.begins())
        await parley.client.delete(path_of(), headers=parley.headers_of("ann", ""))
    go.set()
    streams = [(await each.end()).text for each in (live, whole, rest)]

    assert ('"type":"abort"' in streams[0]) == (end == "is stopped")
    streams[2] = came + streams[2]
    await assert_all_read_as_history(parley, sdk, streams)
