"""Tokens of an identity provider that publishes its keys: which tokens are accepted, and the
cost of a broken, slow or hostile provider.
"""

import asyncio
import gzip
import json
import logging
import socket
import time
from collections.abc import AsyncGenerator
from contextlib import suppress
from typing import Any

import httpx2
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ed448, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from starlette.types import Receive, Scope, Send

import lib.identity._keys
from lib.identity._keys import KeySet
from lib.settings import settings
from tests.api.test_callers import claims, forged
from tests.support.identity_provider import (
    PATH,
    Clock,
    IdentityProvider,
    accepting,
    raw,
    signer,
    written,
)
from tests.support.logs import events_of
from tests.support.product import Parley, problem_of
from tests.support.serving import Switchboard, serve

ED = signer("EdDSA")
EC = signer("ES256")
RSA = signer("RS256")
SIGNERS = [ED, EC, RSA]
STRANGER = signer("EdDSA", ED.key_id)
UNKNOWN = signer("EdDSA", "unknown")
NOW = int(time.time())
# No server listens there, so a request that asks the database is a 503.
NO_DATABASE = "postgresql://parley@127.0.0.1:9/parley"


@pytest.fixture(scope="module")
async def provider_switchboard() -> AsyncGenerator[Switchboard]:
    """Return the server behind which each test has a provider of its own."""
    switchboard = Switchboard()
    async with serve(switchboard) as base_url:
        switchboard.base_url = base_url
        yield switchboard


@pytest.fixture
def provider(provider_switchboard: Switchboard) -> IdentityProvider:
    """Return a provider that publishes one key of each kind."""
    provider = IdentityProvider(provider_switchboard.base_url)
    provider.keys = [each.jwk() for each in SIGNERS]
    provider_switchboard.app = provider
    return provider


@pytest.fixture
def environment(environment: dict[str, str], provider: IdentityProvider) -> dict[str, str]:
    """Return the environment of a product that accepts the provider's tokens."""
    del environment["JWT_SECRET"]
    return accepting(provider.base_url) | environment


@pytest.fixture
def clock(parley: Parley) -> Clock:
    """Return the clock by which the product's keys age."""
    del parley
    keys().clock = clock = Clock()
    return clock


def keys() -> KeySet:
    """Return the product's only key set."""
    [url] = settings().jwt_jwks_url
    return lib.identity._keys.key_set(url)


@pytest.fixture
def fetch_seconds(monkeypatch: pytest.MonkeyPatch) -> float:
    """Limit a fetch to so many seconds."""
    seconds = 0.3
    monkeypatch.setattr(lib.identity._keys, "FETCH_SECONDS", seconds)
    return seconds


async def ask(parley: Parley, token: str) -> httpx2.Response:
    """Send a request with a token."""
    headers = {"authorization": f"Bearer {token}"}
    return await parley.client.get("/api/conversations", headers=headers)


async def is_let_in(parley: Parley, token: str) -> bool:
    """Tell whether a token makes a user; if not, the response must be a 401 without the token."""
    response = await ask(parley, token)
    if response.status_code != 200:
        problem_of(response, 401, "unauthenticated")
        assert response.headers["www-authenticate"] == "Bearer"
        assert token[-20:] not in response.text
    return response.status_code == 200


async def retry_after_of(parley: Parley, token: str) -> int:
    """Return the Retry-After of the response, which must be a 503."""
    response = await ask(parley, token)
    problem_of(response, 503, "identity_provider_unavailable")
    assert token[-20:] not in response.text
    return int(response.headers["retry-after"])


async def refreshed() -> None:
    """Wait until the running fetch has ended."""
    fetch = keys()._fetch
    assert fetch is not None
    await asyncio.wait([fetch])


# --- Which tokens are accepted


@pytest.mark.parametrize("signer", SIGNERS, ids=lambda signer: signer.algorithm)
async def test_a_token_of_each_kind_of_key_is_accepted(
    parley: Parley, provider: IdentityProvider, signer: Any
) -> None:
    answered = await parley.client.post(
        "/api/chat",
        json={"message": "Hello!"},
        headers={"authorization": f"Bearer {signer.token()}"},
    )
    listed = await ask(parley, signer.token())

    assert answered.status_code == 200
    assert len(listed.json()["conversations"]) == 1
    assert provider.paths == [PATH]


