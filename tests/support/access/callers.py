"""Every kind of caller, and its token: good ones, and all ways to make a bad one."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jwt
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.api.test_callers import forged
from tests.support.identity_provider import AUDIENCE, ISSUER, signer
from tests.support.product import JWT_SECRET

# Ids of users. Each id is also the word that marks all data of its user.
ANN, BOB, INA = "annsecret", "bobsecret", "inasecret"
NOBODY = "nobodysecret"
# The word that marks the conversation without an owner that has a key, and the owner of no thing.
KEYED, STRANGER = "keyedsecret", "strangersecret"
ANOTHER_SECRET = "another secret of at least 32 bytes"
SIGNER = signer("EdDSA")
PUBLIC_PEM = SIGNER.private.public_key().public_bytes(
    Encoding.PEM, PublicFormat.SubjectPublicKeyInfo
)


@dataclass(frozen=True, slots=True)
class Caller:
    """One kind of caller.

    Attributes:
        kind: the name of the kind.
        authorization: the header; None: none is sent.
        user_id: the user that the token names; None: an anonymous caller.
        refusal: status and code of the refusal at every door; None: the caller is let in.
        key: key of a conversation; None: none is sent.
    """

    kind: str
    authorization: str | None
    user_id: str | None = None
    refusal: tuple[int, str] | None = None
    key: str | None = None

    @property
    def owner(self) -> str:
        """The owner of this caller's things: the user, or the word for the key that is sent."""
        keys = {None: NOBODY, KEY: KEYED}
        return self.user_id or keys.get(self.key, STRANGER)

    def headers(self) -> dict[str, str]:
        """Return the headers that this caller sends."""
        headers = {} if self.authorization is None else {"authorization": self.authorization}
        return headers if self.key is None else headers | {"x-conversation-key": self.key}


@dataclass(frozen=True, slots=True)
class Mechanism:
    """One way to check tokens.

    Attributes:
        sign: makes a token of claims, with the key that counts.
        sign_wrongly: with another key of the same id and kind.
        sign_unknown: with another key, of an unknown id.
        sign_otherwise: with the key that would count if the other mechanism were configured.
    """

    sign: Callable[[dict[str, Any]], str]
    sign_wrongly: Callable[[dict[str, Any]], str]
    sign_unknown: Callable[[dict[str, Any]], str]
    sign_otherwise: Callable[[dict[str, Any]], str]


def _with(key: object, algorithm: str, key_id: str) -> Callable[[dict[str, Any]], str]:
    def sign(claims: dict[str, Any]) -> str:
        return jwt.encode(claims, key, algorithm=algorithm, headers={"kid": key_id})  # pyright: ignore[reportArgumentType]

    return sign


SECRET = _with(JWT_SECRET, "HS256", SIGNER.key_id)
PUBLISHED = _with(SIGNER.private, "EdDSA", SIGNER.key_id)
MECHANISMS = {
    "secret": Mechanism(
        SECRET,
        _with(ANOTHER_SECRET, "HS256", SIGNER.key_id),
        _with(ANOTHER_SECRET, "HS256", "unknown"),
        PUBLISHED,
    ),
    "published keys": Mechanism(
        PUBLISHED,
        _with(signer("EdDSA").private, "EdDSA", SIGNER.key_id),
        _with(signer("EdDSA").private, "EdDSA", "unknown"),
        SECRET,
    ),
}
ANONYMOUS = Caller("anonymous", None)
# The deployment's keys have this form; the tests' own are not made by it.
KEY, WRONG_KEY = "pk_" + "k" * 64, "pk_" + "w" * 64
GUESTS = [
    ANONYMOUS,
    Caller("guest with the key", None, key=KEY),
    Caller("guest with a wrong key", None, key=WRONG_KEY),
]


def callers_of(mechanism: Mechanism) -> list[Caller]:
    """Return every kind of caller. A bad token names Ann."""
    now = int(time.time())
    right = {"sub": ANN, "iss": ISSUER, "aud": AUDIENCE, "exp": now + 3600}
    kid = {"kid": SIGNER.key_id}
    unsigned = forged({"alg": "none"} | kid, right).rpartition(".")[0] + "."

    def user(name: str) -> str:
        return f"Bearer {mechanism.sign(right | {'sub': name})}"

    bad_tokens = {
        "no token": "",
        "expired": mechanism.sign(right | {"exp": now - 60}),
        "future": mechanism.sign(right | {"nbf": now + 3600}),
        "wrong issuer": mechanism.sign(right | {"iss": "https://issuer.example.evil"}),
        "wrong audience": mechanism.sign(right | {"aud": "another"}),
        "wrong key": mechanism.sign_wrongly(right),
        "alg none": unsigned,
        "HS256 signed with the public key": forged({"alg": "HS256"} | kid, right, PUBLIC_PEM),
        "key id unknown": mechanism.sign_unknown(right),
        "of the other mechanism": mechanism.sign_otherwise(right),
    }
    deleted = mechanism.sign(right | {"sub": "goneuser", "local_account": True})
    return [
        Caller("user A", user(ANN), ANN),
        Caller("user B", user(BOB), BOB),
        # With a key, without which a claim is refused before the account is looked at.
        Caller("inactive", user(INA), INA, (403, "account_inactive"), KEY),
        Caller("deleted account", f"Bearer {deleted}", "goneuser", (403, "account_unknown"), KEY),
        *GUESTS,
        Caller("user B with the key", user(BOB), BOB, key=KEY),
        Caller("user B with a wrong key", user(BOB), BOB, key=WRONG_KEY),
        *(
            Caller(kind, f"Bearer {token}".strip(), ANN, (401, "unauthenticated"))
            for kind, token in bad_tokens.items()
        ),
    ]
