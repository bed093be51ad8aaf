"""The statements that come before any other of a caller's step."""

import hashlib
from uuid import UUID

from lib.database.statements import Call, Nothing, Statement
from lib.identity.callers import Caller
from lib.identity.clients import hashed

ACT_AS_CALLER = Statement("database/act_as_caller", Nothing)
REMEMBER_USER = Statement("database/remember_user", Nothing)
# Less than a connection waits for an answer (ANSWER_TIMEOUT_SECONDS in lib/database/_pool.py), so a
# statement is over in the database before its step is given up.
TIMEOUT_MS = 8000


def act_as(caller: Caller, reachable: UUID | None) -> Call[Nothing]:
    """Return the call that limits the rest of a step to the rows of one caller.

    Args:
        caller: the caller.
        reachable: the conversation without an owner that this caller may reach; None: none.
    """
    is_anonymous, key = caller.user_id is None, caller.conversation_key
    return ACT_AS_CALLER(
        user_id=caller.user_id,
        conversation_id=reachable,
        needs_account=caller.has_local_account,
        token_issued_at=caller.token_issued_at,
        key_hash=hashlib.sha256(key.encode()).digest() if is_anonymous and key else None,
        client_subject=hashed("guesses", caller.client) if is_anonymous and caller.client else None,
        timeout_ms=TIMEOUT_MS,
    )


def remember_user(caller: Caller) -> Call[Nothing]:
    """Return the call that stores a user; it must come before rows that refer to the user.

    A user with a local account is left out: that user is stored already, or was deleted and must
    not come back.
    """
    user_id = None if caller.has_local_account else caller.user_id
    return REMEMBER_USER(user_id=user_id, user_email=caller.email, user_name=caller.name)
