"""Tokens: JWTs (RFC 7519), verified by PyJWT with the secret or with the provider's public keys.

The algorithm is fixed by configuration and by the key. A token that chose its own could choose
`none`, or HS256 with a public key for a secret (RFC 8725, section 2.1).
"""

from typing import TYPE_CHECKING, Any

from lib.identity._keys import ALGORITHMS, key_set
from lib.problems import Unauthenticated
from lib.settings import settings

if TYPE_CHECKING:
    from jwt import PyJWK


LEEWAY_SECONDS = 30
NOT_VALID = "The token is not valid. Sign in again."


async def claims_of(token: str) -> dict[str, Any]:
    """Verify a token without asking the database; return its claims, among them `exp` and `sub`.

    Raises:
        Unauthenticated: it is not valid, or this deployment takes no tokens.
        IdentityProviderUnavailable: its key cannot be had now.
    """
    chosen = settings()
    if chosen.jwt_jwks_url is not None:
        key = await _published_key(token)
        return _verify(token, key, key.algorithm_name)
    if chosen.jwt_secret is not None:
        return _verify(token, chosen.jwt_secret, "HS256")
    detail = "This deployment takes no tokens: its operator has set no JWT_SECRET or JWT_JWKS_URL."
    raise Unauthenticated(detail)


async def _published_key(token: str) -> "PyJWK":
    """Return the key that a token names; what else its header says of keys is not looked at."""
    import jwt

    try:
        header = jwt.get_unverified_header(token)
    except jwt.InvalidTokenError as error:
        raise Unauthenticated(NOT_VALID) from error
    key_id: str | None = header.get("kid")
    # Before the provider is asked for what it cannot have.
    if not key_id or header.get("alg") not in ALGORITHMS:
        raise Unauthenticated(NOT_VALID)
    key = await key_set().find(key_id)
    if key is None:
        raise Unauthenticated(NOT_VALID)
    return key


def _verify(token: str, key: "str | PyJWK", algorithm: str) -> dict[str, Any]:
    # Here, not above: with its cryptography it costs 40 ms, which a request without a token saves.
    import jwt

    chosen = settings()
    try:
        return jwt.decode(
            token,
            key,
            algorithms=[algorithm],
            leeway=LEEWAY_SECONDS,
            issuer=chosen.jwt_issuer,
            audience=chosen.jwt_audience,
            options={"require": ["exp", "sub"], "verify_aud": chosen.jwt_audience is not None},
        )
    except jwt.ExpiredSignatureError as error:
        detail = "The token has expired. Sign in again."
        raise Unauthenticated(detail) from error
    except jwt.InvalidTokenError as error:
        raise Unauthenticated(NOT_VALID) from error
