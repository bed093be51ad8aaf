"""/api/tasks: the caller's tasks, which the assistant can work on too.

Accepts   GET ?completed=true|false  &limit=1..200 (50)  &cursor=<cursor>
          POST {"title", "description"?}  PATCH ?id= {"title"?, "description"?, "completed"?}
          DELETE ?id=
Answers   GET 200 {"tasks", "next_cursor"}, newest first; POST 201, PATCH 200 the task; DELETE 204
Problems  401 unauthenticated, 403 account_inactive, 404 not_found (not yours or not there),
          415, 422 invalid_request
Database  1 round trip: list_tasks.sql, add_task.sql, change_task.sql, delete_task.sql
"""

from starlette.requests import Request
from starlette.responses import Response

from lib.bodies import read_body
from lib.callers import user_of
from lib.database import database
from lib.functions import function, json_response
from lib.queries import parse_query
from lib.tasks import (
    OneTask,
    TaskQuery,
    add_task,
    change_task,
    delete_task,
    list_tasks,
    new_task,
    task_change,
)


async def get(request: Request) -> Response:
    """Answer one page."""
    caller = await user_of(request)
    return json_response(await list_tasks(database(), caller, parse_query(request, TaskQuery)))


async def post(request: Request) -> Response:
    """Add a task."""
    caller = await user_of(request)
    new = await read_body(request, new_task)
    return json_response(await add_task(database(), caller, new), status=201)


async def patch(request: Request) -> Response:
    """Change a task."""
    caller = await user_of(request)
    task_id = parse_query(request, OneTask).id
    change = await read_body(request, task_change)
    return json_response(await change_task(database(), caller, task_id, change))


async def delete(request: Request) -> Response:
    """Delete a task."""
    caller = await user_of(request)
    await delete_task(database(), caller, parse_query(request, OneTask).id)
    return Response(status_code=204)


app = function(GET=get, POST=post, PATCH=patch, DELETE=delete)
