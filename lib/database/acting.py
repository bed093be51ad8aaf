"""The statements that come before any other of a caller's step."""

import hashlib
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from lib.database.statements import Call, Nothing, Statement
from lib.identity.callers import Caller
from lib.identity.clients import hashed
from lib.identity.conversation_keys import is_genuine


@dataclass(frozen=True, slots=True)
class TimeLimits:
    """The row of limit_time: settings of the transaction, as Postgres writes them."""

    statement_timeout: str
    lock_timeout: str
    client_connection_check_interval: str


@dataclass(frozen=True, slots=True)
class SearchPath:
    """The row of use_schema: the setting, as Postgres writes it."""

    search_path: str


USE_SCHEMA = Statement("database/use_schema", SearchPath)
LIMIT_TIME = Statement("database/limit_time", TimeLimits)
ACT_AS_CALLER = Statement("database/act_as_caller", Nothing)
# The parameters of act_as_caller, by their names in an entrance. They stand beside the entrance's
# own `user_id` and `conversation_id`, so the wall holds where a statement names another caller.
ENTRANCE = {
    "caller_id": "user_id",
    "reachable_id": "conversation_id",
    "needs_account": "needs_account",
    "token_issued_at": "token_issued_at",
    "key_hash": "key_hash",
    "client_subject": "client_subject",
    "timeout_ms": "timeout_ms",
    "approach": "approach",
}
# The entrance does not call act_as_caller.
NO_WALL = dict.fromkeys(ENTRANCE)
REMEMBER_USER = Statement("database/remember_user", Nothing)
# The time of a statement that declares none. Less than a connection waits for an answer
# (ANSWER_TIMEOUT_SECONDS in lib/database/_pool.py), so a statement is over in the database before
# its step is given up.
TIMEOUT_MS = 8000


def use_schema(name: str | None) -> tuple[Call[SearchPath], ...]:
    """Return the call that comes first in a step, if Parley has a schema of its own; else none."""
    return () if name is None else (USE_SCHEMA(schema_name=name),)


def limit_time(timeout_ms: int) -> Call[TimeLimits]:
    """Return the call that limits the time of each later statement of a step without a caller."""
    return LIMIT_TIME(timeout_ms=timeout_ms)


def act_as(caller: Caller, reachable: UUID | None, timeout_ms: int = TIMEOUT_MS) -> Call[Nothing]:
    """Return the call that limits the rest of a step to the rows of one caller.

    Args:
        caller: the caller.
        reachable: the conversation without an owner that this caller may reach; None: none.
        timeout_ms: milliseconds that each later statement of the step may take.
    """
    # Of a user the database needs them for a claim alone, which names an anonymous conversation.
    key = caller.conversation_key if reachable else None
    return ACT_AS_CALLER(
        user_id=caller.user_id,
        conversation_id=reachable,
        needs_account=caller.has_local_account,
        token_issued_at=caller.token_issued_at,
        key_hash=hashlib.sha256(key.encode()).digest() if key else None,
        client_subject=_guesser(caller, reachable, key) if reachable else None,
        timeout_ms=timeout_ms,
        approach=caller.approach,
    )


def opened(opening: Call[Any], calls: tuple[Call[Any], ...]) -> tuple[Call[Any], ...]:
    """Return the calls of a step, with the call that must come before them.

    An entrance that is the first call of a caller's step calls act_as_caller itself, and takes the
    parameters of that call instead. Any other entrance finds the wall, or needs none.
    """
    first, *others = [
        Call(call.statement, NO_WALL | call.parameters) if call.statement.is_entrance else call
        for call in calls
    ]
    if not first.statement.is_entrance or opening.statement is not ACT_AS_CALLER:
        return (opening, first, *others)
    wall = {name: opening.parameters[given] for name, given in ENTRANCE.items()}
    return (Call(first.statement, first.parameters | wall), *others)


def _guesser(caller: Caller, conversation_id: UUID, key: str | None) -> str | None:
    """Return the subject that guesses are counted for; None: this step is no guess.

    A key that this deployment has made for that id is none. So a page with its key goes on when
    another client of the same network has used up the guesses of that network.
    """
    # A message that may begin a conversation is none. One that may not is refused where the guesses
    # are used up, but counted by a step of its own: its error takes back what this step counts.
    if caller.approach not in {"read", "continue"} or not caller.client:
        return None
    is_known = key is not None and is_genuine(key, conversation_id)
    return None if is_known else hashed("guesses", caller.client)


def remember_user(caller: Caller) -> Call[Nothing]:
    """Return the call that stores a user; it must come before rows that refer to the user.

    A user with a local account is left out: that user is stored already, or was deleted and must
    not come back.
    """
    user_id = None if caller.has_local_account else caller.user_id
    return REMEMBER_USER(
        user_id=user_id,
        user_email=caller.email,
        user_name=caller.name,
        token_issued_at=caller.token_issued_at,
    )
