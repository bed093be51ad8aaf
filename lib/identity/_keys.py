"""The identity provider's public keys: a JSON Web Key Set (RFC 7517), fetched from JWT_JWKS_URL.

Kept for the process. Whoever can write that set can be any user, so it is taken from that URL
alone: no redirect is followed, and no address that stands in a token.
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


# What Better Auth offers and needs no secret of the provider's. Never HS256: its secret would be a
# key that everybody can read.
ALGORITHMS = ("EdDSA", "ES256", "RS256")
LEAST_RSA_BITS = 2048
MAX_BYTES = 256 * 1024
FETCH_SECONDS = 5.0
# Older keys are fetched again beside the request that wants one.
FRESH_SECONDS = 600.0
# For keys older than this the request waits. An instance that sleeps between its requests would
# otherwise never get to the end of a fetch, and let a withdrawn key in for ever.
STALE_SECONDS = 1200.0
# Between two fetches: with any token one can ask for a key that is not there.
PAUSE_SECONDS = 30.0
# As long as there are no keys at all nobody gets in, so it is tried more often.
NO_KEYS_PAUSE_SECONDS = 10.0


class KeySet:
    """The keys at one URL. One fetch at a time, shared by all who need it.

    Attributes:
        clock: tells the time in seconds; tests move it.
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
        """Return a key by its id; None: the provider has no such key that can be used.

        A key that is known costs no waiting, unless it has not been confirmed for STALE_SECONDS;
        then, and for a key that is not known, at most FETCH_SECONDS.

        Raises:
            IdentityProviderUnavailable: the key is not known, and the last fetch failed.
        """
        if key_id in self._keys:
            await self._freshen()
        else:
            await self._look_again()
        return self._keys.get(key_id)

    async def close(self) -> None:
        """End the fetch that is under way, if there is one."""
        if self._is_fetching() and self._fetch:
            self._fetch.cancel()
            await asyncio.wait([self._fetch])

    async def _freshen(self) -> None:
        """Fetch keys that are too old; when that fails, they are good until it succeeds."""
        age = self.clock() - self._fetched_at
        if age >= FRESH_SECONDS and self._may_fetch(PAUSE_SECONDS):
            fetch = self._shared_fetch()
            if age >= STALE_SECONDS:
                await asyncio.wait([fetch])

    async def _look_again(self) -> None:
        """Fetch for the sake of a key that is not known, unless that was tried a moment ago."""
        pause = NO_KEYS_PAUSE_SECONDS if self._fetched_at == -inf else PAUSE_SECONDS
        if self._may_fetch(pause):
            await asyncio.wait([self._shared_fetch()])
        if self._has_failed:
            seconds = self._tried_at + pause - self.clock()
            problem = IdentityProviderUnavailable(retry_after_seconds=seconds)
            problem.is_logged = True  # once, by the fetch
            raise problem

    def _may_fetch(self, pause_seconds: float) -> bool:
        return self._is_fetching() or self.clock() - self._tried_at >= pause_seconds

    def _is_fetching(self) -> bool:
        return self._fetch is not None and not self._fetch.done()

    def _shared_fetch(self) -> asyncio.Task[None]:
        """Return the fetch that is under way, or a new one.

        Its own task, waited for with `asyncio.wait`: a request that is cancelled does not cancel it
        for the others.
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
        except Exception as error:  # noqa: BLE001 (whatever it was: there are no new keys)
            log("jwks_failed", error=error)
            return
        self._keys, self._fetched_at, self._has_failed = keys, self._tried_at, False
        duration_ms = round((time.monotonic() - started_at) * 1000)
        log("jwks_fetched", keys=len(keys), duration_ms=duration_ms)


@cache
def key_set() -> KeySet:
    """Return the key set of this process, which must have a JWT_JWKS_URL."""
    url = settings().jwt_jwks_url
    assert url is not None
    return KeySet(url)


async def _close() -> None:
    """End the fetch of this process, if it has used its key set."""
    if key_set.cache_info().currsize:
        await key_set().close()


at_end("connections", _close)


class _NotAKeySetError(Exception):
    """What came is no key set; never with its content."""


async def _download(url: str) -> bytes:
    """Return what is at a URL.

    Raises:
        TimeoutError: it was not all there within FETCH_SECONDS, however busily it came.
        _NotAKeySetError: another status than 200, or more than MAX_BYTES.
        httpx2.HTTPError: no connection, or an answer that breaks off.
    """
    body = bytearray()
    async with asyncio.timeout(FETCH_SECONDS):
        # In a thread: to import it takes 18 ms, to load the certificates another 26.
        client = await asyncio.to_thread(_client, url)
        async with client, client.stream("GET", url) as response:
            if response.status_code != HTTPStatus.OK:
                message = f"the answer's status is {response.status_code}"
                raise _NotAKeySetError(message)
            # As it was sent: a few packed bytes could unpack to any size.
            async for chunk in response.aiter_raw():
                body += chunk
                if len(body) > MAX_BYTES:
                    message = f"the answer is larger than {MAX_BYTES // 1024} KB"
                    raise _NotAKeySetError(message)
    return bytes(body)


def _client(url: str) -> "httpx2.AsyncClient":
    """Make a client for one fetch: the next one is minutes away.

    Not `urllib`, which would cost no import: a thread cannot be stopped, so a server that sends a
    header a byte at a time would keep one for ever.
    """
    import httpx2

    is_plain = url.startswith("http://")
    return httpx2.AsyncClient(
        verify=not is_plain,
        # What is for this machine alone goes through no proxy.
        trust_env=not is_plain,
        follow_redirects=False,
        timeout=FETCH_SECONDS,
        headers={"accept": "application/json", "accept-encoding": "identity"},
    )


def _read_keys(body: bytes) -> "dict[str, PyJWK]":
    """Return the keys that can be used, by id; those that cannot are left out one by one.

    Raises:
        _NotAKeySetError: it is no JSON object with a list of keys.
    """
    try:
        content: Any = json.loads(body)
        given: Any = content["keys"]
    except (ValueError, RecursionError, LookupError, TypeError):
        message = "the answer is no key set"
        raise _NotAKeySetError(message) from None
    if not isinstance(given, list):
        message = "the answer has no list of keys"
        raise _NotAKeySetError(message)
    keys: dict[str, PyJWK] = {}
    for each in given:  # pyright: ignore[reportUnknownVariableType]
        key = _read_key(each)
        if key is not None and key.key_id:
            keys.setdefault(key.key_id, key)
    return keys


def _read_key(given: Any) -> "PyJWK | None":  # noqa: ANN401 (JSON)
    """Return a public key that signs by one of the algorithms; None: it is something else."""
    import jwt

    try:
        if given.get("use") not in (None, "sig") or not isinstance(given["kid"], str):
            return None
        key = jwt.PyJWK(given)
    except Exception:  # noqa: BLE001 (a strange key is not to cost the others)
        return None
    return key if _is_suitable(key) else None


def _is_suitable(key: "PyJWK") -> bool:
    """Tell whether a key is what its algorithm asks for; a private key has no business there."""
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

    public: object = key.key
    match key.algorithm_name:
        case "EdDSA":
            return isinstance(public, ed25519.Ed25519PublicKey)
        case "ES256":
            is_ec = isinstance(public, ec.EllipticCurvePublicKey)
            return is_ec and isinstance(public.curve, ec.SECP256R1)
        case "RS256":
            return isinstance(public, rsa.RSAPublicKey) and public.key_size >= LEAST_RSA_BITS
        case _:
            return False
