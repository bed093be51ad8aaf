"""Tokens: JWTs (RFC 7519), verified by PyJWT with a secret or with a provider's public keys.

The kind of a key fixes its algorithm: a secret verifies HS256 alone, and a published key the one
algorithm that it was published for. A token that named its own could name `none`, or HS256 with a
public key as the secret (RFC 8725, section 2.1). Both kinds may be configured at once, so that the
tokens of yesterday stay valid while the provider changes.

A refusal says which part of the token does not fit, in the response and in the log. It repeats the
token's own `iss` and `aud`, and the issuer and audience of the deployment, which are public; no
key, and no part of a signature.
"""

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, cast

from lib.identity._keys import ALGORITHMS, key_set
from lib.problems import IdentityProviderUnavailable, Unauthenticated
from lib.runtime.log import log_seldom
from lib.settings import settings

if TYPE_CHECKING:
    from jwt import InvalidTokenError, PyJWK


LEEWAY_SECONDS = 30
SECRETS_ALGORITHM = "HS256"
# Of a text of the token that a refusal repeats.
QUOTED_CHARS = 200
# Larger integers come out of JavaScript's JSON as another number: two users would be one.
LARGEST_INTEGER = 2**53 - 1
NOT_A_JWT = (
    "The token is not a JWT: it must have a header, claims and a signature, each in base64url, "
    "with dots between them."
)
WRONG_SIGNATURE = (
    "The token's signature is not right: another key has signed it, or it was changed since."
)
NOT_UNDERSTOOD = (
    "The token's header has a part that this deployment does not understand: crit must be absent, "
    "and kid must be a text."
)
OTHER_ALGORITHM = (
    "The token's header names another algorithm (alg) than that of the key with its key id (kid)."
)
NO_END = "The token has no end (exp): the time, in seconds of Unix time, at which it expires."
NO_TIME = "The token's times (exp, nbf, iat) must be numbers: seconds of Unix time."
NO_KEYS = "This deployment accepts no tokens: neither JWT_SECRET nor JWT_JWKS_URL is set."
NO_KEY_ID = "The token's header has no key id (kid), so its key cannot be found among its issuer's."
UNKNOWN_KEY = "The token's key id (kid) is not among the keys that its issuer publishes."


async def claims_of(token: str) -> dict[str, Any]:
    """Verify a token without asking the database; return its claims.

    Returns:
        The claims; `exp` is a number, and `sub` a text, also where the token has a whole number.

    Raises:
        Unauthenticated: when the token is not valid, or the deployment accepts no tokens.
        IdentityProviderUnavailable: when the token's key cannot be fetched now.
    """
    chosen = settings()
    if not (chosen.jwt_secret or chosen.jwt_jwks_url):
        raise refusal("no_keys", NO_KEYS)
    algorithm, header, stated = _read(token)
    if algorithm == SECRETS_ALGORITHM and chosen.jwt_secret:
        claims = _verify_by_secrets(token, chosen.jwt_secret)
        # The deployment's own secret. Its tokens of before the change-over may name no issuer.
        may_lack = bool(chosen.jwt_jwks_url)
        _check_issuer(claims, chosen.jwt_issuer, may_lack=may_lack)
        _check_audience(claims, chosen.jwt_audience, may_lack=may_lack)
    elif algorithm in ALGORITHMS and chosen.jwt_jwks_url:
        # First, because the issuer tells where its keys are. Not verified yet: a false one leads to
        # the keys of that issuer, which have not signed the token.
        _check_issuer(stated, _issuers_with_keys())
        key = await _published_key(header, stated["iss"])
        claims = _verify(token, key, key.algorithm_name)
        _check_audience(claims, chosen.jwt_audience)
    else:
        accepted = [SECRETS_ALGORITHM] if chosen.jwt_secret else []
        accepted += ALGORITHMS if chosen.jwt_jwks_url else ()
        detail = (
            f"The token's header has alg {_quoted(algorithm)}, but this deployment accepts "
            f"{', '.join(accepted)}."
        )
        raise refusal("algorithm", detail)
    return claims | {"sub": _subject(claims)}


def refusal(cause: str, detail: str) -> Unauthenticated:
    """Return the 401 for a token, and note its cause in the log, seldom for each cause.

    Args:
        cause: a word for the log.
        detail: the text for the client.
    """
    log_seldom("token_refused", cause, detail=detail)
    return Unauthenticated(detail)


def _read(token: str) -> tuple[object, dict[str, Any], dict[str, Any]]:
    """Return a token's algorithm, its header and its claims; nothing of them is verified."""
    # Late: with its cryptography it costs 40 ms, which a request without a token saves.
    import jwt

    try:
        whole = jwt.decode_complete(token, options={"verify_signature": False})
    except jwt.DecodeError as error:
        raise refusal("malformed", NOT_A_JWT) from error
    except jwt.InvalidTokenError as error:
        raise refusal("header", NOT_UNDERSTOOD) from error
    header: dict[str, Any] = whole["header"]
    return header.get("alg"), header, whole["payload"]


def _issuers_with_keys() -> tuple[str, ...]:
    """Return the issuers whose keys are published: of several key sets, one for each."""
    urls, issuers = settings().jwt_jwks_url, settings().jwt_issuer
    return issuers[: len(urls)] if len(urls) > 1 else issuers


