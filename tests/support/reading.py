"""Streams that are read in the background, as far as they have come."""

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import httpx2
import psycopg
import pytest

from tests.support.product import CHAT_ID, headers_of, sdk_body

KEEP_ALIVE = ": keep-alive\n\n"


class Reading:
    """A response that is being read.

    Attributes:
        came: what has come of its body, comment lines apart.
    """

    def __init__(self, client: httpx2.AsyncClient, method: str, url: str, **request: Any) -> None:
        """Begin to read."""
        self.came = ""
        self._response: httpx2.Response | None = None
        self._reading = asyncio.create_task(self._read(client, method, url, request))

    async def has(self, text: str) -> None:
        """Wait until something has come."""
        await until(lambda: text in self.came or self._reading.done())
        assert text in self.came, self.came

    async def begins(self) -> None:
        """Wait until its headers have come."""
        await until(lambda: self._response is not None)

    async def end(self) -> httpx2.Response:
        """Wait for the end, be it a cut connection; return the response, comment lines apart."""
        await self._reading
        assert self._response is not None
        headers = {name: value for name, value in self._response.headers.items() if "-" in name}
        return httpx2.Response(
            self._response.status_code,
            headers=headers | {"content-type": self._response.headers.get("content-type", "")},
            text=self.came,
        )

    async def leave(self) -> None:
        """Read no further."""
        self._reading.cancel()
        await asyncio.wait({self._reading})

    async def _read(
        self, client: httpx2.AsyncClient, method: str, url: str, request: dict[str, Any]
    ) -> None:
        with contextlib.suppress(httpx2.RemoteProtocolError, httpx2.ReadError):
            async with client.stream(method, url, **request) as response:
                self._response = response
                async for text in response.aiter_text():
                    self.came = (self.came + text).replace(KEEP_ALIVE, "")


def sending(
    client: httpx2.AsyncClient,
    text: str = "Hello!",
    *,
    base_url: str = "",
    chat_id: str = CHAT_ID,
    message_id: str = "message-1",
    user: str | None = None,
    headers: dict[str, str] | None = None,
) -> Reading:
    """Say something as `useChat` does, and read on in the background."""
    body = sdk_body(text, chat_id=chat_id, message_id=message_id)
    sent = headers_of(user) | (headers or {})
    return Reading(client, "POST", f"{base_url}/api/chat", json=body, headers=sent)


def resuming(
    client: httpx2.AsyncClient,
    query: str = "",
    *,
    base_url: str = "",
    chat_id: str = CHAT_ID,
    user: str | None = None,
    headers: dict[str, str] | None = None,
) -> Reading:
    """Come back to an answer, and read on in the background."""
    sent = headers_of(user) | (headers or {})
    return Reading(client, "GET", base_url + path_of(chat_id) + query, headers=sent)


def path_of(chat_id: str = CHAT_ID) -> str:
    """Return the path of a conversation's stream."""
    return f"/api/chat/{quote(chat_id, safe='')}/stream"


def events_of(text: str) -> list[str]:
    """Return the events of a stream, comment lines apart, `[DONE]` among them."""
    return [f"{event}\n\n" for event in text.replace(KEEP_ALIVE, "").split("\n\n")[:-1]]


async def until(condition: Callable[[], bool], timeout_seconds: float = 180) -> None:
    """Wait until a condition holds.

    Raises:
        TimeoutError: it did not hold in time, which is ample on a machine with a load of 16.
    """
    async with asyncio.timeout(timeout_seconds):
        while not condition():  # noqa: ASYNC110 (there is no event)
            await asyncio.sleep(0.01)


async def reached(event: asyncio.Event, task: asyncio.Task[Any]) -> None:
    """Wait for an event that a task leads to; when the task fails first, raise its error."""
    waiting = asyncio.create_task(event.wait())
    try:
        await asyncio.wait({waiting, task}, return_when=asyncio.FIRST_COMPLETED)
        if not event.is_set():
            pytest.fail(f"the task ended before the event: {await task}")
    finally:
        waiting.cancel()


async def until_stored(database: psycopg.Connection, text: str) -> None:
    """Wait until something that is said is stored in a batch."""

    def is_stored() -> bool:
        found = database.execute(
            "SELECT FROM stream_batches WHERE strpos(parts, %s) > 0 LIMIT 1", [text]
        )
        return found.fetchone() is not None

    await until(is_stored)
