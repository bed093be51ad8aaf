"""The response that sends a stream leaves no task behind when its reader leaves."""

import asyncio
import gc
import weakref
from typing import Any
from uuid import uuid4

import pytest
from starlette.types import Message

from lib.streams.response import AnswerStream
from lib.streams.stream import Stream


@pytest.mark.parametrize("stalls", [True, False])
async def test_a_reader_that_leaves_leaves_no_task_behind(*, stalls: bool) -> None:
    stream = Stream()
    stream.add(b"data: {}\n\n")
    leaves = asyncio.Event()
    tasks: list[weakref.ref[asyncio.Task[Any]]] = []

    async def send(message: Message) -> None:
        if message["type"] == "http.response.body":
            task = asyncio.current_task()
            assert task is not None
            tasks.append(weakref.ref(task))
            leaves.set()
            if stalls:
                await asyncio.sleep(60)
            raise ConnectionResetError

    async def receive() -> Message:
        await leaves.wait()
        return {"type": "http.disconnect"}

    await AnswerStream(stream, uuid4())({"type": "http"}, receive, send)

    gc.collect()
    # A timer that is still set would hold the task, to cancel it.
    assert [task() for task in tasks] == [None]
