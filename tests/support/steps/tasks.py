"""The statements of tasks for `tests/queries`, with the time as a parameter."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from lib.database.acting import REMEMBER_USER
from lib.database.client import Database
from lib.users.tasks import ADD_TASK, CHANGE_TASK, DELETE_TASK, LIST_TASKS, MAX_TASKS, Task
from tests.support.steps.turns import NOON, act_as


@dataclass(slots=True)
class Tasks:
    """The tasks of a database, and the clock of their statements.

    Attributes:
        database: the database, as the functions open it.
        now: the time for the statements.
    """

    database: Database
    now: datetime = NOON

    def wait(self, **duration: float) -> None:
        """Let time pass: `seconds=`, `days=` and the like."""
        self.now += timedelta(**duration)

    async def add(self, title: str, *, user_id: str = "ada", description: str = "") -> Task:
        """Run add_task."""
        remember = REMEMBER_USER(
            user_id=user_id, user_email=None, user_name=None, token_issued_at=None
        )
        await self.database.run(remember)
        _, [task] = await self.database.run(
            act_as(user_id),
            ADD_TASK(
                user_id=user_id,
                title=title,
                description=description,
                added_at=self.now,
                max_tasks=MAX_TASKS,
            ),
        )
        return task

    async def change(self, task: Task, *, user_id: str = "ada", **changes: object) -> list[Task]:
        """Run change_task; `changes` are its parameters."""
        unchanged = {"title": None, "description": None, "completed": None}
        _, changed = await self.database.run(
            act_as(user_id),
            CHANGE_TASK(
                **(unchanged | {"task_id": task.id, "user_id": user_id, "now": self.now} | changes)
            ),
        )
        return changed

    async def delete(self, task: Task, *, user_id: str = "ada") -> list[Task]:
        """Run delete_task."""
        _, deleted = await self.database.run(
            act_as(user_id), DELETE_TASK(task_id=task.id, user_id=user_id)
        )
        return deleted

    async def page(self, *, user_id: str = "ada", **parameters: Any) -> list[Task]:
        """Run list_tasks."""
        defaults = {"user_id": user_id, "completed": None, "cursor_id": None, "page_size": 200}
        _, tasks = await self.database.run(act_as(user_id), LIST_TASKS(**(defaults | parameters)))
        return tasks

    async def titles(self, *, user_id: str = "ada", **parameters: Any) -> list[str]:
        """Run list_tasks, and return the titles."""
        return [task.title for task in await self.page(user_id=user_id, **parameters)]
