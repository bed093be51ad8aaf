"""Routes requests as Vercel does: functions, then `public/`, with the headers of vercel.json."""

import json
import re
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, override

import uvicorn
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.middleware.exceptions import ExceptionMiddleware
from starlette.responses import PlainTextResponse, Response
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.lifespan.on import LifespanOn

from dev.functions import Function, explain, load_functions
from dev.terminal import tell

NOT_LOADED = "This function could not be loaded; the terminal says why.\n"
FAILED = "This function failed; the terminal says why.\n"


def application(root: Path) -> ASGIApp:
    """Return a checkout's functions and its `public/` as one ASGI app.

    The functions are imported here, so the environment must be complete. They share one process,
    and so one `lib`, which they do not on Vercel.
    """
    public = Public(directory=root / "public", html=True, check_dir=False)
    return Application(load_functions(root), ExceptionMiddleware(public), _read_headers(root))


@dataclass(frozen=True, slots=True)
class HeaderRule:
    """Headers that vercel.json adds to the paths that match."""

    source: re.Pattern[str]
    headers: dict[str, str]


class Application:
    """The router."""

    def __init__(
        self, functions: list[Function], public: ASGIApp, header_rules: list[HeaderRule]
    ) -> None:
        """Take the functions, those with fixed URLs first, and the app for all other paths."""
        self._functions = functions
        self._public = public
        self._header_rules = header_rules

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or start and end all functions."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif scope["type"] == "http":
            await self._answer(scope, receive, self._with_headers(scope["path"], send))

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        for function in self._functions:
            added = function.match(scope.get("raw_path") or scope["path"].encode())
            if added is not None:
                query = b"&".join(filter(None, (scope["query_string"], added)))
                await _call(function, {**scope, "query_string": query}, receive, send)
                return
        await self._public(scope, receive, send)

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        async with AsyncExitStack() as stack:
            for function in self._functions:
                if function.app:
                    await stack.enter_async_context(_running(function.app))
            await send({"type": "lifespan.startup.complete"})
            await receive()
        await send({"type": "lifespan.shutdown.complete"})

    def _with_headers(self, path: str, send: Send) -> Send:
        """Add the headers of vercel.json to a response, but leave those that it has."""

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for rule in self._header_rules:
                    if rule.source.fullmatch(path):
                        for name, value in rule.headers.items():
                            headers.setdefault(name, value)
            await send(message)

        return sending


class Public(StaticFiles):
    """The files of `public/`."""

    @override
    async def get_response(self, path: str, scope: Scope) -> Response:
        """Answer 404 for a missing file with every method; Starlette would answer 405."""
        if scope["method"] not in {"GET", "HEAD"} and not self.lookup_path(path)[1]:
            raise HTTPException(404)
        return await super().get_response(path, scope)


async def _call(function: Function, scope: Scope, receive: Receive, send: Send) -> None:
    """Let a function answer; a broken one answers 500, and the others work."""
    if not function.app:
        await PlainTextResponse(NOT_LOADED, 500)(scope, receive, send)
        return
    started = False

    async def sending(message: Message) -> None:
        nonlocal started
        started = True
        await send(message)

    try:
        await function.app(scope, receive, sending)
    except Exception as error:  # noqa: BLE001 (as the platform does)
        tell(f"{function.file} failed.\n{explain(error)}")
        if not started:
            await PlainTextResponse(FAILED, 500)(scope, receive, send)


@asynccontextmanager
async def _running(app: ASGIApp) -> AsyncGenerator[None]:
    """Start and end an app as the platform's uvicorn does, also one without a lifespan."""
    config = uvicorn.Config(app, lifespan="auto", log_config=None)
    config.load()
    lifespan = LifespanOn(config)
    await lifespan.startup()
    try:
        yield
    finally:
        await lifespan.shutdown()


def _read_headers(root: Path) -> list[HeaderRule]:
    """Read `headers` of vercel.json; rules with conditions (`has`, `missing`) are left out."""
    file = root / "vercel.json"
    if not file.exists():
        return []
    try:
        content: dict[str, Any] = json.loads(file.read_text())
    except ValueError as error:
        tell(f"vercel.json is not valid JSON, so its headers are missing: {error}")
        return []
    return [
        HeaderRule(
            _pattern(rule["source"]), {each["key"]: each["value"] for each in rule["headers"]}
        )
        for rule in content.get("headers", [])
        if not {"has", "missing"} & set(rule)
    ]


def _pattern(source: str) -> re.Pattern[str]:
    """Translate a `source`: a regular expression but for `:name` and `:name*`."""
    pattern = re.sub(r"(?<!\?):\w+(\*?)", lambda m: ".*" if m[1] else "[^/]+", source)
    # In the path as Vercel compares it, a line break is %0A, a character like any other.
    return re.compile(pattern, re.DOTALL)
