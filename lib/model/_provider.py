"""The client of the package `openai`: one for each process, with its connections."""

from functools import cache

import httpx2
import openai

from lib.model._connection import ModelHTTPClient
from lib.runtime.shutdown import at_end
from lib.settings import settings

# By the event loop's clock: with 400 requests at once on a busy machine, the loop came to the last
# connections more than 5 s after the provider had accepted them.
CONNECT_TIMEOUT_SECONDS = 10.0
# Before the provider's first byte, and between any two. A longer silence counts as a failure, which
# leaves time to report it before the function's deadline.
SILENCE_TIMEOUT_SECONDS = 30.0


@cache
def provider() -> openai.AsyncOpenAI:
    """Return the client of the configured provider."""
    return openai.AsyncOpenAI(
        http_client=ModelHTTPClient(follow_redirects=True),
        api_key=settings().openai_api_key,
        base_url=settings().openai_base_url,
        timeout=httpx2.Timeout(SILENCE_TIMEOUT_SECONDS, connect=CONNECT_TIMEOUT_SECONDS),
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
