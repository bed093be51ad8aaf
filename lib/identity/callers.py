"""The caller of a request: a user, by a token, or an anonymous caller."""

import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Literal, cast
from uuid import UUID

from starlette.requests import Request

from lib.identity._tokens import claims_of, refusal
from lib.identity.clients import client_of
from lib.identity.conversation_keys import key_of
from lib.models import Claims, claims_among
from lib.problems import Unauthenticated
from lib.runtime.trace import trace
from lib.settings import settings
from lib.texts import normalized_address

MAX_ID_CHARS = 255
# In the tokens that lib/users/tokens.py signs.
LOCAL_ACCOUNT_CLAIM = "local_account"
# Of an account that is younger than a day: `{"client": keyed hash of the network address from which
# the token was got, "site": that of its site (IPv6), "until": end of that day, in seconds of Unix
# time}`.
NEW_ACCOUNT_CLAIM = "new_account"
# What a step does about an anonymous conversation: see sql/functions/reach_conversation.sql.
type Approach = Literal["read", "create", "continue", "follow"]
# Later than every `tokens_valid_from`.
NEVER_TOO_OLD = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Caller:
    """The caller of a request.

    Attributes:
        user_id: the token's subject; None: anonymous.
        email: from the token, as `normalized_address` returns it; None: the token has none.
        name: from the token; None: the token has none.
        has_local_account: Parley signed the token, for an account in `users`.
        token_issued_at: the token's `iat`; None: anonymous, or the token does not say.
        conversation_key: the key of an anonymous conversation, as the request has it; None: none.
        client: network address of the request: see `client_of`.
        claims: those of the token that decide which models its user may choose.
        new_account_subjects: the subjects of quotas that a local account shares, while it is
            younger than a day, with the other new accounts of its client, and then of its site.
        approach: of the next steps to an anonymous conversation. `read`: one that the caller does
            not reach is a guess, which is counted. `create`: it may be new. `continue`: it must not
            be new. `follow`: an earlier step of the request has reached it, so nothing is counted.
    """

    user_id: str | None = None
    email: str | None = None
    name: str | None = None
    has_local_account: bool = False
    token_issued_at: datetime | None = None
    conversation_key: str | None = None
    client: str = ""
    claims: Claims = frozenset()
    new_account_subjects: tuple[str, ...] = ()
    approach: Approach = "read"

    @property
    def counted_as(self) -> str:
        """The text that stands for the caller in a keyed hash: a user, or a guest's client."""
        return f"client {self.client}" if self.user_id is None else f"user {self.user_id}"

    def following(self) -> "Caller":
        """Return the caller for the steps after the first one, which has admitted the caller.

        An answer that is being made is still stored after the user has signed out everywhere, and a
        conversation that is gone by now is no guess.
        """
        return replace(self, approach="follow", token_issued_at=NEVER_TOO_OLD)

    def reachable(self, conversation_id: UUID) -> UUID | None:
        """Return the id for an anonymous caller, whose only permission it is; for a user, None."""
        return conversation_id if self.user_id is None else None


async def caller_of(request: Request) -> Caller:
    """Return the caller of a request, without asking the database.

    Raises:
        Unauthenticated: when the token is not valid, or missing while AUTH_REQUIRED is set. An
            invalid token never makes an anonymous caller.
        IdentityProviderUnavailable: when the token's key cannot be fetched now.
        InvalidRequest: when the header x-conversation-key has no key in it.
    """
    caller = await _caller_by_token(request)
    return replace(caller, conversation_key=key_of(request))


async def _caller_by_token(request: Request) -> Caller:
    headers = request.headers.getlist("authorization")
    if not headers:
        if settings().auth_required:
            raise Unauthenticated
        trace().caller = "anonymous"
        return Caller(client=client_of(request))
    if len(headers) > 1:
        detail = "Send one Authorization header, not several."
        raise Unauthenticated(detail)
    scheme, _, token = headers[0].partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        detail = "The Authorization header must be: Bearer, a space, and the token."
        raise Unauthenticated(detail)
    caller = _caller(await claims_of(token.strip()), client_of(request))
    trace().caller = "account" if caller.has_local_account else "user"
    return caller


async def user_of(request: Request) -> Caller:
    """Return the caller of a request, who must be a user.

    Raises:
        Unauthenticated: see `caller_of`; also when the caller is anonymous.
        IdentityProviderUnavailable: see `caller_of`.
    """
    caller = await _caller_by_token(request)
    if caller.user_id is None:
        raise Unauthenticated
    return caller


def _caller(claims: dict[str, Any], client: str) -> Caller:
    subject: object = claims["sub"]
    if not isinstance(subject, str) or not subject.strip() or not _is_storable(subject):
        detail = f"The token's subject (sub) must be a text of 1 to {MAX_ID_CHARS} characters."
        raise refusal("subject", detail)
    email: object = claims.get("email")
    if isinstance(email, str):
        # Before the length is checked, because some letters become two.
        email = normalized_address(email)
    is_local = claims.get(LOCAL_ACCOUNT_CLAIM) is True
    return Caller(
        user_id=subject,
        email=_profile(email),
        name=_profile(claims.get("name")),
        has_local_account=is_local,
        token_issued_at=_issued_at(claims.get("iat")),
        client=client,
        claims=claims_among(claims, settings().models),
        new_account_subjects=_new_account(claims.get(NEW_ACCOUNT_CLAIM)) if is_local else (),
    )


def _new_account(claim: object) -> tuple[str, ...]:
    """Return the subjects in a claim `new_account`; none: the account is no longer new."""
    if not isinstance(claim, dict):
        return ()
    content = cast("dict[str, object]", claim)
    until = content.get("until")
    if not isinstance(until, int | float) or until <= time.time():
        return ()
    subjects = (content.get("client"), content.get("site"))
    return tuple(each for each in subjects if isinstance(each, str) and each and _is_storable(each))


def _issued_at(claim: object) -> datetime | None:
    """Return the time of a claim `iat`, which PyJWT has checked to be a number of seconds."""
    if not isinstance(claim, int | float):
        return None
    try:
        return datetime.fromtimestamp(claim, UTC)
    except (ValueError, OverflowError, OSError):
        return None


def _profile(claim: object) -> str | None:
    return claim if isinstance(claim, str) and claim.strip() and _is_storable(claim) else None


def _is_storable(text: str) -> bool:
    """Tell whether a varchar(255) of Postgres can hold a text: no NUL, no lone surrogate."""
    surrogates = any("\ud800" <= character <= "\udfff" for character in text)
    return len(text) <= MAX_ID_CHARS and "\0" not in text and not surrogates
