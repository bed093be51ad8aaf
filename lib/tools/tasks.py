"""Tools that work on the user's tasks."""

from pydantic import BaseModel, Field

from lib.tools import ToolContext, ToolError, tool
from lib.users.bodies import Description, NewTask, TaskChange, Title
from lib.users.tasks import DELETE_TASK, LIST_TASKS, Task, adding, changing

MOST_LISTED = 50


class WhichTasks(BaseModel, defer_build=True):
    """Arguments of list_tasks."""

    completed: bool | None = Field(default=None, description="Only those done, or not done")


class WhichTask(BaseModel, defer_build=True):
    """Arguments of complete_task and delete_task."""

    id: int = Field(ge=0, lt=2**63, description="The task's id, from list_tasks")


class Update(WhichTask, defer_build=True):
    """Arguments of update_task."""

    title: Title | None = None
    description: Description | None = None
    completed: bool | None = Field(default=None, description="Is it done?")


@tool
async def add_task(new: NewTask, context: ToolContext) -> Task:
    """Add a task to the user's list. Returns the task."""
    [task] = await context.run(adding(context.caller, new))
    return task


@tool
async def list_tasks(which: WhichTasks, context: ToolContext) -> list[Task]:
    """List the user's tasks with their ids, the newest first."""
    return await context.read(
        LIST_TASKS(
            user_id=context.caller.user_id,
            completed=which.completed,
            cursor_id=None,
            page_size=MOST_LISTED,
        )
    )


@tool
async def update_task(update: Update, context: ToolContext) -> Task:
    """Change the title or the description of a task of the user. Returns the task."""
    given = update.model_dump(exclude={"id"}, exclude_none=True)
    if not given:
        message = "Give a title, a description or completed."
        raise ToolError(message)
    change = TaskChange.model_validate(given)
    return _only(await context.run(changing(context.caller, update.id, change)))


@tool
async def complete_task(which: WhichTask, context: ToolContext) -> Task:
    """Mark a task of the user as done. Returns the task."""
    change = TaskChange(completed=True)
    return _only(await context.run(changing(context.caller, which.id, change)))


@tool
async def delete_task(which: WhichTask, context: ToolContext) -> Task:
    """Delete a task of the user. Returns the task as it was."""
    call = DELETE_TASK(task_id=which.id, user_id=context.caller.user_id)
    return _only(await context.run(call))


def _only(found: list[Task]) -> Task:
    if not found:
        message = "There is no such task. list_tasks tells which there are."
        raise ToolError(message)
    return found[0]
