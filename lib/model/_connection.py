"""HTTP to the provider: aiohttp beneath the package `openai`.

`openai.DefaultAioHttpClient` is such a client too, but not one to use as it is (openai 3.54.0 with
aiohttp 3.14.5): bytes that arrive on an idle connection become the answer to the next request; a
refused connection counts as a time-out; and a server that does not read its request is never given
up. `tests/chat/test_model_connections.py` has a test for each.
"""

import asyncio
import os
import select
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Generator
from contextlib import contextmanager
from functools import cached_property
from io import BytesIO
from typing import TYPE_CHECKING, Any, override
from weakref import WeakSet

import aiohttp
import httpx2
from aiohttp.http_exceptions import HttpProcessingError

if TYPE_CHECKING:
    from aiohttp.client_proto import ResponseHandler
    from aiohttp.connector import Connection
    from aiohttp.tracing import Trace

# How long an idle connection is kept. Servers (uvicorn, Node, llama.cpp) close it after 5 s, which
# would lose a request that is on its way at that moment.
IDLE_SECONDS = 3.0
# After this time without a connection, the host's next address is tried as well (RFC 8305).
NEXT_ADDRESS_SECONDS = 0.25
MAX_HEADER_BYTES = 100 * 1024
# The extension of a response that holds its `ResponseBody`.
BODY = "parley_body"


class ModelHTTPClient(httpx2.AsyncClient):
    """An HTTP client for the package `openai`, with the proxies of the environment.

    httpx2 reads HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY, and asks these two methods for
    transports, as it asks the client of `openai`: a transport given to its constructor would turn
    proxies off.
    """

    @override
    def _init_transport(self, *_args: Any, **_options: Any) -> httpx2.AsyncBaseTransport:
        return ModelTransport()

    @override
    def _init_proxy_transport(
        self, proxy: httpx2.Proxy, *_args: Any, **_options: Any
    ) -> httpx2.AsyncBaseTransport:
        return ModelTransport(proxy)


class ModelTransport(httpx2.AsyncBaseTransport):
    """Sends the requests of an `httpx2.AsyncClient` by aiohttp."""

    def __init__(self, proxy: httpx2.Proxy | None = None) -> None:
        """Connect nowhere yet, later through the proxy if there is one."""
        self._proxy = proxy
        self._session: aiohttp.ClientSession | None = None

    @override
    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send a request, and wait for the head of its response.

        The head must come within the connect and the read time-out together: aiohttp would wait
        without end for a server that does not read the request.

        Raises:
            httpx2.TimeoutException: no connection, or no head, in time.
            httpx2.TransportError: no connection, a lost one, or one that does not speak HTTP.
        """
        if self._proxy is not None and self._proxy.url.scheme not in {"http", "https"}:
            message = f"a proxy must be http or https, not {self._proxy.url.scheme}"
            raise httpx2.UnsupportedProtocol(message)
        limits: dict[str, float | None] = request.extensions.get("timeout", {})
        connect_seconds, read_seconds = limits.get("connect"), limits.get("read")
        seconds = connect_seconds and read_seconds and connect_seconds + read_seconds
        # With bytes, aiohttp warns above 1 MiB that it would block the event loop.
        content = BytesIO(await request.aread())
        with _transport_errors():
            async with asyncio.timeout(seconds):
                response = await self._opened_session().request(
                    request.method,
                    str(request.url),
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
                # Cookies and compression are httpx2's.
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                max_line_size=MAX_HEADER_BYTES,
                max_field_size=MAX_HEADER_BYTES,
            )
        return self._session

    @cached_property
    def _authorities(self) -> ssl.SSLContext | bool:
        """Return what certificates are checked with; True: what aiohttp loaded with its import.

        To load the authorities of a system takes 32 ms, here on the event loop. So they are loaded
        again only for SSL_CERT_FILE and SSL_CERT_DIR, which are to replace them, and where OpenSSL
        does not find them but httpx2 does, as in Python builds made for another system.
        """
        is_replaced = os.environ.keys() & {"SSL_CERT_FILE", "SSL_CERT_DIR"}
        if ssl.get_default_verify_paths().cafile and not is_replaced:
            return True
        return httpx2.create_ssl_context()

    def _headers_of(self, request: httpx2.Request) -> list[tuple[str, str]]:
        headers = request.headers.multi_items()
        if request.url.scheme == "http":
            # Without a tunnel, the proxy reads the request itself.
            headers += self._proxy_headers().items()
        return headers

    def _route_to(self, url: httpx2.URL) -> dict[str, Any]:
        """Return the options for TLS and for the proxy."""
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
        """Open nothing yet. The number of connections has no limit, because turns have theirs."""
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

        aiohttp reuses any that it takes for open. Bytes that arrive on an idle connection would be
        read as the answer to the next request, which is another user's; a server that has left
        would fail that request.
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
    """The body of a response."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        """Take a response whose head has come."""
        self._response = response

    @override
    async def __aiter__(self) -> AsyncGenerator[bytes]:
        """Yield bytes as they come.

        Raises:
            httpx2.TimeoutException: nothing came within the read time-out.
            httpx2.TransportError: the connection was lost, or what came is not HTTP.
        """
        read = self._response.content.readany
        with _transport_errors():
            while received := await read():
                yield received

    @override
    async def aclose(self) -> None:
        """Give back the connection; close it at once if the response has not come to its end.

        Closed in order, it would first wait for the server to read what is still to be sent.
        """
        if (connection := self._response.connection) is not None and connection.transport:
            connection.transport.abort()
        self._response.close()


def body_of(response: httpx2.Response) -> AsyncIterator[bytes]:
    """Return the body of a response as it comes.

    A body that is not compressed is read past the four generators that httpx2 puts around it, which
    take 5% of the processor time of a streamed token.
    """
    body: ResponseBody | None = response.extensions.get(BODY)
    is_encoded = "content-encoding" in response.headers
    return response.aiter_bytes() if body is None or is_encoded else aiter(body)


def _is_readable(connection: "Connection") -> bool:
    """Tell whether bytes or an end have come that the event loop has not read yet."""
    assert connection.transport is not None
    poll = select.poll()
    poll.register(connection.transport.get_extra_info("socket"), select.POLLIN)
    return bool(poll.poll(0))


@contextmanager
def _transport_errors() -> Generator[None]:
    """Turn the errors of aiohttp into those of httpx2."""
    try:
        yield
    except TimeoutError as error:
        raise httpx2.TimeoutException(str(error)) from error
    except (aiohttp.ClientConnectorError, aiohttp.ClientHttpProxyError) as error:
        raise httpx2.ConnectError(str(error)) from error
    except (aiohttp.ClientError, HttpProcessingError, OSError) as error:
        raise httpx2.ReadError(str(error)) from error
    except ValueError as error:
        raise httpx2.LocalProtocolError(str(error)) from error
