"""The ASGI app that a file of `api/` becomes: a Vercel Function with a handler for each method.

Methods, CORS, problem details and Server-Timing have their one place here. It is plain ASGI and not
Starlette's application, because one URL needs no router and nothing may stand between a stream and
its reader: `BaseHTTPMiddleware` would cancel an answer when its reader leaves.
"""

import gc
from collections.abc import Awaitable, Callable
from typing import override

from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lib.http.responses import problem_response
from lib.operations.counters import storing
from lib.origins import pattern_of
from lib.problems import MethodNotAllowed, Problem
from lib.runtime.counting import note_request
from lib.runtime.log import log, log_request
from lib.runtime.shutdown import shut_down
from lib.runtime.trace import Trace, begin_trace, trace
from lib.settings import settings

type Handler = Callable[[Request], Awaitable[ASGIApp]]
REQUEST_HEADERS = ("authorization", "content-type", "accept", "x-conversation-key")
# What tools that watch a page's requests add to each of them by default: the W3C's Trace Context
# and Baggage, Sentry, Zipkin, Datadog, New Relic, Elastic, Jaeger, Azure, AWS and Google Cloud; and
# ids of requests. Parley does not read them.
TRACING_HEADERS = (
    *("traceparent", "tracestate", "baggage", "sentry-trace", "b3"),
    *("x-b3-traceid", "x-b3-spanid", "x-b3-parentspanid", "x-b3-sampled", "x-b3-flags"),
    *("x-datadog-trace-id", "x-datadog-parent-id", "x-datadog-origin"),
    *("x-datadog-sampling-priority", "x-datadog-tags", "newrelic", "elastic-apm-traceparent"),
    *("uber-trace-id", "request-id", "request-context", "x-amzn-trace-id"),
    *("x-cloud-trace-context", "x-request-id", "x-correlation-id", "x-requested-with"),
)
ORIGIN_REFUSED = "ALLOWED_ORIGIN of this deployment does not have the origin of this page."
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
    chosen = settings()
    return Function(handlers, _name_of(handlers), chosen.allowed_origin, chosen.allowed_headers)


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


class Cors(CORSMiddleware):
    """Answers preflights, and tells browsers which pages may read a response.

    Starlette's own answer to a preflight is a 400 if one header is not allowed. The browser then
    tells the page's author that there is no answer; from a list it can tell which header it misses.
    """

    @override
    def preflight_response(self, request_headers: Headers) -> Response:
        """Answer a preflight: with the lists of methods and headers, which the browser compares."""
        headers = dict(self.preflight_headers)
        origin = request_headers["origin"]
        if not self.is_allowed_origin(origin):
            return PlainTextResponse(ORIGIN_REFUSED, status_code=400, headers=headers)
        return Response(status_code=204, headers=headers | {"Access-Control-Allow-Origin": origin})


class ResponseCutError(Exception):
    """The response broke off after its beginning; the log has the reason.

    It stands in for that reason because the server logs what an app raises, with its whole text.
    """


class Function:
    """The ASGI app of one file of `api/`; it calls the handler for a request's method.

    Attributes:
        methods: the methods with a handler.
    """

    def __init__(
        self,
        handlers: dict[str, Handler],
        name: str,
        origins: tuple[str, ...],
        headers: tuple[str, ...],
    ) -> None:
        """Take the parts of a function.

        Args:
            handlers: by method; GET's answers HEAD too.
            name: the function's name in logs and metrics.
            origins: of the pages that may call; see `lib.origins`.
            headers: further headers that these pages may send.
        """
        self._handlers = handlers
        self._name = name
        self.methods = tuple(handlers)
        self._allow = ", ".join([*handlers, *(["HEAD"] if "GET" in handlers else []), "OPTIONS"])
        self._cors = Cors(
            self._respond,
            allow_origins=[origin for origin in origins if "*" not in origin],
            allow_origin_regex=pattern_of(origins),
            allow_methods=[*handlers],
            allow_headers=[*REQUEST_HEADERS, *TRACING_HEADERS, *headers],
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
