"""Tools that work on the user's tasks."""

from pydantic import BaseModel, Field

from lib.identity.erasures import log_erasure
from lib.tools import ToolContext, ToolError, tool
from lib.users.bodies import Description, NewTask, TaskChange, Title
from lib.users.tasks import (
    DELETE_TASK,
    LIST_TASKS,
    MAX_TASKS,
    Task,
    add_task_call,
    change_task_call,
)

MAX_LISTED_TASKS = 50


class TaskFilter(BaseModel, defer_build=True):
    """Arguments of list_tasks."""

    completed: bool | None = Field(default=None, description="Only those done, or not done")


class TaskId(BaseModel, defer_build=True):
    """Arguments of complete_task and delete_task."""

    id: int = Field(ge=0, lt=2**63, description="The task's id, from list_tasks")


class TaskUpdate(TaskId, defer_build=True):
    """Arguments of update_task."""

    title: Title | None = None
    description: Description | None = None
    completed: bool | None = Field(default=None, description="Is it done?")


@tool
async def add_task(new: NewTask, context: ToolContext) -> Task:
    """Add a task to the user's list. Returns the task."""
    added = await context.run(add_task_call(context.caller, new))
    if not added:
        message = f"The user has {MAX_TASKS} tasks, which is the most. Delete some first."
        raise ToolError(message)
    return added[0]


@tool(side_by_side=True)
async def list_tasks(filters: TaskFilter, context: ToolContext) -> list[Task]:
    """List the user's tasks with their ids, the newest first."""
    return await context.read(
        LIST_TASKS(
            user_id=context.caller.user_id,
            completed=filters.completed,
            cursor_id=None,
            page_size=MAX_LISTED_TASKS,
        )
    )


@tool
async def update_task(update: TaskUpdate, context: ToolContext) -> Task:
    """Change the title or the description of a task of the user. Returns the task."""
    fields = update.model_dump(exclude={"id"}, exclude_none=True)
    if not fields:
        message = "Give a title, a description or completed."
        raise ToolError(message)
    change = TaskChange.model_validate(fields)
    return _first(await context.run(change_task_call(context.caller, update.id, change)))


@tool
async def complete_task(task: TaskId, context: ToolContext) -> Task:
    """Mark a task of the user as done. Returns the task."""
    change = TaskChange(completed=True)
    return _first(await context.run(change_task_call(context.caller, task.id, change)))


@tool
async def delete_task(task: TaskId, context: ToolContext) -> Task:
    """Delete a task of the user. Returns the task as it was."""
    call = DELETE_TASK(task_id=task.id, user_id=context.caller.user_id)
    deleted = _first(await context.run(call))
    log_erasure("task", [deleted.id])
    return deleted


def _first(tasks: list[Task]) -> Task:
    if not tasks:
        message = "There is no such task. list_tasks tells which there are."
        raise ToolError(message)
    return tasks[0]