@pytest.mark.parametrize(
    "changed", [{"use": "sig"}, {"alg": None}, {"ext": True, "key_ops": ["verify"], "x5u": "x"}]
)
@pytest.mark.parametrize("signer", SIGNERS, ids=lambda signer: signer.algorithm)
async def test_a_key_may_have_more_or_fewer_members(
    parley: Parley, provider: IdentityProvider, signer: Any, changed: dict[str, object]
) -> None:
    provider.keys = [signer.jwk(**changed)]

    assert await is_let_in(parley, signer.token())


async def test_a_request_without_a_token_does_not_ask_the_provider(
    parley: Parley, provider: IdentityProvider
) -> None:
    assert (await parley.say("Hello!")).status_code == 200
    assert provider.paths == []


PUBLIC_PEM = ED.private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
PUBLIC_RAW = ED.private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
RSA_PEM = RSA.private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
HS256 = {"alg": "HS256", "kid": ED.key_id}
NOT_VALID = {
    "another server's key of the same id": STRANGER.token(),
    "HS256 with the public key": forged(HS256, claims(), PUBLIC_RAW),
    "HS256 with the public key as PEM": forged(HS256, claims(), PUBLIC_PEM),
    "HS256 with the public key as JWK": forged(HS256, claims(), json.dumps(ED.jwk())),
    "HS256 with the RSA key as PEM": forged(HS256 | {"kid": RSA.key_id}, claims(), RSA_PEM),
    "HS256 with the key's x": forged(HS256, claims(), ED.jwk()["x"]),
    "HS256 with nothing": forged(HS256, claims(), ""),
    "EdDSA, but an HMAC": forged(HS256 | {"alg": "EdDSA"}, claims(), PUBLIC_RAW),
    "alg none": forged(HS256 | {"alg": "none"}, claims()).rpartition(".")[0] + ".",
    "alg none, signed": forged(HS256 | {"alg": "none"}, claims()),
    "no alg": forged({"kid": ED.key_id}, claims()),
    "alg is a list": forged({"kid": ED.key_id, "alg": ["EdDSA"]}, claims()),
    "another key's algorithm": ED.named(RSA.key_id).token(),
    "another key's algorithm, claimed": forged({"kid": RSA.key_id, "alg": "ES256"}, claims()),
    "RSA, but PS256": RSA.token(algorithm="PS256"),
    "RSA, but RS512": RSA.token(algorithm="RS512"),
    "no kid": jwt.encode(claims(), ED.private, algorithm="EdDSA"),
    "kid is empty": ED.named("").token(),
    "kid is a number": forged({"alg": "EdDSA", "kid": 5}, claims()),
    "kid is a list": forged({"alg": "EdDSA", "kid": [ED.key_id]}, claims()),
    "kid is null": forged({"alg": "EdDSA", "kid": None}, claims()),
    "an extension that must be understood": ED.token({"crit": ["x"], "x": 1}),
    "expired": ED.token(exp=NOW - 31),
    "no exp": ED.token(exp=None),
    "not yet": ED.token(nbf=NOW + 3600),
    "no sub": ED.token(sub=None),
    "sub is blank": ED.token(sub=" "),
    "no signature": ED.token().rpartition(".")[0] + ".",
    "another's claims": ".".join(
        [ED.token().split(".")[0], ED.token(sub="bob").split(".")[1], ED.token().split(".")[2]]
    ),
    "nonsense": "nonsense",
}


@pytest.mark.environment(DATABASE_URL=NO_DATABASE)
@pytest.mark.parametrize("token", NOT_VALID.values(), ids=NOT_VALID)
async def test_a_token_that_is_not_valid_is_refused_before_the_database_is_asked(
    parley: Parley, provider: IdentityProvider, token: str
) -> None:
    assert not await is_let_in(parley, token)
    assert len(provider.requests) <= 1


@pytest.mark.parametrize(
    "name", ["no kid", "kid is empty", "HS256 with the public key", "alg none", "nonsense"]
)
async def test_a_token_that_can_have_no_key_does_not_ask_the_provider(
    parley: Parley, provider: IdentityProvider, name: str
) -> None:
    assert not await is_let_in(parley, NOT_VALID[name])
    assert provider.paths == []


