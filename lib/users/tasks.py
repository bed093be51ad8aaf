"""Tasks: a user's to-do list, which the user and the assistant's tools change."""

from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

from lib.database.acting import remember_user
from lib.database.client import Database
from lib.database.statements import Call, Statement
from lib.http.cursors import cursor, page_of
from lib.http.ids import ROW_ID
from lib.http.queries import one_of, parameter, query_string, whole_number
from lib.identity.callers import Caller
from lib.identity.erasures import log_erasure
from lib.problems import NotFound, TasksFull

if TYPE_CHECKING:
    from lib.users.bodies import NewTask, TaskChange


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A task of a user."""

    title: str
    completed: bool
    id: int
    created_at: datetime
    updated_at: datetime
    description: str

    def to_json(self) -> dict[str, Any]:
        """Return the task as clients and the model see it."""
        return asdict(self)


# More than a list is read for; without a limit one user could fill the disk for all.
MAX_TASKS = 1000
LIST_TASKS = Statement("users/list_tasks", Task)
ADD_TASK = Statement("users/add_task", Task)
CHANGE_TASK = Statement("users/change_task", Task)
DELETE_TASK = Statement("users/delete_task", Task)


@query_string
class TaskQuery:
    """The query of GET /api/tasks."""

    completed: Literal["true", "false"] | None = parameter(one_of("true", "false"), default=None)
    limit: int = parameter(whole_number(1, 200), default=50)
    cursor: tuple[int] | None = parameter(cursor(int), default=None)


@query_string
class TaskIdQuery:
    """The query of /api/tasks that names one task."""

    id: int = parameter(ROW_ID)


def new_task() -> "type[NewTask]":
    """Return the model of the body of POST."""
    from lib.users.bodies import NewTask

    return NewTask


def task_change() -> "type[TaskChange]":
    """Return the model of the body of PATCH."""
    from lib.users.bodies import TaskChange

    return TaskChange


async def list_tasks(database: Database, caller: Caller, query: TaskQuery) -> dict[str, Any]:
    """Return one page of a user's tasks, newest first.

    One round trip: list_tasks.

    Raises:
        Problem: see `Database.run_as`.
    """
    [last_id] = query.cursor or [None]
    tasks = await database.run_as(
        caller,
        None,
        LIST_TASKS(
            user_id=caller.user_id,
            completed=None if query.completed is None else query.completed == "true",
            cursor_id=last_id,
            # One row more than the page shows whether there is a next page.
            page_size=query.limit + 1,
        ),
    )
    page, next_cursor = page_of(tasks, query.limit, lambda row: (row.id,))
    return {"tasks": page, "next_cursor": next_cursor}


async def add_task(database: Database, caller: Caller, new: "NewTask") -> Task:
    """Add a task for a user.

    One round trip: remember_user and add_task.

    Raises:
        TasksFull: when the user has MAX_TASKS tasks.
        Problem: see `Database.run_as`.
    """
    _, added = await database.run_as(
        caller, None, remember_user(caller), add_task_call(caller, new)
    )
    if not added:
        raise TasksFull
    return added[0]


def add_task_call(caller: Caller, new: "NewTask") -> Call[Task]:
    """Return the call that adds a task; sent twice, it adds one, and with MAX_TASKS none."""
    return ADD_TASK(
        user_id=caller.user_id,
        title=new.title,
        description=new.description,
        added_at=datetime.now(UTC),
        max_tasks=MAX_TASKS,
    )


def change_task_call(caller: Caller, task_id: int, change: "TaskChange") -> Call[Task]:
    """Return the call that changes a task of the caller."""
    return CHANGE_TASK(
        task_id=task_id,
        user_id=caller.user_id,
        title=change.title,
        description=change.description,
        completed=change.completed,
        now=None,
    )


async def change_task(
    database: Database, caller: Caller, task_id: int, change: "TaskChange"
) -> Task:
    """Change a task of a user.

    One round trip: change_task.

    Raises:
        NotFound: when the user has no such task.
        Problem: see `Database.run_as`.
    """
    return _first(await database.run_as(caller, None, change_task_call(caller, task_id, change)))


async def delete_task(database: Database, caller: Caller, task_id: int) -> None:
    """Delete a task of a user.

    One round trip: delete_task.

    Raises:
        NotFound: when the user has no such task.
        Problem: see `Database.run_as`.
    """
    call = DELETE_TASK(task_id=task_id, user_id=caller.user_id)
    deleted = await database.run_as(caller, None, call)
    log_erasure("task", [_first(deleted).id])


def _first(tasks: list[Task]) -> Task:
    if not tasks:
        raise NotFound
    return tasks[0]
