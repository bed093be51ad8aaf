"""add_task."""

from lib.users.tasks import Task
from tests.support.steps.tasks import Tasks


async def test_a_task_is_stored_as_the_caller_sent_it(tasks: Tasks) -> None:
    added = await tasks.add("Buy milk", description="Two litres")

    assert added == Task(
        title="Buy milk",
        completed=False,
        id=added.id,
        created_at=tasks.now,
        updated_at=tasks.now,
        description="Two litres",
    )
    assert await tasks.page() == [added]


async def test_add_task_sent_twice_stores_one_task(tasks: Tasks) -> None:
    added = await tasks.add("Buy milk")

    assert await tasks.add("Buy milk") == added
    assert await tasks.page() == [added]


async def test_add_task_sent_twice_returns_the_task_with_its_later_changes(tasks: Tasks) -> None:
    added = await tasks.add("Buy milk")
    [changed] = await tasks.change(added, completed=True)

    assert await tasks.add("Buy milk") == changed


async def test_the_same_title_at_another_time_is_another_task(tasks: Tasks) -> None:
    await tasks.add("Buy milk")
    tasks.wait(seconds=0.000001)
    await tasks.add("Buy milk")

    assert await tasks.titles() == ["Buy milk", "Buy milk"]


async def test_the_same_title_of_another_user_is_another_task(tasks: Tasks) -> None:
    await tasks.add("Buy milk")
    await tasks.add("Buy milk", user_id="eve")

    assert await tasks.titles() == await tasks.titles(user_id="eve") == ["Buy milk"]
