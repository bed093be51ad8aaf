"""delete_task."""

from tests.support.steps.tasks import Tasks


async def test_a_task_is_deleted_and_returned_as_it_was(tasks: Tasks) -> None:
    added = await tasks.add("Buy milk")
    other = await tasks.add("Another")

    assert await tasks.delete(added) == [added]
    assert await tasks.page() == [other]


async def test_a_task_that_is_gone_is_not_found(tasks: Tasks) -> None:
    added = await tasks.add("Buy milk")
    await tasks.delete(added)

    assert await tasks.delete(added) == []


async def test_another_users_task_is_not_deleted(tasks: Tasks) -> None:
    added = await tasks.add("Buy milk")

    assert await tasks.delete(added, user_id="eve") == []
    assert await tasks.page() == [added]
