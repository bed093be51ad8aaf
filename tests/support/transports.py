"""How the tests' clients reach a server."""

import httpx2


class ResendingTransport(httpx2.AsyncHTTPTransport):
    """Sends a request once more, as a browser does, whose connection ended before the response.

    A server ends an idle connection after some seconds, perhaps at the moment at which a request
    takes it. So it is for requests that may arrive twice.
    """

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Return the response to a request.

        Raises:
            httpx2.TransportError: the second time, too.
        """
        try:
            return await super().handle_async_request(request)
        except (httpx2.ReadError, httpx2.RemoteProtocolError):
            return await super().handle_async_request(request)
