"""The client of the package `openai`: one for each process, with its connections."""

from functools import cache
from urllib.parse import parse_qsl, urlsplit

import httpx2
import openai

from lib.model._connection import ModelHTTPClient
from lib.runtime.shutdown import at_end
from lib.settings import settings

# By the event loop's clock: with 400 requests at once on a busy machine, the loop came to the last
# connections more than 5 s after the provider had accepted them.
CONNECT_TIMEOUT_SECONDS = 10.0
# Azure OpenAI also gets the key as `api-key`: its older deployments, by `?api-version=`, read a key
# nowhere else.
AZURE = ".azure.com"


@cache
def provider() -> openai.AsyncOpenAI:
    """Return the client of the configured provider."""
    key = settings().openai_api_key
    # The package would append the path of an endpoint to the query.
    base_url, _, query = settings().openai_base_url.partition("?")
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


async def _close() -> None:
    """Close the connections to the provider; the next request opens new ones."""
    if provider.cache_info().currsize:
        await provider().close()
        provider.cache_clear()


at_end("connections", _close)
