"""GET /api/cron/cleanup: delete expired rows; Vercel's cron calls it every night.

It also stores the answers that killed functions have left behind.

Accepts   Authorization: Bearer $CRON_SECRET  ?dry_run=true: only count the expired rows
Answers   200 {"deleted", "conversations_deleted", "titles_replaced", "batches", "remaining",
          "seconds"};
          remaining: rows that were locked, or that it had no time left to delete
Problems  401 unauthenticated (always, if CRON_SECRET is not set), 422 invalid_request,
          503 database_unavailable
Database  1 round trip: list_lapsed_turns.sql, and 2 for each turn that it finds; then 1 for each
          1,000 rows: delete_old_quotas.sql, delete_old_finished_streams.sql,
          delete_unused_files.sql, delete_old_chat_messages.sql, delete_old_conversations.sql,
          replace_old_titles.sql; dry run: count_old_chat_messages.sql,
          count_old_conversations.sql, count_old_titles.sql
"""

from starlette.requests import Request
from starlette.responses import Response

from lib.database.client import database
from lib.functions import function
from lib.http.queries import parse_query
from lib.http.responses import json_response
from lib.identity.operators import check_cron_secret
from lib.operations.clean_up import CleanUpQuery, clean_up
from lib.operations.dry_run import count_expired


async def get(request: Request) -> Response:
    """Delete expired rows, or only count them, and answer how many."""
    check_cron_secret(request)
    query = parse_query(request, CleanUpQuery)
    is_dry_run = query.dry_run == "true"
    return json_response(await (count_expired if is_dry_run else clean_up)(database()))


app = function(GET=get)
