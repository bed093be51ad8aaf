"""Accounts: register and log in to a local account; sign out, and delete an account of any kind."""

import asyncio
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal
from uuid import uuid4

from lib.conversations.changes import (
    DELETE_TIMEOUT_MS,
    delete_all_conversations_call,
    delete_conversations,
)
from lib.database.acting import act_as, remember_user
from lib.database.client import Database
from lib.database.statements import Nothing, Statement
from lib.identity.callers import Caller
from lib.identity.erasures import log_erasure
from lib.problems import (
    AccountInactive,
    DatabaseTooSlow,
    NoPassword,
    RefusedByRule,
    WrongCredentials,
)
from lib.texts import normalized_password
from lib.users.attempts import (
    NETWORKS_KEPT,
    count_attempt,
    log_in_subjects,
    network_subject,
    registration_subjects,
)
from lib.users.tokens import signed_in

if TYPE_CHECKING:
    from lib.users.bodies import Confirmation, Credentials, PasswordChange


# 0.2 s of CPU: little for one log-in, much for a million guessed passwords (OWASP, "Password
# Storage": at least 10).
BCRYPT_ROUNDS = 12
# bcrypt takes no more of a password.
BCRYPT_BYTES = 72
# The hash of a random password that is stored nowhere.
NOBODYS_HASH = "$2b$12$zlSk.DYktbzBwXmucah4WeJp.amwC8VJ0/qbGGRMESLvpDEbolTem"


@dataclass(frozen=True, slots=True)
class Account:
    """The row of find_account.

    Attributes:
        id: `users.id`.
        name: the user's name; None: unknown.
        hashed_password: bcrypt; None: the user signs in elsewhere.
        is_active: the account is not switched off.
        created_at: when it was registered, or the user first seen.
    """

    id: str
    name: str | None
    hashed_password: str | None
    is_active: bool
    created_at: datetime


@dataclass(frozen=True, slots=True)
class TokenTime:
    """The row of finish_log_in and of change_password.

    Attributes:
        issued_at: for a new token; None: the account has another password by now, or was deleted.
    """

    issued_at: datetime | None


FIND_ACCOUNT = Statement("users/find_account", Account)
REGISTER_ACCOUNT = Statement("users/register_account", Nothing)
FINISH_LOG_IN = Statement("users/finish_log_in", TokenTime)
CHANGE_PASSWORD = Statement("users/change_password", TokenTime)
SIGN_OUT_EVERYWHERE = Statement("users/sign_out_everywhere", Nothing)
# As long as delete_conversations, its neighbour in the step.
DELETE_OWN_ACCOUNT = Statement("users/delete_own_account", Nothing, timeout_ms=DELETE_TIMEOUT_MS)
KEPT = (
    "Your conversations are deleted, but a rule in this application's database keeps your account. "
    "Ask its operator."
)


@dataclass(frozen=True, slots=True)
class LogIn:
    """A log-in with the right password.

    Attributes:
        account: the account.
        email: its address.
        client: network address of the request.
        checked_hash: the hash of the password that is stored now.
        issued_at: for a new token.
    """

    account: Account
    email: str
    client: str
    checked_hash: str
    issued_at: datetime

    def answer(self, issued_at: datetime) -> dict[str, Any]:
        """Return the answer with a token that is issued then: see `signed_in`."""
        user = {"id": self.account.id, "email": self.email, "name": self.account.name}
        return signed_in(user, self.client, self.account.created_at, issued_at)


async def register(database: Database, body: "Credentials", client: str) -> dict[str, Any]:
    """Create a local account, unless its address has an account of any kind.

    Both cases cost the same work and get the same response, so that nobody learns from it which
    addresses have accounts. Two round trips: count_account_attempt; then register_account, with
    the hash of the password.

    Args:
        database: where accounts are stored.
        body: address, password and name of the account.
        client: network address of the request.

    Returns:
        `status`: "registered".

    Raises:
        TooManyAttempts: when this client, or the address, has to wait.
        Problem: see `Database.run`.
    """
    # find_account only for its refusal where an application keeps its own accounts.
    [attempt], _ = await database.run(
        count_attempt(registration_subjects(body.email, client)), FIND_ACCOUNT(email=body.email)
    )
    attempt.check()
    password_hash = await asyncio.to_thread(_hash, body.password)
    await database.run(
        REGISTER_ACCOUNT(
            account_id=str(uuid4()),
            account_email=body.email,
            account_name=body.name,
            password_hash=password_hash,
        )
    )
    return {"status": "registered"}


async def log_in(database: Database, body: "Credentials", client: str) -> dict[str, Any]:
    """Log in to a local account.

    Two round trips: count_account_attempt and find_account; then finish_log_in, if the password is
    right.

    Args:
        database: where accounts are stored.
        body: address and password of the account.
        client: network address of the request.

    Returns:
        `token`, `expires_at` and `user`.

    Raises:
        AccountInactive: when the account is switched off.
        Problem: see `_check_password`.
    """
    done = await _check_password(database, body.email, body.password, client)
    if not done.account.is_active:
        raise AccountInactive
    return done.answer(done.issued_at)


