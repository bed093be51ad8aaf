"""Users: who was seen with a token, and their rows."""

from dataclasses import dataclass

from lib.callers import Caller
from lib.statements import Call, Statement


@dataclass(frozen=True, slots=True)
class Nothing:
    """The row of remember_user, which says nothing."""

    remember_user: object


REMEMBER_USER = Statement("remember_user", Nothing)


def remember_user(caller: Caller) -> Call[Nothing]:
    """Return the call that stores a user, to be sent before what refers to it.

    One with a local account is stored already, or was deleted, and is not to come back.
    """
    user_id = None if caller.has_local_account else caller.user_id
    return REMEMBER_USER(user_id=user_id, user_email=caller.email, user_name=caller.name)