async def _published_key(header: dict[str, Any], issuer: str) -> "PyJWK":
    """Return the key of an issuer that a header names; ignore any key or address in the header."""
    urls, issuers = settings().jwt_jwks_url, settings().jwt_issuer
    if len(urls) > 1:
        urls = [url for url, named in zip(urls, issuers, strict=False) if named == issuer]
    key_id: object = header.get("kid")
    # Checked first, because the issuer cannot have such a key.
    if not isinstance(key_id, str) or not key_id:
        raise refusal("no_key_id", NO_KEY_ID)
    outage: IdentityProviderUnavailable | None = None
    for url in urls:
        try:
            key = await key_set(url).find(key_id)
        except IdentityProviderUnavailable as problem:
            outage = problem
            continue
        if key is not None:
            return key
    if outage:
        raise outage
    raise refusal("unknown_key", UNKNOWN_KEY)


def _verify_by_secrets(token: str, secrets: tuple[str, ...]) -> dict[str, Any]:
    """Return the claims of a token that one of the secrets has signed.

    PyJWT compares signatures in constant time.
    """
    import jwt

    for secret in secrets[:-1]:
        try:
            jwt.PyJWS().decode(token, secret, algorithms=[SECRETS_ALGORITHM])
        except jwt.InvalidSignatureError:
            continue
        return _verify(token, secret, SECRETS_ALGORITHM)
    return _verify(token, secrets[-1], SECRETS_ALGORITHM)


def _verify(token: str, key: "str | PyJWK", algorithm: str) -> dict[str, Any]:
    """Return the claims of a token with a right signature, which is valid now."""
    import jwt

    # The issuer, the audience and the subject are checked by this module, which says more.
    options = dict.fromkeys(("verify_iss", "verify_aud", "verify_sub", "verify_jti"), False)
    try:
        return jwt.decode(
            token,
            key,
            algorithms=[algorithm],
            leeway=LEEWAY_SECONDS,
            options={"require": ["exp"], **options},  # pyright: ignore[reportArgumentType]
        )
    except jwt.InvalidTokenError as error:
        raise _refusal_of(error, token) from error


def _refusal_of(error: "InvalidTokenError", token: str) -> Unauthenticated:
    """Return the refusal for an error of PyJWT, which reads the signature before the claims."""
    import jwt

    match error:
        case jwt.InvalidAlgorithmError():
            return refusal("algorithm", OTHER_ALGORITHM)
        case jwt.ExpiredSignatureError():
            ended = _time(_read(token)[2], "exp")
            return refusal("expired", f"The token has expired, at {ended}. Sign in again.")
        case jwt.ImmatureSignatureError():
            claims = _read(token)[2]
            begins = max(_time(claims, claim) for claim in ("nbf", "iat") if claim in claims)
            detail = f"The token is not valid before {begins}. Is the clock of its issuer right?"
            return refusal("not_yet_valid", detail)
        case jwt.MissingRequiredClaimError():
            return refusal("no_end", NO_END)
        case jwt.InvalidSignatureError():
            return refusal("signature", WRONG_SIGNATURE)
        case _:
            # The form of the token is right by now.
            return refusal("times", NO_TIME)


def _check_issuer(
    claims: dict[str, Any], accepted: tuple[str, ...], *, may_lack: bool = False
) -> None:
    """Compare the issuer letter by letter, as RFC 7519 requires; a slash counts."""
    issuer: object = claims.get("iss")
    if not accepted or issuer in accepted or (issuer is None and may_lack):
        return
    if issuer is None:
        raise refusal("issuer", f"The token has no issuer (iss); it must be {_listed(accepted)}.")
    detail = f"The token's issuer (iss) is {_quoted(issuer)}, but it must be {_listed(accepted)}."
    if isinstance(issuer, str) and issuer.rstrip("/") in {each.rstrip("/") for each in accepted}:
        detail += " Only the slash at the end differs: JWT_ISSUER must be as it is in the token."
    raise refusal("issuer", detail)


def _check_audience(
    claims: dict[str, Any], accepted: tuple[str, ...], *, may_lack: bool = False
) -> None:
    audience: object = claims.get("aud")
    given: Any = [audience] if isinstance(audience, str) else audience
    if not accepted or (audience is None and may_lack):
        return
    wanted = _listed(accepted)
    if audience is None:
        detail = f"The token has no audience (aud); it must be {wanted}."
        raise refusal("audience", detail)
    if not isinstance(given, list) or not any(
        each in accepted for each in cast("list[object]", given)
    ):
        detail = f"The token's audience (aud) is {_quoted(audience)}, but it must be {wanted}."
        raise refusal("audience", detail)


def _subject(claims: dict[str, Any]) -> object:
    """Return the subject; a whole number as its decimal text, which RFC 7519 requires."""
    subject: object = claims.get("sub")
    if subject is None:
        raise refusal("subject", "The token has no subject (sub): the id of its user, as a text.")
    if not isinstance(subject, int) or isinstance(subject, bool):
        return subject
    if not 0 <= subject <= LARGEST_INTEGER:
        detail = (
            "The token's subject (sub) is a number beyond those that JSON keeps exactly: its "
            "issuer must write it as a text."
        )
        raise refusal("subject", detail)
    return str(subject)


def _time(claims: dict[str, Any], claim: str) -> str:
    """Return a time of a token as people read it; a claim that is no time: an unknown time."""
    try:
        return f"{datetime.fromtimestamp(int(claims[claim]), UTC):%Y-%m-%d %H:%M:%S} UTC"
    except (KeyError, ValueError, TypeError, OverflowError, OSError):
        return "an unknown time"


def _quoted(text: object) -> str:
    """Return a part of the token for a refusal, as JSON and short."""
    if isinstance(text, str):
        return json.dumps(text[:QUOTED_CHARS])
    return json.dumps(text)[:QUOTED_CHARS]


def _listed(texts: tuple[str, ...]) -> str:
    return " or ".join(f'"{text}"' for text in texts)
