"""Responses that read a stream: what is left of them when their reader has left."""

import asyncio
from typing import cast
from uuid import uuid4

import pytest
from starlette.types import Message

from lib.answer_streams import STALL_SECONDS, AnswerStream
from lib.streams import Stream


@pytest.mark.parametrize("stalls", [True, False])
async def test_a_reader_that_leaves_leaves_no_timer_behind(*, stalls: bool) -> None:
    stream = Stream()
    stream.add(b"data: {}\n\n")
    leaves = asyncio.Event()

    async def send(message: Message) -> None:
        if message["type"] == "http.response.body":
            leaves.set()
            if stalls:
                await asyncio.sleep(60)
            raise ConnectionResetError

    async def receive() -> Message:
        await leaves.wait()
        return {"type": "http.disconnect"}

    before = _timers_of_stalls()
    await AnswerStream(stream, uuid4())({"type": "http"}, receive, send)

    assert _timers_of_stalls() == before


def _timers_of_stalls() -> int:
    """Return how many timers of the event loop are to ring within the time of a stall."""
    loop = asyncio.get_running_loop()
    timers = cast("list[asyncio.TimerHandle]", vars(loop)["_scheduled"])
    latest = loop.time() + STALL_SECONDS
    return sum(not each.cancelled() and each.when() <= latest for each in timers)
