"""HTTP to the provider: aiohttp beneath the package `openai`.

`openai.DefaultAioHttpClient` does the same, but not safely (openai 3.54.0, aiohttp 3.14.5): bytes
that arrive on an idle connection become the answer to the next request, a refused connection counts
as a time-out, and a server that never reads its request holds it for ever.
`tests/chat/test_model_connections.py` has a test for each.
"""

import asyncio
import os
import select
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Generator
from contextlib import contextmanager
from functools import cached_property, lru_cache
from io import BytesIO
from typing import TYPE_CHECKING, Any, override
from weakref import WeakSet

import aiohttp
import httpx2
import yarl
from aiohttp.http_exceptions import HttpProcessingError

if TYPE_CHECKING:
    from aiohttp.client_proto import ResponseHandler
    from aiohttp.connector import Connection
    from aiohttp.tracing import Trace

# Servers (uvicorn, Node, llama.cpp) close an idle connection after 5 s, which would lose a request
# that is on its way at that moment.
IDLE_SECONDS = 3.0
# A connection attempt that takes longer is joined by one to the host's next address (RFC 8305).
NEXT_ADDRESS_SECONDS = 0.25
MAX_HEADER_BYTES = 100 * 1024
# The extension of a response that holds its `ResponseBody`.
BODY = "parley_body"


class ModelHTTPClient(httpx2.AsyncClient):
    """An HTTP client for the package `openai`, with the proxies of the environment.

    httpx2 reads HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY, and makes its transports in these
    two methods, which `openai.DefaultAioHttpClient` overrides as well. A `transport` passed to the
    constructor would turn proxies off.
    """

    @override
    def _init_transport(self, *_args: Any, **_options: Any) -> httpx2.AsyncBaseTransport:
        return ModelTransport()

    @override
    def _init_proxy_transport(
        self, proxy: httpx2.Proxy, *_args: Any, **_options: Any
    ) -> httpx2.AsyncBaseTransport:
        return ModelTransport(proxy)

    @override
    def build_request(
        self,
        method: str,
        url: httpx2.URL | str,
        *,
        headers: Any = (),
        timeout: Any = None,
        **content: Any,
    ) -> httpx2.Request:
        """Build a request as httpx2 does for the package, which passes its headers as a list.

        httpx2 parses the URL three times, and merges the headers one by one, which takes a fifth of
        the processor's time of a request.
        """
        names = {name.lower() for name, _ in headers}
        own = [each for each in self._own_headers if each[0] not in names]
        return httpx2.Request(
            method,
            _parsed(str(url)),
            headers=[*own, *headers],
            extensions={"timeout": httpx2.Timeout(timeout).as_dict()},
            **content,
        )

    @cached_property
    def _own_headers(self) -> list[tuple[str, str]]:
        """Return the headers of httpx2, such as Accept-Encoding, with names in small letters."""
        return self.headers.multi_items()

    @override
    def _redirect_url(self, request: httpx2.Request, response: httpx2.Response) -> httpx2.URL:
        """Follow a redirect within the host, but not from https to http.

        The body of a 307 or 308 goes along, and with it the conversation; httpx2 leaves out no
        header but Authorization, so Azure's `api-key` would go along as well.
        """
        url = super()._redirect_url(request, response)
        if url.host != request.url.host or url.scheme not in {request.url.scheme, "https"}:
            message = "the provider redirects to another host, or from https to http"
            raise httpx2.RemoteProtocolError(message, request=request)
        return url


class ModelTransport(httpx2.AsyncBaseTransport):
    """Sends the requests of an `httpx2.AsyncClient` by aiohttp."""

    def __init__(self, proxy: httpx2.Proxy | None = None) -> None:
        """Take the proxy to connect through; None: connect directly."""
        self._proxy = proxy
        self._session: aiohttp.ClientSession | None = None

    @override
    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send a request, and wait for the head of its response.

        The head must arrive within the connect and the read time-out together, because aiohttp has
        no time-out for sending.

        Raises:
            httpx2.TimeoutException: when there is no connection, or no head, in time.
            httpx2.TransportError: when there is no connection, or it is lost, or the response is
                not HTTP.
        """
        if self._proxy is not None and self._proxy.url.scheme not in {"http", "https"}:
            message = f"a proxy must be http or https, not {self._proxy.url.scheme}"
            raise httpx2.UnsupportedProtocol(message)
        limits: dict[str, float | None] = request.extensions.get("timeout", {})
        connect_seconds, read_seconds = limits.get("connect"), limits.get("read")
        seconds = connect_seconds and read_seconds and connect_seconds + read_seconds
        # As a file, because aiohttp sends bytes all at once, and warns above 1 MiB.
        content = BytesIO(await request.aread())
        with _transport_errors():
            async with asyncio.timeout(seconds):
                response = await self._opened_session().request(
                    request.method,
                    _url_of(str(request.url)),
                    headers=self._headers_of(request),
                    data=content,
                    allow_redirects=False,
                    timeout=aiohttp.ClientTimeout(connect=connect_seconds, sock_read=read_seconds),
                    **self._route_to(request.url),
                )
        body = ResponseBody(response)
        return httpx2.Response(
            response.status, headers=response.raw_headers, stream=body, extensions={BODY: body}
        )

    @override
    async def aclose(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()

    def _opened_session(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=ModelConnector(),
                # httpx2 handles cookies and compression.
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                max_line_size=MAX_HEADER_BYTES,
                max_field_size=MAX_HEADER_BYTES,
            )
        return self._session

    @cached_property
    def _authorities(self) -> ssl.SSLContext | bool:
        """Return the authorities that sign certificates; True: those that aiohttp's import loaded.

        Loading a system's file of authorities takes 32 ms, here on the event loop. So httpx2 loads
        them only where aiohttp's do not fit: SSL_CERT_FILE or SSL_CERT_DIR replaces them, or
        OpenSSL does not know their file and httpx2 may, as in a Python built for another system.
        """
        is_replaced = os.environ.keys() & {"SSL_CERT_FILE", "SSL_CERT_DIR"}
        if ssl.get_default_verify_paths().cafile and not is_replaced:
            return True
        return httpx2.create_ssl_context()

    def _headers_of(self, request: httpx2.Request) -> list[tuple[str, str]]:
        headers = request.headers.multi_items()
        if request.url.scheme == "http":
            # An https request goes through a tunnel, which has headers of its own.
            headers += self._proxy_headers().items()
        return headers

    def _route_to(self, url: httpx2.URL) -> dict[str, Any]:
        """Return aiohttp's options for TLS and for the proxy."""
        schemes = {url.scheme, self._proxy and self._proxy.url.scheme}
        route: dict[str, Any] = {"ssl": self._authorities} if "https" in schemes else {}
        if self._proxy is not None:
            route |= {"proxy": str(self._proxy.url), "proxy_headers": self._proxy_headers()}
        return route

    def _proxy_headers(self) -> dict[str, str]:
        if self._proxy is None or self._proxy.auth is None:
            return {}
        credentials = aiohttp.encode_basic_auth(*self._proxy.auth, encoding="utf-8")
        return {"proxy-authorization": credentials}