async def change_password(
    database: Database, caller: Caller, body: "PasswordChange"
) -> dict[str, Any]:
    """Change the password of the caller's local account, and end all its earlier tokens.

    Three round trips: those of a log-in with the old password, and change_password.

    Returns:
        `token`, `expires_at` and `user`.

    Raises:
        NoPassword: when the caller has no local account.
        Problem: see `_check_password`.
    """
    if not caller.has_local_account:
        raise NoPassword
    email = caller.email or ""
    done = await _check_password(database, email, body.password, caller.client, caller)
    [changed] = await database.run(
        CHANGE_PASSWORD(
            account_id=done.account.id,
            checked_hash=done.checked_hash,
            password_hash=await asyncio.to_thread(_hash, body.new_password),
            network_subject=network_subject(email, caller.client),
        )
    )
    if changed.issued_at is None:
        raise WrongCredentials
    return done.answer(changed.issued_at)


async def sign_out_everywhere(database: Database, caller: Caller) -> None:
    """End all tokens of the caller, of any kind, that were issued until now.

    One round trip.

    Raises:
        SignOutUnavailable: when an application's own `users` table cannot store it.
        Problem: see `Database.run_as`.
    """
    await database.run_as(caller, None, remember_user(caller), SIGN_OUT_EVERYWHERE())


async def check_owner(database: Database, caller: Caller, body: "Confirmation") -> None:
    """Let the caller go on only with the password of their local account.

    Two round trips, as for a log-in.

    Raises:
        Problem: see `_check_password`.
    """
    await _check_password(database, caller.email or "", body.password, caller.client, caller)


async def delete_account(database: Database, caller: Caller) -> None:
    """Delete a user with all data of theirs.

    One round trip: all of it, or nothing. Where that takes too long, two more, and one for each
    further batch of conversations.

    Raises:
        RefusedByRule: see `Database.run`; of an account that is too large for one step, all
            conversations are deleted, and the text says so.
        Problem: see `Database.run_as`; of such an account, the batches before it stay deleted.
    """
    everything = delete_all_conversations_call(caller)
    try:
        conversations, _ = await database.run_as(caller, None, everything, DELETE_OWN_ACCOUNT())
        log_erasure("conversation", [row.id for row in conversations])
    except DatabaseTooSlow:
        await delete_conversations(database, caller)
        try:
            await database.run_as(caller, None, DELETE_OWN_ACCOUNT())
        except RefusedByRule as problem:
            raise RefusedByRule(KEPT) from problem
    log_erasure("user", [caller.user_id])


async def _check_password(
    database: Database, email: str, password: str, client: str, caller: Caller | None = None
) -> LogIn:
    """Compare a password with that of an address's account, as one attempt to log in.

    An unknown address, an account without a password and a wrong password cost the same work and
    get the same response.

    Args:
        database: where accounts are stored.
        email: address of the account.
        password: the password.
        client: network address of the request.
        caller: whose account it must be; None: nobody has signed in yet.

    Raises:
        WrongCredentials: when no account has this address and password, or the password was
            changed at this moment.
        TooManyAttempts: when this client, or the address, has to wait.
        Problem: see `Database.run_as`.
    """
    subjects = log_in_subjects(email, client)
    # The caller last, because the log-in's statements run outside the wall.
    admission = () if caller is None else (act_as(caller, None),)
    [attempt], accounts, *_ = await database.run(
        count_attempt(subjects), FIND_ACCOUNT(email=email), *admission
    )
    attempt.check()
    account: Account | None = accounts[0] if accounts else None
    if account and caller and account.id != caller.user_id:
        account = None
    checked_hash = account.hashed_password if account else None
    fit = await asyncio.to_thread(_compare, password, checked_hash)
    if account is None or checked_hash is None or fit == "none":
        raise WrongCredentials
    # Of an account from before passwords were normalized.
    new_hash = await asyncio.to_thread(_hash, password) if fit == "as given" else None
    counted = subjects[:1] if attempt.is_known else subjects
    [finished] = await database.run(
        FINISH_LOG_IN(
            account_id=account.id,
            checked_hash=checked_hash,
            new_hash=new_hash,
            subjects=[subject.name for subject in counted],
            counted_at=attempt.counted_at,
            networks_kept=NETWORKS_KEPT,
        )
    )
    if finished.issued_at is None:
        raise WrongCredentials
    return LogIn(account, email, client, new_hash or checked_hash, finished.issued_at)


def _hash(password: str) -> str:
    import bcrypt

    password = normalized_password(password)
    return bcrypt.hashpw(password.encode(), bcrypt.gensalt(BCRYPT_ROUNDS)).decode()


def _compare(
    password: str, hashed_password: str | None
) -> Literal["normalized", "as given", "none"]:
    """Compare a password with a stored hash, and say in which form it fits.

    The forms are those of the password alone, and each is compared, so the time tells nothing of
    the hash. Without one it takes as long.
    """
    forms = dict.fromkeys((normalized_password(password), password))
    fits = [_is_password(form, hashed_password) for form in forms]
    if fits[0]:
        return "normalized"
    return "as given" if any(fits) else "none"


def _is_password(password: str, hashed_password: str | None) -> bool:
    """Compare a password, as it is, with a stored hash; without a hash, take as long."""
    import bcrypt

    given = password.encode()
    expected = (hashed_password or NOBODYS_HASH).encode()
    # bcrypt compares in constant time, and refuses a longer password.
    is_right = bcrypt.checkpw(given[:BCRYPT_BYTES], expected)
    return is_right and hashed_password is not None and len(given) <= BCRYPT_BYTES
