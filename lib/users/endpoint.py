"""POST /api/auth, from the request to the response: one of the actions of accounts."""

from starlette.requests import Request
from starlette.responses import Response

from lib.database.client import database
from lib.http.responses import json_response
from lib.identity.callers import user_of
from lib.identity.clients import client_of
from lib.users import accounts
from lib.users.requests import read_action


async def account_response(request: Request) -> Response:
    """Register, log in, change the password, or sign out everywhere.

    Raises:
        Problem: see the functions of lib/users/accounts.py, and `read_action`.
    """
    body = await read_action(request)
    match body.action:
        case "login":
            return json_response(await accounts.log_in(database(), body, client_of(request)))
        case "register":
            status = await accounts.register(database(), body, client_of(request))
            return json_response(status, status=202)
        case "change_password":
            caller = await user_of(request)
            return json_response(await accounts.change_password(database(), caller, body))
        case "sign_out_everywhere":
            await accounts.sign_out_everywhere(database(), await user_of(request))
            return Response(status_code=204)
