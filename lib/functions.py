"""The ASGI app that a file of `api/` becomes: a Vercel Function with a handler for each method.

Methods, CORS, problem details and Server-Timing have their one place here. It is plain ASGI and not
Starlette's application, because one URL needs no router and nothing may stand between a stream and
its reader: `BaseHTTPMiddleware` would cancel an answer when its reader leaves.
"""

import gc
from collections.abc import Awaitable, Callable

from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lib.http.responses import problem_response
from lib.operations.counters import storing
from lib.problems import MethodNotAllowed, Problem
from lib.runtime.counting import note_request
from lib.runtime.log import log, log_request
from lib.runtime.shutdown import shut_down
from lib.runtime.trace import Trace, begin_trace, trace
from lib.settings import settings

type Handler = Callable[[Request], Awaitable[ASGIApp]]
EXPOSED_HEADERS = (
    "x-conversation-id",
    "x-conversation-key",
    "x-next-cursor",
    "idempotent-replayed",
    "retry-after",
    "server-timing",
    "x-workflow-run-id",
    "x-workflow-stream-tail-index",
    "ratelimit",
    "ratelimit-policy",
    "ratelimit-limit",
    "ratelimit-remaining",
    "ratelimit-reset",
)


def function(**handlers: Handler) -> ASGIApp:
    """Make the `app` of one file of `api/`.

    Args:
        handlers: by method (GET, POST, …). A handler takes the request and returns the response, or
            raises a `Problem`.

    Raises:
        SettingsError: when the environment is not valid; the function must not start then.
    """
    _tune_garbage_collection()
    return Function(handlers, settings().allowed_origin, _name_of(handlers))


def _tune_garbage_collection() -> None:
    """Search for cycles rarely, and never among the modules, which are all imported by now.

    Modules and streams consist of many objects and hardly any cycles. With Python's own thresholds
    the search took an eighth of the processor time of 400 streams, and each full one, of 240,000
    objects, stopped all of them for 145 ms. Modules that are imported late are exempted as well
    (lib/runtime/imports.py).
    """
    gc.set_threshold(50_000, 20, 50)
    gc.freeze()


def _name_of(handlers: dict[str, Handler]) -> str:
    """Return a function's name in logs and metrics: its file without the suffix."""
    # The module is called api.history by Vercel's runtime, and api/history.py by `make dev`.
    module = next(iter(handlers.values())).__module__
    return module.removesuffix(".py").replace(".", "/")


def _subdomains(origins: tuple[str, ...]) -> str | None:
    """Return one pattern for all origins with a `*`, which matches one label of a host name."""
    patterns = [
        origin.replace(".", r"\.").replace("*", "[A-Za-z0-9-]+")
        for origin in origins
        if "*" in origin
    ]
    return "|".join(patterns) or None


class ResponseCutError(Exception):
    """The response broke off after its beginning; the log has the reason.

    It stands in for that reason because the server logs what an app raises, with its whole text.
    """


class Function:
    """The ASGI app of one file of `api/`; it calls the handler for a request's method.

    Attributes:
        methods: the methods with a handler.
    """

    def __init__(self, handlers: dict[str, Handler], origins: tuple[str, ...], name: str) -> None:
        """Take the handlers by method (GET's answers HEAD too), the allowed origins, and a name."""
        self._handlers = handlers
        self._name = name
        self.methods = tuple(handlers)
        self._allow = ", ".join([*handlers, *(["HEAD"] if "GET" in handlers else []), "OPTIONS"])
        self._cors = CORSMiddleware(
            self._respond,
            allow_origins=[origin for origin in origins if "*" not in origin],
            allow_origin_regex=_subdomains(origins),
            allow_methods=[*handlers],
            allow_headers=["authorization", "content-type", "accept", "x-conversation-key"],
            expose_headers=EXPOSED_HEADERS,
            max_age=86_400,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or the server's start and end."""
        if scope["type"] == "lifespan":
            await _live(receive, send)
        elif scope["type"] == "http":
            request = begin_trace(self._name, scope)
            try:
                await self._cors(scope, receive, _timed(send, request))
            except Exception as error:  # noqa: BLE001 (the log has it)
                log("unexpected_error", error=error)
                raise ResponseCutError from None
            finally:
                note_request()
                log_request(request)
            await storing().after_request()

    async def _respond(self, scope: Scope, receive: Receive, send: Send) -> None:
        response = await self._answer(Request(scope, receive))
        await response(scope, receive, send)

    async def _answer(self, request: Request) -> ASGIApp:
        method = "GET" if request.method == "HEAD" else request.method
        try:
            if method == "OPTIONS":
                return Response(status_code=204, headers={"allow": self._allow})
            return await self._handler(method)(request)
        except Problem as problem:
            trace().code = problem.code
            if problem.status.is_server_error and not problem.is_logged:
                log("problem", error=problem, code=problem.code)
            return problem_response(problem)
        except Exception as error:  # noqa: BLE001 (the last resort: a client always gets a response)
            trace().code = Problem.code
            log("unexpected_error", error=error)
            return problem_response(Problem())

    def _handler(self, method: str) -> Handler:
        if method not in self._handlers:
            raise MethodNotAllowed(headers={"allow": self._allow})
        return self._handlers[method]


async def _live(receive: Receive, send: Send) -> None:
    """Answer the lifespan protocol; at its end, end the process's work and connections."""
    while True:
        message = await receive()
        if message["type"] == "lifespan.startup":
            await send({"type": "lifespan.startup.complete"})
        elif message["type"] == "lifespan.shutdown":
            await shut_down()
            await send({"type": "lifespan.shutdown.complete"})
            return


def _timed(send: Send, request: Trace) -> Send:
    """Note the start of a response, and add Server-Timing to its headers."""

    async def timed(message: Message) -> None:
        if message["type"] == "http.response.start":
            request.begin_response(message["status"])
            timing = (b"server-timing", request.server_timing().encode())
            message["headers"] = [*message["headers"], timing]
        await send(message)

    return timed
