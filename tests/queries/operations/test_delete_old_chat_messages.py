"""delete_old_chat_messages; without its batches: tests/migrations/test_retention.py."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from lib.operations.clean_up import DELETE_OLD_CHAT_MESSAGES, MessageBatch
from tests.support.steps.rows import Rows
from tests.support.steps.tool_runs import begin_run
from tests.support.steps.turns import Turns


@pytest.fixture(autouse=True)
def _a_month_ago(turns: Turns) -> None:
    turns.now = datetime.now(UTC) - timedelta(days=40)


async def test_messages_older_than_so_many_days_go_whosever_they_are_and_are_counted(
    turns: Turns, rows: Rows
) -> None:
    await turns.exchange(1, user_id="ada")
    turns.wait(days=35)
    await turns.exchange(2, user_id="ada")

    batch = await _delete(turns)

    assert (batch.deleted, batch.resume_at, batch.is_incomplete) == (2, None, False)
    assert rows.current(turns.conversation_id) == ["Question 2", "Answer 2"]
    assert batch.duration_ms > 0


async def test_a_batch_tells_where_the_next_one_begins(turns: Turns, rows: Rows) -> None:
    for number in range(1, 4):
        await turns.exchange(number)
        turns.wait(days=1)

    first = await _delete(turns, batch_size=4)
    assert (first.deleted, first.resume_at) == (4, turns.now - timedelta(days=2))
    assert rows.current(turns.conversation_id) == ["Question 3", "Answer 3"]

    rest = await _delete(turns, batch_size=4, since=first.resume_at)
    assert (rest.deleted, rest.resume_at) == (2, None)


async def test_a_batch_leaves_alone_what_was_stored_before_and_after_its_span(
    turns: Turns, rows: Rows
) -> None:
    for number in range(1, 4):
        await turns.exchange(number)
        turns.wait(days=1)
    second = turns.now - timedelta(days=2)

    batch = await _delete(turns, since=second, until=second + timedelta(hours=1))

    assert (batch.deleted, batch.is_incomplete) == (2, False)
    assert rows.current(turns.conversation_id) == [
        "Question 1",
        "Answer 1",
        "Question 3",
        "Answer 3",
    ]


async def test_many_that_were_stored_at_the_same_moment_all_go(turns: Turns, rows: Rows) -> None:
    # In a batch, as who brings over old messages would store them.
    await turns.exchange(1)
    rows.run(
        """
        INSERT INTO chat_messages (conversation_id, role, content, created_at)
        SELECT %s, 'user', 'Brought over', %s FROM generate_series(1, 20)
        """,
        turns.conversation_id,
        turns.now,
    )

    deleted, since = list[int](), None
    for _ in range(5):
        batch = await _delete(turns, batch_size=5, since=since)
        deleted.append(batch.deleted)
        since = batch.resume_at

    assert deleted == [5, 5, 5, 5, 2]
    assert since is None


async def test_a_message_that_somebody_holds_is_left_to_them_and_reported(
    turns: Turns, rows: Rows
) -> None:
    await turns.exchange(1)
    holding = "SELECT FROM chat_messages WHERE role = 'user' FOR UPDATE"

    async with rows.uncommitted(holding):
        batch = await _delete(turns)

    assert (batch.deleted, batch.is_incomplete) == (1, True)
    assert rows.current(turns.conversation_id) == ["Question 1"]
    again = await _delete(turns)
    assert (again.deleted, again.is_incomplete) == (1, False)


async def test_what_tools_did_for_a_question_goes_with_it(turns: Turns, rows: Rows) -> None:
    old = await turns.begin(user_id="ada")
    await begin_run(turns, old, "old")
    await turns.release(old)
    turns.wait(days=35)
    new = await turns.begin("And now?", message_id="question-2", user_id="ada")
    await begin_run(turns, new, "new")

    await _delete(turns)

    assert rows.run("SELECT run_key FROM tool_runs") == [("new",)]


async def _delete(
    turns: Turns,
    *,
    batch_size: int = 100,
    since: datetime | None = None,
    until: datetime | None = None,
) -> MessageBatch:
    call = DELETE_OLD_CHAT_MESSAGES(
        retention_days=30, batch_size=batch_size, since=since, until=until
    )
    [batch] = await turns.database.run(call)
    return batch


async def test_an_old_tool_run_without_its_question_goes_too(turns: Turns, rows: Rows) -> None:
    begun = await turns.begin(user_id="ada")
    await begin_run(turns, begun, "old")
    rows.run("UPDATE tool_runs SET question_id = question_id + 1000")
    turns.wait(days=39)
    await turns.exchange(2, user_id="eve", conversation_id=uuid4())

    await _delete(turns)

    assert rows.run("SELECT run_key FROM tool_runs") == []
