"""POST /api/auth: local accounts, and signing out everywhere. DELETE /api/auth: leave.

Accepts   POST {"action": "register" | "login", "email", "password", "name"?}, or with a token
          {"action": "change_password", "password", "new_password"}, {"action":
          "sign_out_everywhere"}; DELETE with a token, of a local account also {"password"}
Answers   POST 202 {"status"} (register), 200 {"token", "expires_at", "user"} (login,
          change_password), 204 (sign_out_everywhere); DELETE 204
Problems  400, 401 wrong_credentials, unauthenticated, 403 account_inactive, account_unknown,
          404 not_found (POST without LOCAL_ACCOUNTS, unless to sign out), 409 no_password,
          sign_out_unavailable, 415, 422 invalid_request, 429 too_many_attempts,
          503 local_accounts_unavailable, database_unavailable
Database  2 round trips to register, log in or prove the password: count_account_attempt.sql and
          find_account.sql; register_account.sql or finish_log_in.sql. 1 more: change_password.sql.
          sign_out_everywhere.sql 1. DELETE 1: delete_conversations.sql with
          delete_own_account.sql
"""

from starlette.requests import Request
from starlette.responses import Response

from lib.database.client import database
from lib.functions import function
from lib.http.responses import json_response
from lib.identity.callers import user_of
from lib.identity.clients import client_of
from lib.users import accounts
from lib.users.requests import read_action, read_confirmation


async def post(request: Request) -> Response:
    """Register, log in, change the password, or sign out everywhere."""
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


async def delete(request: Request) -> Response:
    """Delete the caller's account and all data of theirs."""
    caller = await user_of(request)
    body = await read_confirmation(request, caller)
    if body is not None and caller.has_local_account:
        await accounts.check_owner(database(), caller, body)
    await accounts.delete_account(database(), caller)
    return Response(status_code=204)


app = function(POST=post, DELETE=delete)