@pytest.mark.parametrize(("seconds_ago", "expected"), [(15, True), (45, False)])
async def test_a_token_that_expired_less_than_half_a_minute_ago_is_accepted(
    parley: Parley, *, seconds_ago: int, expected: bool
) -> None:
    assert await is_let_in(parley, ED.token(exp=int(time.time()) - seconds_ago)) == expected


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({}, True),
        ({"aud": ["other", "parley"]}, True),
        ({"iss": None}, False),
        ({"iss": "https://issuer.example.evil.com"}, False),
        ({"aud": None}, False),
        ({"aud": "other"}, False),
    ],
)
async def test_issuer_and_audience_must_be_those_that_are_configured(
    parley: Parley, changed: dict[str, Any], *, expected: bool
) -> None:
    assert await is_let_in(parley, ED.token(**changed)) == expected


async def test_an_address_or_a_key_in_a_token_is_ignored(
    parley: Parley, provider: IdentityProvider
) -> None:
    elsewhere = f"{provider.base_url}/elsewhere"
    own = {"jku": elsewhere, "x5u": elsewhere, "jwk": STRANGER.jwk(), "x5c": ["AAAA"]}

    assert not await is_let_in(parley, STRANGER.token(own))
    assert not await is_let_in(parley, UNKNOWN.token(own | {"jwk": UNKNOWN.jwk()}))
    assert not await is_let_in(parley, UNKNOWN.named(elsewhere).token(own))
    assert await is_let_in(parley, ED.token(own))
    assert provider.paths == [PATH]


async def test_a_fetch_tells_the_provider_nothing_about_the_caller(
    parley: Parley, provider: IdentityProvider
) -> None:
    assert await is_let_in(parley, ED.token())

    [request] = provider.requests
    assert request.method == "GET"
    assert {"authorization", "cookie"} & {*request.headers} == set()


# --- Which keys are accepted

SMALL_RSA = signer("RS256", "small", rsa.generate_private_key(65537, 1024))  # noqa: S505
P384 = signer("ES384", "p384")
ED448 = signer("EdDSA", "ed448", ed448.Ed448PrivateKey.generate())
OCT = {"kty": "oct", "kid": "oct", "alg": "HS256", "k": "c2VjcmV0IG9mIGF0IGxlYXN0IDMyIGJ5dGVzISEh"}
NOT_KEYS: dict[str, Any] = {
    "oct": OCT,
    "oct, said to be EdDSA": OCT | {"alg": "EdDSA"},
    "no object": "key",
    "null": None,
    "empty": {},
    "no kid": ED.jwk(kid=None),
    "kid is a number": ED.jwk(kid=5),
    "kid is empty": ED.jwk(kid=""),
    "unknown kty": {"kty": "AKP", "kid": "akp", "alg": "ML-DSA-44", "pub": "AAAA"},
    "kty is a list": ED.jwk(kid="list", kty=["OKP"]),
    "alg is a list": ED.jwk(kid="list", alg=["EdDSA"]),
    "alg is unknown": ED.jwk(kid="unknown", alg="X"),
    "no x": ED.jwk(kid="x", x=None),
    "x is a number": ED.jwk(kid="x", x=5),
    "x is short": ED.jwk(kid="x", x="AAAA"),
    "not on the curve": EC.jwk(kid="y", y="A" * 43),
    "no modulus": RSA.jwk(kid="n", n=None),
}
NOT_SUITABLE = {
    "for encryption": (ED, ED.jwk(use="enc")),
    "use is a list": (ED, ED.jwk(use=["sig"])),
    "another algorithm": (RSA, RSA.jwk(alg="RS512")),
    "PS256": (RSA, RSA.jwk(alg="PS256")),
    "HS256": (ED, ED.jwk(alg="HS256")),
    "small RSA": (SMALL_RSA, SMALL_RSA.jwk()),
    "P-384": (P384, P384.jwk()),
    "P-384, said to be ES256": (P384, P384.jwk(alg="ES256")),
    "Ed448": (ED448, ED448.jwk()),
    "private": (ED, ED.private_jwk()),
    "private RSA": (RSA, RSA.private_jwk()),
}


