"""The tokens of local accounts; lib/identity/_tokens.py verifies them."""

from datetime import UTC, datetime, timedelta
from typing import Any

from lib.identity.callers import LOCAL_ACCOUNT_CLAIM, NEW_ACCOUNT_CLAIM
from lib.identity.clients import hashed, site_of
from lib.settings import settings

TOKEN_LIFETIME = timedelta(days=7)
# The new accounts of one client count together for so long.
NEW_ACCOUNT_LIFETIME = timedelta(days=1)


def signed_in(
    user: dict[str, str | None], client: str, created_at: datetime, issued_at: datetime
) -> dict[str, Any]:
    """Return the answer to a log-in: a token, its end, and the user.

    Args:
        user: `id`, `email` and `name`, which is None where it is unknown.
        client: network address of the request.
        created_at: when the account was registered.
        issued_at: when the token is issued, by the database's clock.

    Returns:
        `token`, `expires_at` and `user`.
    """
    # A late import: jwt and its cryptography cost 40 ms.
    import jwt

    configuration = settings()
    # There is one where LOCAL_ACCOUNTS is set (lib/settings.py); the first is the newest.
    secret = configuration.jwt_secret[0]
    expires_at = issued_at.astimezone(UTC).replace(microsecond=0) + TOKEN_LIFETIME
    claims = {
        "sub": user["id"],
        "email": user["email"],
        "name": user["name"],
        "iss": next(iter(configuration.jwt_issuer), None),
        "aud": next(iter(configuration.jwt_audience), None),
        # With microseconds (RFC 7519 lets a NumericDate have them): of two tokens of one second,
        # one may be older than `tokens_valid_from`.
        "iat": issued_at.timestamp(),
        "exp": expires_at,
        LOCAL_ACCOUNT_CLAIM: True,
        NEW_ACCOUNT_CLAIM: _new_account(client, created_at, issued_at),
    }
    payload = {claim: value for claim, value in claims.items() if value is not None}
    token = jwt.encode(payload, secret, algorithm="HS256")
    return {"token": token, "expires_at": expires_at, "user": user}


def _new_account(client: str, created_at: datetime, issued_at: datetime) -> dict[str, Any] | None:
    """Return the claim of an account's first day: its client and site, and the end; None: older."""
    until = created_at + NEW_ACCOUNT_LIFETIME
    if until <= issued_at:
        return None
    claim = {"client": hashed("new accounts", client), "until": int(until.timestamp())}
    site = site_of(client)
    return claim if site is None else claim | {"site": hashed("new accounts of site", site)}
