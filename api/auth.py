"""POST /api/auth: register or log in, where there are local accounts. DELETE /api/auth: leave.

Accepts   POST {"action": "register" | "login", "email", "password", "name"?}
          DELETE with a token of any kind: deletes its user and all data of theirs
Answers   POST 201 (register) or 200 {"token", "expires_at", "user"}; DELETE 204
Problems  400, 401 wrong_credentials, unauthenticated, 403 account_inactive,
          404 not_found (POST without LOCAL_ACCOUNTS), 409 email_taken, 415, 422 invalid_request,
          429 too_many_attempts, 503 local_accounts_unavailable, database_unavailable
Database  POST 1 round trip: count_attempt.sql, find_account.sql; 1 more to register:
          register_account.sql. DELETE 2: delete_conversations.sql, delete_own_account.sql
"""

from starlette.requests import Request
from starlette.responses import Response

from lib.database.client import database
from lib.functions import function
from lib.http.bodies import read_body
from lib.http.responses import json_response
from lib.identity.callers import user_of
from lib.identity.clients import client_of
from lib.users.accounts import check_local_accounts, credentials, delete_account, log_in, register


async def post(request: Request) -> Response:
    """Register or log in."""
    check_local_accounts()
    body = await read_body(request, credentials)
    match body.action:
        case "login":
            return json_response(await log_in(database(), body, client_of(request)))
        case "register":
            account = await register(database(), body, client_of(request))
            return json_response(account, status=201)


async def delete(request: Request) -> Response:
    """Delete the caller's account and all data of theirs."""
    await delete_account(database(), await user_of(request))
    return Response(status_code=204)


app = function(POST=post, DELETE=delete)
