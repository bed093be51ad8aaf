"""The response that sends a stream to one reader."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import aclosing
from uuid import UUID

from starlette.types import Receive, Scope, Send

from lib.problems import TurnInProgress
from lib.runtime.timers import Alarm
from lib.streams import parts as ui_stream
from lib.streams.stream import Stream

# After this long without progress the reader counts as gone, though no disconnect was reported.
STALL_SECONDS = 15.0
STILL_RUNNING = "This answer is still being made. Reload to go on reading it."


class AnswerStream:
    """A response that sends a stream to its end, or until its reader leaves.

    A reader that leaves does no harm to the answer. Where this process makes the answer, the
    response returns only after the answer is stored, because the instance may freeze then.
    Starlette's `StreamingResponse` does not serve: it cancels its source when the reader leaves.
    """

    def __init__(
        self,
        stream: Stream,
        conversation_id: UUID,
        headers: Mapping[str, str] | None = None,
        *,
        position: int = 0,
        until: float | None = None,
        done: asyncio.Event | None = None,
    ) -> None:
        """Take a stream; from here on a failure is a part of the stream.

        Args:
            stream: the parts of the answer.
            conversation_id: the answer's conversation, for the headers.
            headers: further headers.
            position: number of the first part that the reader wants.
            until: when to end the response and ask the reader to come back, on the clock of
                `time.monotonic()`, in seconds; None: the stream ends in time.
            done: set when the instance may freeze; None: it may freeze at any time.
        """
        self._stream = stream
        self._headers = ui_stream.headers(conversation_id) | dict(headers or {})
        self._position = position
        self._until = until
        self._done = done

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the stream to one reader, and stay until the instance may freeze."""
        del scope
        reading = asyncio.create_task(self._send(send))
        leaving = asyncio.create_task(_wait_for_disconnect(receive))
        await asyncio.wait({reading, leaving}, return_when=asyncio.FIRST_COMPLETED)
        for task in (reading, leaving):
            task.cancel()
        await asyncio.wait({reading, leaving})
        if self._done is not None:
            await self._done.wait()

    async def _send(self, send: Send) -> None:
        task = asyncio.current_task()
        assert task is not None
        # Cancels this task when the reader stalls.
        stall = Alarm(task.cancel)

        async def send_body(body: bytes, *, more_body: bool = True) -> None:
            stall.set(STALL_SECONDS)
            await send({"type": "http.response.body", "body": body, "more_body": more_body})
            stall.unset()

        raw = [(name.encode(), value.encode()) for name, value in self._headers.items()]
        try:
            await send({"type": "http.response.start", "status": 200, "headers": raw})
            last_parts = await self._send_parts(send_body)
            await send_body(last_parts, more_body=False)
        finally:
            stall.close()

    async def _send_parts(self, send_body: Callable[[bytes], Awaitable[None]]) -> bytes:
        """Send the parts; return those that ask the reader to come back, if it must."""
        try:
            async with (
                asyncio.timeout_at(self._until),
                aclosing(self._stream.read(self._position)) as reading,
            ):
                async for parts in reading:
                    await send_body(parts)
        except TimeoutError:
            return ui_stream.error(TurnInProgress(STILL_RUNNING).detail) + ui_stream.DONE
        return b""


async def _wait_for_disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