@pytest.mark.filterwarnings("ignore::jwt.InsecureKeyLengthWarning")
@pytest.mark.parametrize("name", NOT_SUITABLE)
async def test_a_key_that_is_not_suitable_accepts_no_token_and_does_not_cost_another_key(
    parley: Parley, provider: IdentityProvider, name: str
) -> None:
    owner, key = NOT_SUITABLE[name]
    good = EC.named("good")
    provider.keys = [key, good.jwk()]

    assert await is_let_in(parley, good.token())
    assert not await is_let_in(parley, owner.token())


async def test_entries_that_are_no_keys_are_left_out_one_by_one(
    parley: Parley, provider: IdentityProvider
) -> None:
    provider.keys = [*NOT_KEYS.values(), ED.jwk()]

    assert await is_let_in(parley, ED.token())
    assert [*keys()._keys] == [ED.key_id]


async def test_a_symmetric_key_signs_nothing(parley: Parley, provider: IdentityProvider) -> None:
    provider.keys = [OCT, ED.jwk()]
    secret = b"secret of at least 32 bytes!!!"

    assert not await is_let_in(parley, forged({"alg": "HS256", "kid": "oct"}, claims(), secret))
    assert not await is_let_in(parley, forged({"alg": "EdDSA", "kid": "oct"}, claims(), secret))


async def test_a_provider_without_keys_lets_nobody_in(
    parley: Parley, provider: IdentityProvider
) -> None:
    provider.keys = []

    assert not await is_let_in(parley, ED.token())


# --- When keys are fetched


