"""An identity provider's public keys: a JSON Web Key Set (RFC 7517), fetched from JWT_JWKS_URL.

The process keeps those of each URL. A writer of that set can be any user, so it is fetched from
that URL alone: no redirect is followed, and no address in a token.
"""

import asyncio
import json
import time
from collections.abc import Callable
from functools import cache
from http import HTTPStatus
from math import inf
from typing import TYPE_CHECKING, Any

from lib.problems import IdentityProviderUnavailable
from lib.runtime.log import log
from lib.runtime.shutdown import at_end
from lib.settings import settings

if TYPE_CHECKING:
    import httpx2
    from jwt import PyJWK


# The algorithms that Better Auth offers and that need no secret of the provider. Never HS256: its
# secret would be a key that everybody can read.
ALGORITHMS = ("EdDSA", "ES256", "RS256")
MIN_RSA_BITS = 2048
MAX_BYTES = 256 * 1024
FETCH_SECONDS = 5.0
# Keys older than this are fetched again, while the request goes on with the old ones.
FRESH_SECONDS = 600.0
# For keys older than this the request waits. Otherwise an instance that sleeps between requests
# would never complete a fetch, and accept a withdrawn key for ever.
STALE_SECONDS = 1200.0
# Between two fetches, because any token can name a key that does not exist.
PAUSE_SECONDS = 30.0
# While there are no keys at all, no token is accepted, so the pause is shorter.
NO_KEYS_PAUSE_SECONDS = 10.0


class KeySet:
    """The keys at one URL. Requests share one fetch at a time.

    Attributes:
        clock: returns the time in seconds; tests move it.
    """

    def __init__(self, url: str, clock: Callable[[], float] = time.monotonic) -> None:
        """Take the URL; nothing is fetched."""
        self.clock = clock
        self._url = url
        self._keys: dict[str, PyJWK] = {}
        self._fetched_at = -inf
        self._tried_at = -inf
        self._has_failed = False
        self._fetch: asyncio.Task[None] | None = None

    async def find(self, key_id: str) -> "PyJWK | None":
        """Return a key by its id; None: the provider publishes no usable key with this id.

        Waits at most FETCH_SECONDS for an unknown key, or for keys that no fetch has confirmed
        within STALE_SECONDS; otherwise not at all.

        Raises:
            IdentityProviderUnavailable: when the key is unknown and the last fetch failed.
        """
        if key_id in self._keys:
            await self._freshen()
        else:
            await self._look_again()
        return self._keys.get(key_id)

    async def close(self) -> None:
        """Cancel the running fetch, if there is one."""
        if self._is_fetching() and self._fetch:
            self._fetch.cancel()
            await asyncio.wait([self._fetch])

    async def _freshen(self) -> None:
        """Fetch keys that are too old; until a fetch succeeds, the old keys stay valid."""
        age = self.clock() - self._fetched_at
        if age >= FRESH_SECONDS and self._may_fetch(PAUSE_SECONDS):
            fetch = self._shared_fetch()
            if age >= STALE_SECONDS:
                await asyncio.wait([fetch])

    async def _look_again(self) -> None:
        """Fetch because a key is unknown, unless the last fetch was a moment ago."""
        pause = NO_KEYS_PAUSE_SECONDS if self._fetched_at == -inf else PAUSE_SECONDS
        if self._may_fetch(pause):
            await asyncio.wait([self._shared_fetch()])
        if self._has_failed:
            seconds = self._tried_at + pause - self.clock()
            problem = IdentityProviderUnavailable(retry_after_seconds=seconds)
            problem.is_logged = True  # the fetch has logged it
            raise problem

    def _may_fetch(self, pause_seconds: float) -> bool:
        return self._is_fetching() or self.clock() - self._tried_at >= pause_seconds

    def _is_fetching(self) -> bool:
        return self._fetch is not None and not self._fetch.done()

    def _shared_fetch(self) -> asyncio.Task[None]:
        """Return the running fetch, or a new one.

        It is a task of its own, for which `asyncio.wait` waits: cancelling one request does not
        cancel the fetch for the others.
        """
        if self._fetch is None or self._fetch.done():
            self._tried_at = self.clock()
            self._has_failed = True  # until it has succeeded
            self._fetch = asyncio.create_task(self._replace_keys())
        return self._fetch

    async def _replace_keys(self) -> None:
        started_at = time.monotonic()
        try:
            keys = _read_keys(await _download(self._url))
        except Exception as error:  # noqa: BLE001 (any error: there are no new keys)
            log("jwks_failed", error=error)
            return
        self._keys, self._fetched_at, self._has_failed = keys, self._tried_at, False
        duration_ms = round((time.monotonic() - started_at) * 1000)
        log("jwks_fetched", keys=len(keys), duration_ms=duration_ms)


