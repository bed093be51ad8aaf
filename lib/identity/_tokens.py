"""Tokens: JWTs (RFC 7519), verified by PyJWT with the secret or with the provider's public keys.

The configuration and the key fix the algorithm. A token that named its own could name `none`, or
HS256 with a public key as the secret (RFC 8725, section 2.1).
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
    """Verify a token without asking the database; return its claims, including `exp` and `sub`.

    Raises:
        Unauthenticated: when the token is not valid, or the deployment accepts no tokens.
        IdentityProviderUnavailable: when the token's key cannot be fetched now.
    """
    if settings().jwt_jwks_url is not None:
        key = await _published_key(token)
        return _verify(token, key, key.algorithm_name)
    if (secret := settings().jwt_secret) is not None:
        return _verify(token, secret, "HS256")
    detail = "This deployment accepts no tokens: neither JWT_SECRET nor JWT_JWKS_URL is set."
    raise Unauthenticated(detail)


async def _published_key(token: str) -> "PyJWK":
    """Return the key whose id a token names; ignore any key or address in the token."""
    import jwt

    try:
        header = jwt.get_unverified_header(token)
    except jwt.InvalidTokenError as error:
        raise Unauthenticated(NOT_VALID) from error
    key_id: str | None = header.get("kid")
    # Checked first, because the provider cannot have such a key.
    if not key_id or header.get("alg") not in ALGORITHMS:
        raise Unauthenticated(NOT_VALID)
    key = await key_set().find(key_id)
    if key is None:
        raise Unauthenticated(NOT_VALID)
    return key


def _verify(token: str, key: "str | PyJWK", algorithm: str) -> dict[str, Any]:
    # Late: with its cryptography it costs 40 ms, which a request without a token saves.
    import jwt

    audience = settings().jwt_audience
    try:
        return jwt.decode(
            token,
            key,
            algorithms=[algorithm],
            leeway=LEEWAY_SECONDS,
            issuer=settings().jwt_issuer,
            audience=audience,
            options={"require": ["exp", "sub"], "verify_aud": audience is not None},
        )
    except jwt.ExpiredSignatureError as error:
        detail = "The token has expired. Sign in again."
        raise Unauthenticated(detail) from error
    except jwt.InvalidTokenError as error:
        raise Unauthenticated(NOT_VALID) from error
