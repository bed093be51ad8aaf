"""The statements that come before any other of a caller's step."""

from lib.database.statements import Call, Nothing, Statement
from lib.identity.callers import Caller

ACT_AS_CALLER = Statement("database/act_as_caller", Nothing)
REMEMBER_USER = Statement("database/remember_user", Nothing)


def remember_user(caller: Caller) -> Call[Nothing]:
    """Return the call that stores a user; it must come before rows that refer to the user.

    A user with a local account is left out: that user is stored already, or was deleted and must
    not come back.
    """
    user_id = None if caller.has_local_account else caller.user_id
    return REMEMBER_USER(user_id=user_id, user_email=caller.email, user_name=caller.name)
