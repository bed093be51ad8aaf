"""Accounts: register and log in to a local account, and delete an account of any kind."""

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
from lib.identity.erasures import log_erasure
from lib.problems import AccountInactive, EmailTaken, NotFound, TooManyAttempts, WrongCredentials
from lib.settings import settings

if TYPE_CHECKING:
    from lib.users.bodies import Credentials


TOKEN_LIFETIME = timedelta(days=7)
# 0.2 s of CPU: little for one log-in, much for a million guessed passwords (OWASP, "Password
# Storage": at least 10).
BCRYPT_ROUNDS = 12
# The hash of a random password that is stored nowhere.
NOBODYS_HASH = "$2b$12$zlSk.DYktbzBwXmucah4WeJp.amwC8VJ0/qbGGRMESLvpDEbolTem"
# NIST SP 800-63B, 3.2.2: at most 100 failed attempts on an account.
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
    """The row of find_account.

    Attributes:
        id: `users.id`.
        name: the user's name; None: unknown.
        hashed_password: bcrypt; None: the user signs in elsewhere.
        is_active: the account is not switched off.
    """

    id: str
    name: str | None
    hashed_password: str | None
    is_active: bool


@dataclass(frozen=True, slots=True)
class RegisteredAccount:
    """The row of register_account.

    Attributes:
        user_id: the new account's; None: the address has an account already.
    """

    user_id: str | None


COUNT_ATTEMPT = Statement("users/count_attempt", Attempt)
FIND_ACCOUNT = Statement("users/find_account", Account)
REGISTER_ACCOUNT = Statement("users/register_account", RegisteredAccount)
# An erasure has to succeed, however much the user has left.
DELETE_OWN_ACCOUNT = Statement("users/delete_own_account", Nothing, timeout_ms=30_000)


def credentials() -> "type[Credentials]":
    """Return the model of the body of POST."""
    from lib.users.bodies import Credentials

    return Credentials


def check_local_accounts() -> None:
    """Refuse a request where the deployment has no local accounts.

    Raises:
        NotFound: when LOCAL_ACCOUNTS is not set.
    """
    if not settings().local_accounts:
        raise NotFound


async def register(database: Database, body: "Credentials", client: str) -> dict[str, Any]:
    """Create a local account.

    Two round trips: count_attempt; then register_account, with the hash of the password.

    Args:
        database: where accounts are stored.
        body: address, password and name of the account.
        client: network address of the request.

    Returns:
        `token`, `expires_at` and `user`.

    Raises:
        EmailTaken: when the address has an account of any kind.
        TooManyAttempts: when this client, or the address, has used up its attempts.
        Problem: see `Database.run`.
    """
    await _count_attempt(database, body.action, body.email, client)
    password = await asyncio.to_thread(_hash, body.password)
    [account] = await database.run(
        REGISTER_ACCOUNT(
            user_id=str(uuid4()), email=body.email, name=body.name, hashed_password=password
        )
    )
    if account.user_id is None:
        raise EmailTaken
    return _signed_in(account.user_id, body.email, body.name)


async def log_in(database: Database, body: "Credentials", client: str) -> dict[str, Any]:
    """Log in to a local account.

    One round trip: count_attempt and find_account. An unknown address, an account without a
    password and a wrong password cost the same work and get the same response.

    Args:
        database: where accounts are stored.
        body: address and password of the account.
        client: network address of the request.

    Returns:
        `token`, `expires_at` and `user`.

    Raises:
        WrongCredentials: when no account has this address and password.
        AccountInactive: when the account is switched off.
        TooManyAttempts: when this client, or the address, has used up its attempts.
        Problem: see `Database.run`.
    """
    account = await _count_attempt(database, body.action, body.email, client)
    hashed_password = account.hashed_password if account else None
    is_right = await asyncio.to_thread(_is_password, body.password, hashed_password)
    if account is None or not is_right:
        raise WrongCredentials
    if not account.is_active:
        raise AccountInactive
    return _signed_in(account.id, body.email, account.name)


async def delete_account(database: Database, caller: Caller) -> None:
    """Delete a user with all data of theirs.

    One round trip, and one for each batch of conversations.

    Raises:
        Problem: see `Database.run_as`; the batches before it stay deleted.
    """
    # In batches, because all conversations of a user are too much for one statement.
    await delete_conversations(database, caller)
    await database.run_as(caller, None, DELETE_OWN_ACCOUNT())
    log_erasure("user", [caller.user_id])


async def _count_attempt(
    database: Database, action: str, email: str, client: str
) -> Account | None:
    """Count an attempt, and return the account of its address; None: there is none."""
    [attempt], accounts = await database.run(
        COUNT_ATTEMPT(
            # Counted for each action, so that a stranger's attempts to register an address do
            # not keep its owner from logging in.
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


def _is_password(password: str, hashed_password: str | None) -> bool:
    """Compare a password with a stored hash; without a hash, take as long."""
    import bcrypt

    is_right = bcrypt.checkpw(password.encode(), (hashed_password or NOBODYS_HASH).encode())
    return is_right and hashed_password is not None


def _signed_in(user_id: str, email: str, name: str | None) -> dict[str, Any]:
    # A late import: jwt and its cryptography cost 40 ms.
    import jwt

    configuration = settings()
    # Not None where LOCAL_ACCOUNTS is set (lib/settings.py).
    secret = configuration.jwt_secret or ""
    now = datetime.now(UTC).replace(microsecond=0)
    claims = {
        "sub": user_id,
        "email": email,
        "name": name,
        "iss": configuration.jwt_issuer,
        "aud": configuration.jwt_audience,
        "iat": now,
        "exp": now + TOKEN_LIFETIME,
        LOCAL_ACCOUNT_CLAIM: True,
    }
    payload = {claim: value for claim, value in claims.items() if value is not None}
    return {
        "token": jwt.encode(payload, secret, algorithm="HS256"),
        "expires_at": now + TOKEN_LIFETIME,
        "user": {"id": user_id, "email": email, "name": name},
    }
