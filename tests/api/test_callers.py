"""Callers: which tokens are valid, and that an invalid token never makes an anonymous caller."""

import base64
import hmac
import json
import time
from collections.abc import AsyncGenerator

import httpx2
import psycopg
import pytest

from tests.support.product import CHAT_ID, JWT_SECRET, Parley, problem_of, running_product
from tests.support.proxy import Proxy, proxied
from tests.support.serving import Switchboard

NOW = int(time.time())
HS256 = {"alg": "HS256", "typ": "JWT"}
REQUESTS = [
    ("POST", "/api/chat", {"message": "Hello!"}),
    ("GET", f"/api/history?conversation_id={CHAT_ID}", None),
    ("GET", "/api/conversations", None),
]


def forged(
    header: object, content: object, secret: str | bytes = JWT_SECRET, digest: str = "sha256"
) -> str:
    """Make a token by hand, as a library would refuse to; bytes go into it as they are."""

    def segment(part: object) -> str:
        written = part if isinstance(part, bytes) else json.dumps(part).encode()
        return base64.urlsafe_b64encode(written).rstrip(b"=").decode()

    signed = f"{segment(header)}.{segment(content)}"
    key = secret if isinstance(secret, bytes) else secret.encode()
    return f"{signed}.{segment(hmac.digest(key, signed.encode(), digest))}"


def claims(**changed: object) -> dict[str, object]:
    """Return Ann's claims, valid for an hour, with some changed; None: left out."""
    content: dict[str, object] = {"sub": "ann", "exp": NOW + 3600} | changed
    return {name: value for name, value in content.items() if value is not None}


def signed(**changed: object) -> str:
    """Return a token with such claims."""
    return forged(HS256, claims(**changed))


NOT_VALID = {
    "expired": signed(exp=NOW - 31),
    "no exp": signed(exp=None),
    "exp is text": signed(exp="soon"),
    "exp is infinite": signed(exp=float("inf")),
    "exp is a list": signed(exp=[NOW + 3600]),
    "not yet": signed(nbf=NOW + 3600),
    "no sub": signed(sub=None),
    "sub is a fraction": signed(sub=5.5),
    "sub is a switch": signed(sub=True),
    "sub is below zero": signed(sub=-5),
    "sub is a number that JSON does not keep": signed(sub=2**53),
    "sub is a list": signed(sub=["ann"]),
    "sub is empty": signed(sub=""),
    "sub is blank": signed(sub=" \u2003"),
    "sub is too long": signed(sub="a" * 256),
    "sub has NUL": signed(sub="ann\0"),
    "sub has half a character": signed(sub="ann\ud800"),
    "another key": forged(HS256, claims(), "another secret of at least 32 bytes"),
    "no signature": signed().rpartition(".")[0] + ".",
    "a signature cut short": signed()[:-4],
    "another's claims": ".".join(
        [signed().split(".")[0], signed(sub="bob").split(".")[1], signed().split(".")[2]]
    ),
    "alg none": forged({"alg": "none"}, claims()).rpartition(".")[0] + ".",
    "alg none, signed": forged({"alg": "none"}, claims()),
    "alg HS512": forged({"alg": "HS512"}, claims(), digest="sha512"),
    "alg RS256": forged({"alg": "RS256"}, claims()),
    "no alg": forged({"typ": "JWT"}, claims()),
    "alg is a list": forged({"alg": ["HS256"]}, claims()),
    "an extension that must be understood": forged(HS256 | {"crit": ["x"], "x": 1}, claims()),
    "a payload that is elsewhere": forged(HS256 | {"crit": ["b64"], "b64": False}, claims()),
    "claims are no object": forged(HS256, ["ann"]),
    "claims are no JSON": forged(HS256, b"{"),
    "claims are no text": forged(HS256, b"\xff"),
    "claims are nested": forged(HS256, b"[" * 20_000),
    "header is no object": forged(["HS256"], claims()),
    "header is no JSON": forged(b"{", claims()),
    "header is nested": forged(b"[" * 20_000, claims()),
    "one part": "nonsense",
    "five parts": "a.b.c.d.e",
    "not ASCII": signed() + "\u00e9",
    "two tokens": f"{signed()} {signed()}",
    "two tokens with a comma": f"{signed()}, Bearer {signed()}",
}


