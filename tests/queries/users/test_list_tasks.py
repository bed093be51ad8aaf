"""list_tasks."""

import pytest

from tests.support.steps.rows import Rows
from tests.support.steps.tasks import Tasks


async def test_a_users_own_tasks_are_listed_newest_first(tasks: Tasks) -> None:
    for title in ("One", "Two", "Three"):
        await tasks.add(title)
    await tasks.add("Another's", user_id="eve")

    assert await tasks.titles() == ["Three", "Two", "One"]
    assert await tasks.titles(user_id="eve") == ["Another's"]
    assert await tasks.titles(user_id="nobody") == []


async def test_the_next_page_of_tasks_continues_before_the_last_one(tasks: Tasks) -> None:
    for title in ("One", "Two", "Three"):
        await tasks.add(title)

    first = await tasks.page(page_size=2)
    second = await tasks.titles(page_size=2, cursor_id=first[-1].id)

    assert [task.title for task in first] == ["Three", "Two"]
    assert second == ["One"]


@pytest.mark.parametrize(
    ("completed", "titles"), [(True, ["Done"]), (False, ["To do"]), (None, ["To do", "Done"])]
)
async def test_completed_and_open_tasks_are_listed_separately(
    tasks: Tasks, *, completed: bool | None, titles: list[str]
) -> None:
    await tasks.change(await tasks.add("Done"), completed=True)
    await tasks.add("To do")

    assert await tasks.titles(completed=completed) == titles


async def test_a_description_that_is_missing_is_empty(tasks: Tasks, rows: Rows) -> None:
    await tasks.add("One", description="At noon")
    rows.run("UPDATE tasks SET description = NULL")

    assert [task.description for task in await tasks.page()] == [""]
