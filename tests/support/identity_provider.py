"""An identity provider: signers, and the server that publishes their keys."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

PATH = "/api/auth/jwks"
ISSUER, AUDIENCE = "https://issuer.example", "parley"
MAKERS: dict[str, Callable[[], Any]] = {
    "EdDSA": ed25519.Ed25519PrivateKey.generate,
    "ES256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "ES384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "RS256": lambda: rsa.generate_private_key(65537, 2048),
}
WRITERS: dict[str, Callable[..., Any]] = {
    "EdDSA": OKPAlgorithm.to_jwk,
    "ES256": ECAlgorithm.to_jwk,
    "ES384": ECAlgorithm.to_jwk,
    "RS256": RSAAlgorithm.to_jwk,
}


@dataclass(frozen=True, slots=True)
class Signer:
    """One pair of keys."""

    algorithm: str
    key_id: str
    private: Any

    def named(self, key_id: str) -> "Signer":
        """Return the same keys under another id."""
        return replace(self, key_id=key_id)

    def jwk(self, **changed: object) -> dict[str, Any]:
        """Return the public key as it is published, but for what is changed; None: left out."""
        written: dict[str, Any] = WRITERS[self.algorithm](self.private.public_key(), as_dict=True)
        whole = written | {"kid": self.key_id, "alg": self.algorithm} | changed
        return {name: value for name, value in whole.items() if value is not None}

    def private_jwk(self) -> dict[str, Any]:
        """Return the private key as nobody should publish it."""
        written: dict[str, Any] = WRITERS[self.algorithm](self.private, as_dict=True)
        return written | {"kid": self.key_id, "alg": self.algorithm}

    def token(
        self,
        headers: dict[str, Any] | None = None,
        *,
        algorithm: str | None = None,
        **changed: object,
    ) -> str:
        """Return a token of ann, good for an hour, but for what is changed; None: left out."""
        right = {"sub": "ann", "iss": ISSUER, "aud": AUDIENCE, "exp": int(time.time()) + 3600}
        whole: dict[str, Any] = right | changed
        return jwt.encode(
            {name: value for name, value in whole.items() if value is not None},
            self.private,
            algorithm=algorithm or self.algorithm,
            headers={"kid": self.key_id} | (headers or {}),
        )


def signer(algorithm: str, key_id: str | None = None, private: object = None) -> Signer:
    """Make a pair of keys."""
    return Signer(algorithm, key_id or f"key-{algorithm}", private or MAKERS[algorithm]())


def accepting(provider_url: str) -> dict[str, str]:
    """Return the variables of a product that accepts a provider's tokens."""
    return {"JWT_JWKS_URL": provider_url + PATH, "JWT_ISSUER": ISSUER, "JWT_AUDIENCE": AUDIENCE}


class IdentityProvider:
    """Publishes keys, and remembers who asked.

    Attributes:
        base_url: where it is served.
        keys: what it publishes.
        answer: who answers instead, if somebody does.
        requests: the requests that came, as they came.
    """

    def __init__(self, base_url: str) -> None:
        """Begin without keys."""
        self.base_url = base_url
        self.keys: list[Any] = []
        self.answer: ASGIApp | None = None
        self.requests: list[Request] = []

    @property
    def paths(self) -> list[str]:
        """The paths that were asked for."""
        return [request.url.path for request in self.requests]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        self.requests.append(Request(scope))
        answer = self.answer or JSONResponse({"keys": self.keys})
        await answer(scope, receive, send)


class Clock:
    """A clock that stands still until it is moved.

    Attributes:
        seconds: what it shows.
    """

    def __init__(self) -> None:
        """Begin somewhere."""
        self.seconds = 5000.0

    def __call__(self) -> float:
        """Tell the time."""
        return self.seconds


def raw(status: int, body: bytes | str, **headers: str) -> ASGIApp:
    """Answer with this."""
    content = body if isinstance(body, bytes) else body.encode()
    named = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]

    async def answer(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": status, "headers": named})
        await send({"type": "http.response.body", "body": content})

    return answer


def written(*keys: object) -> str:
    """Return a key set as it is sent."""
    return json.dumps({"keys": keys})