@cache
def key_set(url: str) -> KeySet:
    """Return the key set of this process for a URL of JWT_JWKS_URL."""
    return KeySet(url)


async def _close() -> None:
    """End the fetches of this process; a key set that was not used has none."""
    for url in settings().jwt_jwks_url:
        await key_set(url).close()


at_end("connections", _close)


class _NotAKeySetError(Exception):
    """The response is no key set. Its text never contains the response."""


async def _download(url: str) -> bytes:
    """Return the body at a URL.

    Raises:
        TimeoutError: when it is not complete within FETCH_SECONDS, however busily it comes.
        _NotAKeySetError: when the status is not 200, or the body is larger than MAX_BYTES.
        httpx2.HTTPError: when there is no connection, or the response breaks off.
    """
    body = bytearray()
    async with asyncio.timeout(FETCH_SECONDS):
        # In a thread: the import takes 18 ms, loading the certificates another 26.
        client = await asyncio.to_thread(_client, url)
        async with client, client.stream("GET", url) as response:
            if response.status_code != HTTPStatus.OK:
                message = f"the answer's status is {response.status_code}"
                raise _NotAKeySetError(message)
            # Raw, because a few compressed bytes could unpack to any size.
            async for chunk in response.aiter_raw():
                body += chunk
                if len(body) > MAX_BYTES:
                    message = f"the answer is larger than {MAX_BYTES // 1024} KB"
                    raise _NotAKeySetError(message)
    return bytes(body)


def _client(url: str) -> "httpx2.AsyncClient":
    """Make a client for one fetch; the next fetch is minutes away.

    `urllib` would cost no import, but it blocks a thread, which cannot be stopped: a server that
    sends a header byte by byte would keep the thread for ever.
    """
    import httpx2

    is_plain = url.startswith("http://")
    return httpx2.AsyncClient(
        verify=not is_plain,
        # Plain HTTP is for this machine alone, so it goes through no proxy.
        trust_env=not is_plain,
        follow_redirects=False,
        timeout=FETCH_SECONDS,
        headers={"accept": "application/json", "accept-encoding": "identity"},
    )


def _read_keys(body: bytes) -> "dict[str, PyJWK]":
    """Return the usable keys by id; each unusable key is left out by itself.

    Raises:
        _NotAKeySetError: when the body is no JSON object with a list of keys.
    """
    try:
        content: Any = json.loads(body)
        published: Any = content["keys"]
    except (ValueError, RecursionError, LookupError, TypeError):
        message = "the answer is no key set"
        raise _NotAKeySetError(message) from None
    if not isinstance(published, list):
        message = "the answer has no list of keys"
        raise _NotAKeySetError(message)
    keys: dict[str, PyJWK] = {}
    for jwk in published:  # pyright: ignore[reportUnknownVariableType]
        key = _read_key(jwk)
        if key is not None and key.key_id:
            keys.setdefault(key.key_id, key)
    return keys


def _read_key(jwk: Any) -> "PyJWK | None":  # noqa: ANN401 (JSON)
    """Return the public key of a JWK if it verifies one of the algorithms, else None."""
    import jwt

    try:
        if jwk.get("use") not in (None, "sig") or not isinstance(jwk["kid"], str):
            return None
        key = jwt.PyJWK(jwk)
    except Exception:  # noqa: BLE001 (a strange key must not cost the others)
        return None
    return key if _is_suitable(key) else None


def _is_suitable(key: "PyJWK") -> bool:
    """Tell whether a key is the public key that its algorithm requires."""
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

    public: object = key.key
    match key.algorithm_name:
        case "EdDSA":
            return isinstance(public, ed25519.Ed25519PublicKey)
        case "ES256":
            is_ec = isinstance(public, ec.EllipticCurvePublicKey)
            return is_ec and isinstance(public.curve, ec.SECP256R1)
        case "RS256":
            return isinstance(public, rsa.RSAPublicKey) and public.key_size >= MIN_RSA_BITS
        case _:
            return False