async def test_first_requests_at_once_make_one_fetch(
    parley: Parley, provider: IdentityProvider
) -> None:
    async def slowly(scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.sleep(0.1)
        await raw(200, written(*provider.keys))(scope, receive, send)

    provider.answer = slowly

    answers = await asyncio.gather(*(ask(parley, ED.token()) for _ in range(20)))

    assert {answer.status_code for answer in answers} == {200}
    assert provider.paths == [PATH]


async def test_a_caller_that_leaves_does_not_end_the_fetch_for_the_others(
    provider: IdentityProvider,
) -> None:
    arrived, may_go_on = asyncio.Event(), asyncio.Event()

    async def held(scope: Scope, receive: Receive, send: Send) -> None:
        arrived.set()
        await may_go_on.wait()
        await raw(200, written(*provider.keys))(scope, receive, send)

    provider.answer = held
    keys = KeySet(provider.base_url + PATH)
    leaver = asyncio.create_task(keys.find(ED.key_id))
    stayer = asyncio.create_task(keys.find(ED.key_id))
    await arrived.wait()

    leaver.cancel()
    with suppress(asyncio.CancelledError):
        await leaver
    may_go_on.set()

    assert await stayer is not None
    assert provider.paths == [PATH]


async def test_a_new_key_is_fetched_once(
    parley: Parley, provider: IdentityProvider, clock: Clock
) -> None:
    provider.keys = [ED.jwk()]
    assert await is_let_in(parley, ED.token())
    provider.keys = [ED.jwk(), EC.jwk()]
    clock.seconds += 30

    answers = await asyncio.gather(*(ask(parley, EC.token()) for _ in range(10)))

    assert {answer.status_code for answer in answers} == {200}
    assert await is_let_in(parley, ED.token())
    assert provider.paths == [PATH] * 2


async def test_a_flood_of_unknown_keys_makes_one_fetch_in_half_a_minute(
    parley: Parley, provider: IdentityProvider, clock: Clock
) -> None:
    flood = [UNKNOWN.named(str(number)).token() for number in range(20)]
    fetches: list[int] = []

    for seconds in (0, 29, 1, 0, 29, 1):
        clock.seconds += seconds
        answers = await asyncio.gather(*(ask(parley, token) for token in flood))
        assert {answer.status_code for answer in answers} == {401}
        fetches.append(len(provider.requests))

    assert fetches == [1, 1, 2, 2, 2, 3]


async def test_requests_do_not_wait_for_a_refresh_of_the_keys(
    parley: Parley, provider: IdentityProvider, clock: Clock
) -> None:
    assert await is_let_in(parley, ED.token())
    may_go_on = asyncio.Event()

    async def held(scope: Scope, receive: Receive, send: Send) -> None:
        await may_go_on.wait()
        await raw(200, written(EC.jwk()))(scope, receive, send)

    provider.answer = held
    clock.seconds += 599
    assert await is_let_in(parley, ED.token())
    assert len(provider.requests) == 1

    clock.seconds += 1
    assert all([await is_let_in(parley, ED.token()) for _ in range(3)])
    may_go_on.set()
    await refreshed()

    assert len(provider.requests) == 2
    assert not await is_let_in(parley, ED.token())
    assert await is_let_in(parley, EC.token())


async def test_keys_that_are_too_old_are_confirmed_before_a_token_is_accepted(
    parley: Parley, provider: IdentityProvider, clock: Clock
) -> None:
    assert await is_let_in(parley, ED.token())
    provider.keys = [EC.jwk()]
    clock.seconds += 1200

    assert not await is_let_in(parley, ED.token())


# --- A provider that is broken


async def silent(_scope: Scope, receive: Receive, _send: Send) -> None:
    """Answer nothing until the client leaves."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def dripping(_scope: Scope, receive: Receive, send: Send) -> None:
    """Answer a byte at a time until the client leaves."""
    leaving = asyncio.create_task(silent(_scope, receive, send))
    await send({"type": "http.response.start", "status": 200, "headers": []})
    while not leaving.done():
        await send({"type": "http.response.body", "body": b" ", "more_body": True})
        await asyncio.wait({leaving}, timeout=0.05)


async def cut(_scope: Scope, _receive: Receive, send: Send) -> None:
    """Break off in the middle of a response that is good so far."""
    body = written(ED.jwk()).encode()
    length = [(b"content-length", str(len(body) + 1).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": length})
    await send({"type": "http.response.body", "body": body, "more_body": True})
    message = "cut"
    raise ConnectionAbortedError(message)


GOOD = written(ED.jwk())
BROKEN = {
    "500": raw(500, GOOD),
    "404": raw(404, GOOD),
    "401": raw(401, GOOD),
    "201": raw(201, GOOD),
    "204": raw(204, ""),
    "redirect": raw(302, GOOD, location="/elsewhere"),
    "redirect that stays": raw(308, GOOD, location="/elsewhere"),
    "HTML": raw(200, "<html>Sign in</html>", content_type="text/html"),
    "nothing": raw(200, ""),
    "not JSON": raw(200, GOOD[:-1]),
    "not text": raw(200, b"\xff\xfe\xfd"),
    "a list": raw(200, json.dumps([ED.jwk()])),
    "a number": raw(200, "5"),
    "no keys": raw(200, json.dumps({"error": "no"})),
    "keys are an object": raw(200, json.dumps({"keys": {ED.key_id: ED.jwk()}})),
    "keys are null": raw(200, json.dumps({"keys": None})),
    "nested": raw(200, "[" * 100_000),
    "too large": raw(200, GOOD + " " * 256 * 1024),
    "packed": raw(200, gzip.compress(GOOD.encode()), content_encoding="gzip"),
    "silent": silent,
    "dripping": dripping,
    "cut": cut,
}


@pytest.mark.environment(DATABASE_URL=NO_DATABASE)
@pytest.mark.parametrize("name", BROKEN)
async def test_a_broken_provider_is_a_503_and_not_a_401(
    parley: Parley, provider: IdentityProvider, fetch_seconds: float, name: str
) -> None:
    del fetch_seconds
    provider.answer = BROKEN[name]

    # By itself a silent or dripping response would never end.
    assert await retry_after_of(parley, ED.token()) == 10
    assert provider.paths == [PATH]


async def test_a_key_set_of_exactly_the_largest_size_is_accepted(
    parley: Parley, provider: IdentityProvider
) -> None:
    provider.answer = raw(200, GOOD + " " * (256 * 1024 - len(GOOD)))

    assert await is_let_in(parley, ED.token())


async def dripping_head(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Send the head of a response a byte at a time until the client leaves."""
    del reader
    with suppress(ConnectionError):
        writer.write(b"HTTP/1.1 200 OK\r\nx: ")
        while not writer.is_closing():
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.05)
    writer.close()