class ModelConnector(aiohttp.TCPConnector):
    """Opens connections, and keeps idle ones for the next request."""

    def __init__(self) -> None:
        """Set no limit to the number of connections, because each turn has one."""
        super().__init__(  # pyright: ignore[reportUnknownMemberType] (of `socket_factory`)
            limit=0,
            keepalive_timeout=IDLE_SECONDS,
            happy_eyeballs_delay=NEXT_ADDRESS_SECONDS,
        )
        self._used: WeakSet[ResponseHandler] = WeakSet()

    @override
    async def connect(
        self, req: aiohttp.ClientRequest, traces: list["Trace"], timeout: aiohttp.ClientTimeout
    ) -> "Connection":
        """Return a new connection, or an idle one on which nothing has arrived.

        aiohttp reuses any idle connection whose end the event loop has not seen. Bytes on it would
        become the answer to the next request, another user's; an end would fail that request.
        """
        while True:
            connection = await super().connect(req, traces, timeout)
            protocol = connection.protocol
            assert protocol is not None
            if protocol not in self._used:
                self._used.add(protocol)
                return connection
            if not protocol.should_close and not _is_readable(connection):
                return connection
            connection.close()


class ResponseBody(httpx2.AsyncByteStream):
    """The body of a response, as the connection receives it."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        """Take a response whose head has arrived."""
        self._response = response

    @override
    async def __aiter__(self) -> AsyncGenerator[bytes]:
        """Yield bytes as they arrive.

        Raises:
            httpx2.TimeoutException: when nothing arrives within the read time-out.
            httpx2.TransportError: when the connection is lost, or the body is not HTTP.
        """
        read = self._response.content.readany
        with _transport_errors():
            while received := await read():
                yield received

    @override
    async def aclose(self) -> None:
        """Close the connection at once, unless the response has ended and returned it.

        An orderly close would wait until the server has read all of the request.
        """
        if (connection := self._response.connection) is not None and connection.transport:
            connection.transport.abort()
        self._response.close()


# A process sends to one or two endpoints; each redirect adds a URL.
@lru_cache(maxsize=16)
def _parsed(url: str) -> httpx2.URL:
    return httpx2.URL(url)


@lru_cache(maxsize=16)
def _url_of(url: str) -> yarl.URL:
    """Return the URL as httpx2 sends it: its characters unchanged.

    Without credentials, which httpx2 has put into a header: aiohttp refuses both together.
    """
    return yarl.URL(str(_parsed(url).copy_with(userinfo=b"")), encoded=True)


def body_of(response: httpx2.Response) -> AsyncIterator[bytes]:
    """Return the body of a response as it arrives.

    A body without compression skips the four generators of httpx2, which take 5% of a streamed
    token's processor time.
    """
    body: ResponseBody | None = response.extensions.get(BODY)
    is_encoded = "content-encoding" in response.headers
    return response.aiter_bytes() if body is None or is_encoded else aiter(body)


def _is_readable(connection: "Connection") -> bool:
    """Tell whether the socket has bytes or an end that the event loop has not read yet."""
    assert connection.transport is not None
    poll = select.poll()
    poll.register(connection.transport.get_extra_info("socket"), select.POLLIN)
    return bool(poll.poll(0))


@contextmanager
def _transport_errors() -> Generator[None]:
    """Raise aiohttp's errors as httpx2's."""
    try:
        yield
    except aiohttp.ConnectionTimeoutError as error:
        raise httpx2.ConnectTimeout(str(error)) from error
    except TimeoutError as error:
        raise httpx2.TimeoutException(str(error)) from error
    except (aiohttp.ClientConnectorError, aiohttp.ClientHttpProxyError) as error:
        raise httpx2.ConnectError(str(error)) from error
    except (aiohttp.ClientError, HttpProcessingError, OSError) as error:
        raise httpx2.ReadError(str(error)) from error
    except ValueError as error:
        raise httpx2.LocalProtocolError(str(error)) from error
