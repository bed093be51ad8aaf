"""change_task."""

from dataclasses import replace
from typing import Any

import pytest

from tests.support.steps.tasks import Tasks


@pytest.mark.parametrize(
    "changes",
    [
        {"title": "Buy cream"},
        {"description": "Three"},
        {"description": ""},
        {"completed": True},
        {"title": "Buy cream", "description": "Three", "completed": True},
        {},
    ],
    ids=str,
)
async def test_only_the_given_fields_of_a_task_change(
    tasks: Tasks, changes: dict[str, Any]
) -> None:
    added = await tasks.add("Buy milk", description="Two litres")
    other = await tasks.add("Another")
    tasks.wait(days=1)

    changed = await tasks.change(added, **changes)

    assert changed == [replace(added, updated_at=tasks.now, **changes)]
    assert await tasks.page() == [other, *changed]


async def test_a_completed_task_may_be_reopened(tasks: Tasks) -> None:
    added = await tasks.add("Buy milk")
    await tasks.change(added, completed=True)

    [changed] = await tasks.change(added, completed=False)

    assert not changed.completed


async def test_another_users_task_is_not_changed(tasks: Tasks) -> None:
    added = await tasks.add("Buy milk")

    assert await tasks.change(added, user_id="eve", title="Mine") == []
    assert await tasks.page() == [added]
