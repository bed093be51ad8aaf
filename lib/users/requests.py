"""The bodies of /api/auth, each read by its action."""

from typing import TYPE_CHECKING, Any

from starlette.requests import Request

from lib.http.bodies import check_body, has_body, read_body, read_json
from lib.identity.callers import Caller
from lib.problems import InvalidRequest, NotFound
from lib.settings import settings

if TYPE_CHECKING:
    from lib.users.bodies import Action, Confirmation, Credentials, PasswordChange, SignOut


def _action() -> "type[Action]":
    from lib.users.bodies import Action

    return Action


def _credentials() -> "type[Credentials]":
    from lib.users.bodies import Credentials

    return Credentials


def _password_change() -> "type[PasswordChange]":
    from lib.users.bodies import PasswordChange

    return PasswordChange


def _sign_out() -> "type[SignOut]":
    from lib.users.bodies import SignOut

    return SignOut


def _confirmation() -> "type[Confirmation]":
    from lib.users.bodies import Confirmation

    return Confirmation


async def read_action(request: Request) -> "Credentials | PasswordChange | SignOut":
    """Read the body of POST, whose `action` tells which of the bodies it is.

    Raises:
        NotFound: when LOCAL_ACCOUNTS is not set, unless the action is one for users of any kind.
        Problem: see `read_body`.
    """
    content: dict[str, Any] = await read_json(request)
    if content.get("action") == "sign_out_everywhere":
        return await check_body(content, _sign_out)
    if not settings().local_accounts:
        raise NotFound
    match (await check_body(content, _action)).action:
        case "change_password":
            return await check_body(content, _password_change)
        case _:
            return await check_body(content, _credentials)


async def read_confirmation(request: Request, caller: Caller) -> "Confirmation | None":
    """Read the body of DELETE; None: none was sent, and the caller's account needs none.

    Raises:
        InvalidRequest: when it does not fit, or the owner of a local account sends none.
        Problem: see `read_body`.
    """
    if has_body(request):
        return await read_body(request, _confirmation)
    if caller.has_local_account:
        raise InvalidRequest(errors=[{"field": "password", "detail": "Field required"}])
    return None
