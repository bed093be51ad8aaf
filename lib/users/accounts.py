"""Accounts: local ones, with an e-mail address and a password, and the end of any account."""

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from lib.conversations.changes import delete_conversations
from lib.database.client import Database
from lib.database.statements import Nothing, Statement
from lib.identity.callers import LOCAL_ACCOUNT_CLAIM, Caller
from lib.identity.clients import hashed
from lib.problems import AccountInactive, EmailTaken, NotFound, TooManyAttempts, WrongCredentials
from lib.settings import settings

if TYPE_CHECKING:
    from lib.users.bodies import Credentials


TOKEN_LIFETIME = timedelta(days=7)
# 0.2 s of CPU: nothing to who logs in, a lot to who tries a million passwords (OWASP, "Password
# Storage": at least 10).
BCRYPT_ROUNDS = 12
# Of a random password that nobody has kept.
NOBODYS_HASH = "$2b$12$zlSk.DYktbzBwXmucah4WeJp.amwC8VJ0/qbGGRMESLvpDEbolTem"
# NIST SP 800-63B, 3.2.2: no more than 100 failed attempts on an account.
ATTEMPTS = {
    "address_per_minute": 10,
    "address_per_day": 100,
    "client_per_minute": 30,
    "client_per_day": 300,
}


@dataclass(frozen=True, slots=True)
class Attempt:
    """The row of count_attempt."""

    is_allowed: bool
    retry_after_seconds: float


@dataclass(frozen=True, slots=True)
class Account:
    """The row of find_account."""

    id: str
    name: str | None
    hashed_password: str | None
    is_active: bool


@dataclass(frozen=True, slots=True)
class Registered:
    """The row of register_account."""

    user_id: str | None


COUNT_ATTEMPT = Statement("users/count_attempt", Attempt)
FIND_ACCOUNT = Statement("users/find_account", Account)
REGISTER_ACCOUNT = Statement("users/register_account", Registered)
DELETE_OWN_ACCOUNT = Statement("users/delete_own_account", Nothing)


def credentials() -> "type[Credentials]":
    """Return the model of the body of POST."""
    from lib.users.bodies import Credentials

    return Credentials


def check_local_accounts() -> None:
    """Refuse where there are no local accounts.

    Raises:
        NotFound: LOCAL_ACCOUNTS is not set.
    """
    if not settings().local_accounts:
        raise NotFound


async def register(database: Database, given: "Credentials", client: str) -> dict[str, Any]:
    """Make a local account.

    Two round trips: count_attempt; then register_account, after the password was hashed.

    Args:
        database: where.
        given: what the account is to be.
        client: network address that it came from.

    Returns:
        `token`, `expires_at` and `user`.

    Raises:
        EmailTaken: the address has an account, of whatever kind.
        TooManyAttempts: from this client or for this address.
        Problem: see `Database.run`.
    """
    await _count_attempt(database, given.action, given.email, client)
    password = await asyncio.to_thread(_hash, given.password)
    [made] = await database.run(
        REGISTER_ACCOUNT(
            user_id=str(uuid4()), email=given.email, name=given.name, hashed_password=password
        )
    )
    if made.user_id is None:
        raise EmailTaken
    return _signed_in(made.user_id, given.email, given.name)


async def log_in(database: Database, given: "Credentials", client: str) -> dict[str, Any]:
    """Log in to a local account.

    One round trip: count_attempt and find_account. The same answer, after the same work, whether
    the address is unknown, belongs to somebody without a password, or the password is wrong.

    Args:
        database: where.
        given: who it is.
        client: network address that it came from.

    Returns:
        `token`, `expires_at` and `user`.

    Raises:
        WrongCredentials: there is no account with this address and password.
        AccountInactive: there is, but it is switched off.
        TooManyAttempts: from this client or for this address.
        Problem: see `Database.run`.
    """
    account = await _count_attempt(database, given.action, given.email, client)
    stored = account.hashed_password if account else None
    is_right = await asyncio.to_thread(_is_password, given.password, stored)
    if account is None or not is_right:
        raise WrongCredentials
    if not account.is_active:
        raise AccountInactive
    return _signed_in(account.id, given.email, account.name)


async def delete_account(database: Database, caller: Caller) -> None:
    """Delete a user and everything of theirs.

    One round trip, and one for each batch of conversations.

    Raises:
        Problem: see `Database.run_as`; what was deleted before it stays deleted.
    """
    # First and in batches: somebody's whole history is too much for one statement.
    await delete_conversations(database, caller)
    await database.run_as(caller, None, DELETE_OWN_ACCOUNT())


async def _count_attempt(
    database: Database, action: str, email: str, client: str
) -> Account | None:
    """Count an attempt and return the account that it was about, if there is one."""
    [attempt], accounts = await database.run(
        COUNT_ATTEMPT(
            # Apart, so that nobody's attempts to register keep its owner from logging in.
            address_subject=hashed(f"{action} address", email),
            client_subject=hashed("login client", client),
            now=None,
            **ATTEMPTS,
        ),
        FIND_ACCOUNT(email=email),
    )
    if not attempt.is_allowed:
        raise TooManyAttempts(retry_after_seconds=attempt.retry_after_seconds)
    return accounts[0] if accounts else None


def _hash(password: str) -> str:
    import bcrypt

    return bcrypt.hashpw(password.encode(), bcrypt.gensalt(BCRYPT_ROUNDS)).decode()


def _is_password(password: str, stored: str | None) -> bool:
    """Compare a password with what is stored; without anything stored, take as long."""
    import bcrypt

    is_right = bcrypt.checkpw(password.encode(), (stored or NOBODYS_HASH).encode())
    return is_right and stored is not None


def _signed_in(user_id: str, email: str, name: str | None) -> dict[str, Any]:
    # Here, not above: with its cryptography it costs 40 ms.
    import jwt

    chosen = settings()
    # LOCAL_ACCOUNTS needs it, as lib/settings.py has checked.
    secret = chosen.jwt_secret or ""
    now = datetime.now(UTC).replace(microsecond=0)
    claims = {
        "sub": user_id,
        "email": email,
        "name": name,
        "iss": chosen.jwt_issuer,
        "aud": chosen.jwt_audience,
        "iat": now,
        "exp": now + TOKEN_LIFETIME,
        LOCAL_ACCOUNT_CLAIM: True,
    }
    given = {claim: value for claim, value in claims.items() if value is not None}
    return {
        "token": jwt.encode(given, secret, algorithm="HS256"),
        "expires_at": now + TOKEN_LIFETIME,
        "user": {"id": user_id, "email": email, "name": name},
    }