@pytest.fixture
async def proxy(environment: dict[str, str]) -> AsyncGenerator[Proxy]:
    """Return a proxy before the database that the product uses."""
    async with proxied(environment["DATABASE_URL"]) as (proxy, url):
        environment["DATABASE_URL"] = url
        proxy.delay_seconds = 0
        yield proxy


@pytest.fixture
async def parley(
    proxy: Proxy,
    switchboard: Switchboard,
    environment: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncGenerator[Parley]:
    """Return the product, which has not yet connected to its database."""
    del proxy
    async with running_product(switchboard, monkeypatch, environment) as running:
        yield running


async def answers(parley: Parley, *authorization: str) -> list[httpx2.Response]:
    """Send each request with such Authorization headers."""
    headers = [(b"authorization", each.encode("latin-1")) for each in authorization]
    return [
        await parley.client.request(method, url, json=body, headers=headers)
        for method, url, body in REQUESTS
    ]


async def all_are_refused(parley: Parley, proxy: Proxy, *authorization: str) -> None:
    """Check that each request is refused before the product connects to the database."""
    for response in await answers(parley, *authorization):
        problem_of(response, 401, "unauthenticated")
        assert response.headers["www-authenticate"] == "Bearer"
        assert not any(each[-20:] in response.text for each in authorization if each[20:])
    assert proxy.connections == 0


async def is_let_in(parley: Parley, authorization: str) -> bool:
    """Tell whether a header makes a user."""
    response = await parley.client.get(
        "/api/conversations", headers={"authorization": authorization}
    )
    return response.status_code == 200


@pytest.mark.parametrize("token", NOT_VALID.values(), ids=NOT_VALID)
async def test_a_token_that_is_not_valid_is_refused_before_the_database_is_asked(
    parley: Parley, proxy: Proxy, token: str
) -> None:
    await all_are_refused(parley, proxy, f"Bearer {token}")


@pytest.mark.parametrize(
    "authorization",
    [
        [""],
        ["Bearer"],
        ["Basic YW5uOnNlY3JldA=="],
        [signed()],
        [f"Token {signed()}"],
        [f"Bearer{signed()}"],
        [f"Bearer {signed()}", f"Bearer {signed()}"],
        [f"Bearer {signed()}", "Basic YW5uOnNlY3JldA=="],
        ["", f"Bearer {signed()}"],
    ],
)
async def test_a_header_that_is_not_one_bearer_token_is_refused(
    parley: Parley, proxy: Proxy, authorization: list[str]
) -> None:
    await all_are_refused(parley, proxy, *authorization)


@pytest.mark.environment(JWT_SECRET=None)
async def test_a_deployment_without_a_secret_accepts_no_token(parley: Parley, proxy: Proxy) -> None:
    for token in (signed(), forged(HS256, claims(), ""), forged({"alg": "none"}, claims(), "")):
        await all_are_refused(parley, proxy, f"Bearer {token}")

    assert (await parley.say("Hello!")).status_code == 200


@pytest.mark.environment(AUTH_REQUIRED="true")
async def test_a_deployment_that_requires_tokens_refuses_anonymous_callers(
    parley: Parley, proxy: Proxy
) -> None:
    await all_are_refused(parley, proxy)

    assert (await parley.say("Hello!", user="ann")).status_code == 200
    assert (await parley.get("/api/health")).status_code == 200


async def test_a_caller_without_a_token_is_anonymous(parley: Parley) -> None:
    chat, history, conversations = await answers(parley)

    assert (chat.status_code, history.status_code) == (200, 404)
    problem_of(conversations, 401, "unauthenticated")


async def test_a_token_is_read_from_the_authorization_header_alone(parley: Parley) -> None:
    response = await parley.client.get(
        "/api/conversations",
        params={"token": signed(), "access_token": signed(), "authorization": signed()},
        headers={"cookie": f"token={signed()}; authorization=Bearer {signed()}"},
    )

    problem_of(response, 401, "unauthenticated")


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"exp": NOW + 10**9},
        {"aud": "somebody", "iss": "somebody", "iat": NOW, "nbf": NOW, "jti": "1"},
        {"sub": "a" * 255},
        {"sub": 0},
        {"sub": 2**53 - 1},
        {"sub": "\U0001f600" * 255},
        {"sub": "5f2b\u2028'\";--"},
    ],
)
async def test_the_subject_of_a_valid_token_is_the_user(
    parley: Parley, database: psycopg.Connection, changed: dict[str, object]
) -> None:
    chat, *_ = await answers(parley, f"Bearer {signed(**changed)}")

    assert chat.status_code == 200
    stored = database.execute("SELECT user_id FROM conversations").fetchall()
    assert stored == [(str(changed.get("sub", "ann")),)]


