"""/api/tasks: the caller's tasks, which the assistant can work on too.

Accepts   GET ?completed=true|false  &limit=1..200 (50)  &cursor=<cursor>
          POST {"title", "description"?}  PATCH ?id= {"title"?, "description"?, "completed"?}
          DELETE ?id=
Answers   GET 200 {"tasks", "next_cursor"}, newest first; POST 201, PATCH 200 the task; DELETE 204
Problems  401 unauthenticated, 403 account_inactive, 404 not_found (not yours or not there),
          409 tasks_full (POST), 415, 422 invalid_request
Database  1 round trip: list_tasks.sql, add_task.sql, change_task.sql, delete_task.sql
"""

from starlette.requests import Request
from starlette.responses import Response

from lib.database.client import database
from lib.functions import function
from lib.http.bodies import read_body
from lib.http.queries import parse_query
from lib.http.responses import json_response
from lib.identity.callers import user_of
from lib.users import tasks


async def get(request: Request) -> Response:
    """Answer one page."""
    caller = await user_of(request)
    return json_response(
        await tasks.list_tasks(database(), caller, parse_query(request, tasks.TaskQuery))
    )


async def post(request: Request) -> Response:
    """Add a task."""
    caller = await user_of(request)
    new = await read_body(request, tasks.new_task)
    return json_response(await tasks.add_task(database(), caller, new), status=201)


async def patch(request: Request) -> Response:
    """Change a task."""
    caller = await user_of(request)
    task_id = parse_query(request, tasks.TaskIdQuery).id
    change = await read_body(request, tasks.task_change)
    return json_response(await tasks.change_task(database(), caller, task_id, change))


async def delete(request: Request) -> Response:
    """Delete a task."""
    caller = await user_of(request)
    await tasks.delete_task(database(), caller, parse_query(request, tasks.TaskIdQuery).id)
    return Response(status_code=204)


app = function(GET=get, POST=post, PATCH=patch, DELETE=delete)
