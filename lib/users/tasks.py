"""Tasks: what a user wants done. The user works on them, and the assistant for the user."""

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
from lib.problems import NotFound

if TYPE_CHECKING:
    from lib.users.bodies import NewTask, TaskChange


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A row of `tasks`."""

    title: str
    completed: bool
    id: int
    created_at: datetime
    updated_at: datetime
    description: str

    def to_json(self) -> dict[str, Any]:
        """Return it as clients and the model see it."""
        return asdict(self)


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
class OneTask:
    """The query of /api/tasks that names one."""

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
    found = await database.run_as(
        caller,
        None,
        LIST_TASKS(
            user_id=caller.user_id,
            completed=None if query.completed is None else query.completed == "true",
            cursor_id=last_id,
            # One more than asked for tells whether there is a next page.
            page_size=query.limit + 1,
        ),
    )
    page, next_cursor = page_of(found, query.limit, lambda row: (row.id,))
    return {"tasks": page, "next_cursor": next_cursor}


async def add_task(database: Database, caller: Caller, new: "NewTask") -> Task:
    """Add a task for a user.

    One round trip: remember_user and add_task.

    Raises:
        Problem: see `Database.run_as`.
    """
    _, [task] = await database.run_as(caller, None, remember_user(caller), adding(caller, new))
    return task


def adding(caller: Caller, new: "NewTask") -> Call[Task]:
    """Return the call that adds a task, once, however often it is sent."""
    return ADD_TASK(
        user_id=caller.user_id,
        title=new.title,
        description=new.description,
        added_at=datetime.now(UTC),
    )


def changing(caller: Caller, task_id: int, change: "TaskChange") -> Call[Task]:
    """Return the call that changes a task, if the caller has it."""
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
        NotFound: there is no such task of this user.
        Problem: see `Database.run_as`.
    """
    return _only(await database.run_as(caller, None, changing(caller, task_id, change)))


async def delete_task(database: Database, caller: Caller, task_id: int) -> None:
    """Delete a task of a user.

    One round trip: delete_task.

    Raises:
        NotFound: there is no such task of this user.
        Problem: see `Database.run_as`.
    """
    _only(await database.run_as(caller, None, DELETE_TASK(task_id=task_id, user_id=caller.user_id)))


def _only(found: list[Task]) -> Task:
    if not found:
        raise NotFound
    return found[0]
