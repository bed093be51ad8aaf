"""The clients of the package `openai`: one for each base URL and key, with its connections."""

from collections.abc import AsyncGenerator
from contextlib import aclosing, asynccontextmanager
from functools import cache
from typing import Any, cast
from urllib.parse import parse_qsl, urlsplit

import httpx2
import openai

from lib.model._connection import ModelHTTPClient
from lib.models import Model
from lib.runtime.shutdown import at_end
from lib.settings import settings

# By the event loop's clock: with 400 requests at once on a busy machine, the loop came to the last
# connections more than 5 s after the provider had accepted them.
CONNECT_TIMEOUT_SECONDS = 10.0
# Azure OpenAI also gets the key as `api-key`: its older deployments, by `?api-version=`, read a key
# nowhere else.
AZURE = ".azure.com"


def provider(model: Model) -> openai.AsyncOpenAI:
    """Return the client of a model's provider."""
    return _client_of(model.base_url, model.api_key)


# Of a bounded number of models: see `Settings.all_models`.
_clients: dict[tuple[str, str | None], openai.AsyncOpenAI] = {}


def _client_of(url: str, key: str | None) -> openai.AsyncOpenAI:
    client = _clients.get((url, key))
    if client is None:
        client = _clients[url, key] = _new_client(url, key)
    return client


def _new_client(url: str, key: str | None) -> openai.AsyncOpenAI:
    # The package would append the path of an endpoint to the query.
    base_url, _, query = url.partition("?")
    is_azure = (urlsplit(base_url).hostname or "").endswith(AZURE)
    return openai.AsyncOpenAI(
        http_client=ModelHTTPClient(follow_redirects=True),
        api_key=key,
        base_url=base_url,
        default_query=dict(parse_qsl(query, keep_blank_values=True)),
        default_headers={"api-key": key} if is_azure and key else None,
        # A model that thinks, or is being loaded, says nothing for minutes: by default a silence
        # ends with the answer's deadline.
        timeout=httpx2.Timeout(settings().model_silence_seconds, connect=CONNECT_TIMEOUT_SECONDS),
        # The package would wait up to a minute between its tries, while the user waits and the
        # function is paid for. Parley's client learns instead when to try again; that costs
        # nothing, because its message is stored.
        max_retries=0,
    )


@asynccontextmanager
async def sent_request(
    model: Model, path: str, body: dict[str, Any]
) -> AsyncGenerator[httpx2.Response]:
    """Send a request, and close its response at the end of the block.

    By the package's `post`, which sends a body as it is. Its functions for each endpoint rename
    fields, refuse names that they do not know, and look through each message: one in twenty to
    one in twelve parts of a turn's processor time.

    Args:
        model: the model.
        path: of the endpoint, below the base URL.
        body: of the request, as JSON.

    Yields:
        The response, whose head has arrived.

    Raises:
        openai.APIError: when there is no response, or it reports an error.
    """
    client = provider(model)
    response = await client.post(
        _url_of(model.base_url, model.api_key, path),
        cast_to=httpx2.Response,
        body=body,
        stream=True,
        stream_cls=openai.AsyncStream[Any],
    )
    # Of the package's own types, `stream` promises an object for each event, and `cast_to` the
    # response alone. Both together return the response before its body has arrived.
    async with aclosing(cast("httpx2.Response", response)) as received:
        yield received


@cache
def _url_of(url: str, key: str | None, path: str) -> str:
    """Return the URL of an endpoint: a relative one costs the package several parsers each time."""
    base_url = _client_of(url, key).base_url
    return str(base_url.copy_with(raw_path=base_url.raw_path + path.encode()))


async def _close() -> None:
    """Close the connections to all providers; the next request opens new ones."""
    clients = [*_clients.values()]
    forget()
    for client in clients:
        await client.close()


def forget() -> None:
    """Forget the clients, which are closed or closed by their event loop's end."""
    _clients.clear()
    _url_of.cache_clear()


at_end("connections", _close)