@pytest.mark.parametrize(("seconds_ago", "expected"), [(15, True), (45, False)])
async def test_a_token_that_expired_less_than_half_a_minute_ago_is_accepted(
    parley: Parley, *, seconds_ago: int, expected: bool
) -> None:
    exp = int(time.time()) - seconds_ago

    assert await is_let_in(parley, f"Bearer {signed(exp=exp)}") == expected


@pytest.mark.parametrize("scheme", ["Bearer ", "bearer ", "BEARER ", "Bearer   "])
async def test_the_bearer_scheme_may_be_written_in_any_case(parley: Parley, scheme: str) -> None:
    assert await is_let_in(parley, scheme + signed())


@pytest.mark.environment(JWT_ISSUER="https://issuer.example", JWT_AUDIENCE="parley")
@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({}, True),
        ({"aud": ["other", "parley"]}, True),
        ({"iss": None}, False),
        ({"iss": "https://issuer.example.evil.com"}, False),
        ({"iss": "https://issuer"}, False),
        ({"iss": ["https://issuer.example"]}, False),
        ({"aud": None}, False),
        ({"aud": "other"}, False),
        ({"aud": "parl"}, False),
        ({"aud": []}, False),
        ({"aud": {"parley": 1}}, False),
    ],
)
async def test_issuer_and_audience_must_be_those_that_are_configured(
    parley: Parley, changed: dict[str, object], *, expected: bool
) -> None:
    right: dict[str, object] = {"iss": "https://issuer.example", "aud": "parley"}

    assert await is_let_in(parley, f"Bearer {signed(**(right | changed))}") == expected


@pytest.mark.parametrize(
    ("profile", "stored"),
    [
        ({"email": "Ann@Example.COM", "name": "Ann"}, ("ann@example.com", "Ann")),
        ({}, (None, None)),
        ({"email": 5, "name": ["Ann"]}, (None, None)),
        ({"email": "", "name": " "}, (None, None)),
        ({"email": "a\0", "name": "a\ud800"}, (None, None)),
        ({"email": "a" * 256, "name": "a" * 256}, (None, None)),
        # In small letters it has two characters for each.
        ({"email": "\u0130" * 255}, (None, None)),
    ],
)
async def test_email_and_name_of_a_token_are_stored_if_they_fit(
    parley: Parley,
    database: psycopg.Connection,
    profile: dict[str, object],
    stored: tuple[str | None, str | None],
) -> None:
    chat, *_ = await answers(parley, f"Bearer {signed(**profile)}")

    assert chat.status_code == 200
    assert database.execute("SELECT email, name FROM users").fetchall() == [stored]
