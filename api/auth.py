"""/api/auth: local accounts, signing out everywhere, a user's own settings; and leaving.

Accepts   GET; PATCH {"instructions": text | null}, both with a token of any kind
          POST {"action": "register" | "login", "email", "password", "name"?}, or with a token
          {"action": "change_password", "password", "new_password"}, {"action":
          "sign_out_everywhere"}; DELETE with a token, of a local account also {"password"}
Answers   GET, PATCH 200 {"instructions"}; POST 202 {"status"} (register), 200 {"token",
          "expires_at", "user"} (login, change_password), 204 (sign_out_everywhere); DELETE 204
Problems  400, 401 wrong_credentials, unauthenticated, 403 account_inactive, account_unknown,
          404 not_found (POST without LOCAL_ACCOUNTS, unless to sign out), 409 no_password,
          sign_out_unavailable, 415, 422 invalid_request, 429 too_many_attempts,
          503 local_accounts_unavailable, database_unavailable
Database  2 round trips to register, log in or prove the password: count_account_attempt.sql and
          find_account.sql; register_account.sql or finish_log_in.sql. 1 more: change_password.sql.
          sign_out_everywhere.sql 1. GET 1: find_user_settings.sql. PATCH 1: remember_user.sql with
          change_user_settings.sql. DELETE 1: delete_conversations.sql, delete_own_account.sql
"""

from starlette.requests import Request
from starlette.responses import Response

from lib.database.client import database
from lib.functions import function
from lib.http.bodies import read_body
from lib.http.responses import json_response
from lib.identity.callers import user_of
from lib.users import accounts
from lib.users.endpoint import account_response
from lib.users.own_settings import change_user_settings, find_user_settings, settings_change
from lib.users.requests import read_confirmation


async def get(request: Request) -> Response:
    """Answer the caller's own settings."""
    return json_response(await find_user_settings(database(), await user_of(request)))


async def patch(request: Request) -> Response:
    """Change the caller's own settings."""
    caller = await user_of(request)
    change = await read_body(request, settings_change)
    return json_response(await change_user_settings(database(), caller, change))


async def post(request: Request) -> Response:
    """Register, log in, change the password, or sign out everywhere."""
    return await account_response(request)


async def delete(request: Request) -> Response:
    """Delete the caller's account and all data of theirs."""
    caller = await user_of(request)
    body = await read_confirmation(request, caller)
    if body is not None and caller.has_local_account:
        await accounts.check_owner(database(), caller, body)
    await accounts.delete_account(database(), caller)
    return Response(status_code=204)


app = function(GET=get, POST=post, PATCH=patch, DELETE=delete)
