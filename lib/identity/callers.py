"""Who is calling: a user, by a token, or nobody in particular."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from starlette.requests import Request

from lib.identity._tokens import claims_of
from lib.problems import Unauthenticated
from lib.runtime.trace import trace
from lib.settings import settings

MAX_ID_CHARS = 255
# In the tokens that lib/users/accounts.py gives out.
LOCAL_ACCOUNT_CLAIM = "local_account"


@dataclass(frozen=True, slots=True)
class Caller:
    """Who is calling.

    Attributes:
        user_id: the token's subject; None: anonymous.
        email: from the token, in small letters; None: not in it.
        name: from the token; None: not in it.
        has_local_account: the token is one of our own, of an account in `users`.
    """

    user_id: str | None = None
    email: str | None = None
    name: str | None = None
    has_local_account: bool = False

    def reachable(self, conversation_id: UUID) -> UUID | None:
        """Return the id if it is all that this caller has to show: an anonymous one."""
        return conversation_id if self.user_id is None else None


async def caller_of(request: Request) -> Caller:
    """Tell who sent a request, without asking the database.

    Raises:
        Unauthenticated: the token is not valid, or there is none and AUTH_REQUIRED is set. An
            invalid token never makes an anonymous caller.
        IdentityProviderUnavailable: the token's key cannot be had now.
    """
    given = request.headers.getlist("authorization")
    if not given:
        if settings().auth_required:
            raise Unauthenticated
        trace().caller = "anonymous"
        return Caller()
    if len(given) > 1:
        detail = "There is more than one Authorization header."
        raise Unauthenticated(detail)
    scheme, _, token = given[0].partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        detail = "The Authorization header must be: Bearer, a space, and the token."
        raise Unauthenticated(detail)
    caller = _caller(await claims_of(token.strip()))
    trace().caller = "account" if caller.has_local_account else "user"
    return caller


async def user_of(request: Request) -> Caller:
    """Tell which user sent a request.

    Raises:
        Unauthenticated: see `caller_of`; an anonymous caller too.
        IdentityProviderUnavailable: see `caller_of`.
    """
    caller = await caller_of(request)
    if caller.user_id is None:
        raise Unauthenticated
    return caller


def _caller(claims: dict[str, Any]) -> Caller:
    subject: object = claims["sub"]
    if not isinstance(subject, str) or not subject.strip() or not _is_storable(subject):
        detail = f"The token's subject (sub) must be a text of 1 to {MAX_ID_CHARS} characters."
        raise Unauthenticated(detail)
    email: object = claims.get("email")
    if isinstance(email, str):
        # Before it is measured: some letters become two.
        email = email.lower()
    is_local = claims.get(LOCAL_ACCOUNT_CLAIM) is True
    return Caller(subject, _profile(email), _profile(claims.get("name")), is_local)


def _profile(claim: object) -> str | None:
    return claim if isinstance(claim, str) and claim.strip() and _is_storable(claim) else None


def _is_storable(text: str) -> bool:
    """Tell whether Postgres can keep a text in a varchar(255): no NUL, no lone surrogate."""
    surrogates = any("\ud800" <= character <= "\udfff" for character in text)
    return len(text) <= MAX_ID_CHARS and "\0" not in text and not surrogates
