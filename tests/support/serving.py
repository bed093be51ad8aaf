"""ASGI apps served over real HTTP, in the event loop of the tests."""

import asyncio
import socket
from collections.abc import AsyncGenerator, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import uvicorn
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dev.server import KEEP_ALIVE_SECONDS


class Switchboard:
    """An app that passes requests on to another one, so that one server serves all tests.

    To start and end a server takes uvicorn half a second, a test most often less.

    Attributes:
        base_url: where it is served; set by who serves it.
        app: who gets the requests now.
    """

    def __init__(self) -> None:
        """Begin with nobody there."""
        self.base_url = ""
        self.app: ASGIApp | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass one request on."""
        if scope["type"] == "http":
            assert self.app is not None
            await self.app(scope, receive, send)

    @asynccontextmanager
    async def connected(self, app: ASGIApp) -> AsyncGenerator[str]:
        """Start an app as a server would, pass all requests on to it, and end it."""
        async with _lifespan(app):
            self.app = app
            yield self.base_url
            self.app = None


@asynccontextmanager
async def serve(app: ASGIApp) -> AsyncGenerator[str]:
    """Serve an app with uvicorn, as Vercel's runtime does, on a free port; yield its base URL."""
    # With its protocol named: asyncio sets TCP_NODELAY for such sockets alone, and without it each
    # request on a kept connection takes 44 ms longer.
    with socket.socket(proto=socket.IPPROTO_TCP) as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(2048)
        config = uvicorn.Config(app, log_config=None, access_log=False)
        config.timeout_graceful_shutdown = 2
        config.timeout_keep_alive = KEEP_ALIVE_SECONDS
        server = uvicorn.Server(config)
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        while not server.started:
            await asyncio.wait({serving}, timeout=0.005)  # uvicorn offers no event
            if serving.done():
                await serving
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            await serving


@asynccontextmanager
async def _lifespan(app: ASGIApp) -> AsyncGenerator[None]:
    """Take an app through the ASGI lifespan protocol."""
    to_app: asyncio.Queue[Message] = asyncio.Queue()
    from_app: asyncio.Queue[Message] = asyncio.Queue()
    living = asyncio.ensure_future(app({"type": "lifespan"}, to_app.get, from_app.put))
    await to_app.put({"type": "lifespan.startup"})
    assert (await from_app.get())["type"] == "lifespan.startup.complete"
    yield
    await to_app.put({"type": "lifespan.shutdown"})
    assert (await from_app.get())["type"] == "lifespan.shutdown.complete"
    await living


async def answer_while_present(answer: Coroutine[Any, Any, None], receive: Receive) -> bool:
    """Run the answer to one request until it is complete or its client leaves.

    Returns:
        Whether the answer is complete.
    """
    answering = asyncio.create_task(answer)
    leaving = asyncio.create_task(_wait_for_disconnect(receive))
    await asyncio.wait({answering, leaving}, return_when=asyncio.FIRST_COMPLETED)
    leaving.cancel()
    answering.cancel()
    await asyncio.wait({answering})
    if answering.cancelled():
        return False
    answering.result()
    return True


async def _wait_for_disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
