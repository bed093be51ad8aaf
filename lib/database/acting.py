"""Acting for a caller: the statements that every step for one begins with."""

from dataclasses import dataclass

from lib.database.statements import Call, Statement
from lib.identity.callers import Caller


@dataclass(frozen=True, slots=True)
class Acted:
    """The row of act_as_caller, which says nothing."""

    act_as_caller: object


ACT_AS_CALLER = Statement("database/act_as_caller", Acted)


@dataclass(frozen=True, slots=True)
class Nothing:
    """The row of remember_user, which says nothing."""

    remember_user: object


REMEMBER_USER = Statement("database/remember_user", Nothing)


def remember_user(caller: Caller) -> Call[Nothing]:
    """Return the call that stores a user, to be sent before what refers to it.

    One with a local account is stored already, or was deleted, and is not to come back.
    """
    user_id = None if caller.has_local_account else caller.user_id
    return REMEMBER_USER(user_id=user_id, user_email=caller.email, user_name=caller.name)