async def test_a_fetch_gives_up_on_a_head_that_does_not_end(fetch_seconds: float) -> None:
    server = await asyncio.start_server(dripping_head, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    started_at = time.monotonic()

    async with asyncio.timeout(30):
        with pytest.raises(lib.identity._keys.IdentityProviderUnavailable):
            await KeySet(f"http://127.0.0.1:{port}/").find("any")

    assert time.monotonic() - started_at >= fetch_seconds
    server.close()


async def test_a_provider_that_refuses_connections_is_a_503() -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]

    with pytest.raises(lib.identity._keys.IdentityProviderUnavailable):
        await KeySet(f"http://127.0.0.1:{port}/").find("any")


async def test_a_provider_that_is_down_at_first_is_tried_again(
    parley: Parley, provider: IdentityProvider, clock: Clock
) -> None:
    provider.answer = raw(500, "")
    assert await retry_after_of(parley, ED.token()) == 10
    clock.seconds += 4
    assert await retry_after_of(parley, ED.token()) == 6
    assert len(provider.requests) == 1

    provider.answer = None
    clock.seconds += 6

    assert await is_let_in(parley, ED.token())
    assert len(provider.requests) == 2


async def test_known_keys_stay_valid_while_a_provider_is_down(
    parley: Parley, provider: IdentityProvider, clock: Clock
) -> None:
    assert await is_let_in(parley, ED.token())
    provider.answer = raw(500, "")

    clock.seconds += 600
    assert await is_let_in(parley, ED.token())
    await refreshed()
    assert await is_let_in(parley, ED.token())
    assert await retry_after_of(parley, UNKNOWN.token()) == 30
    assert len(provider.requests) == 2

    clock.seconds += 100_000
    for _ in range(3):
        assert await is_let_in(parley, ED.token())
        assert await retry_after_of(parley, UNKNOWN.token()) == 30
    assert len(provider.requests) == 3

    provider.answer = None
    clock.seconds += 30
    assert not await is_let_in(parley, UNKNOWN.token())
    assert await is_let_in(parley, EC.token())
    assert len(provider.requests) == 4


async def test_a_provider_that_is_down_does_not_affect_requests_without_a_token(
    parley: Parley, provider: IdentityProvider
) -> None:
    provider.answer = raw(500, "")

    assert (await parley.say("Hello!")).status_code == 200
    assert (await parley.get("/api/health")).status_code == 200


# Without a line for each slow step or connection: on a busy machine all are slow.
@pytest.mark.environment(SLOW_QUERY_MS="600000")
async def test_a_failed_fetch_is_logged_once_and_without_the_response_or_a_token(
    parley: Parley, provider: IdentityProvider, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "parley")
    provider.answer = raw(200, "a secret of the provider")
    tokens = [ED.token(), UNKNOWN.token(), STRANGER.token()]

    for token in tokens:
        assert await retry_after_of(parley, token) >= 1

    failed, *requests = events_of(caplog)
    assert failed.keys() == {"event", "traceback"}
    assert failed["event"] == "jwks_failed"
    assert {each["event"] for each in requests} == {"request"}
    assert "a secret of the provider" not in caplog.text
    for token in tokens:
        assert not any(part in caplog.text for part in token.split("."))


@pytest.mark.environment(SLOW_QUERY_MS="600000")
async def test_a_fetch_is_logged_without_keys_and_tokens(
    parley: Parley, provider: IdentityProvider, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "parley")

    assert await is_let_in(parley, ED.token())

    fetched, _request = events_of(caplog)
    assert fetched.keys() == {"event", "keys", "duration_ms"}
    assert fetched["keys"] == len(provider.keys)


async def test_the_end_of_the_process_ends_a_fetch(
    provider: IdentityProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lib.identity._keys, "FETCH_SECONDS", 60)
    arrived = asyncio.Event()

    async def held(scope: Scope, receive: Receive, send: Send) -> None:
        arrived.set()
        await silent(scope, receive, send)

    provider.answer = held
    keys = KeySet(provider.base_url + PATH)
    waiting = asyncio.create_task(keys.find(ED.key_id))
    await arrived.wait()

    async with asyncio.timeout(20):
        await keys.close()

    with pytest.raises(lib.identity._keys.IdentityProviderUnavailable):
        await waiting
