"""count_old_chat_messages, count_old_conversations: what the clean-up's dry run adds up."""

from datetime import datetime, timedelta

from lib.operations.dry_run import COUNT_OLD_CHAT_MESSAGES, COUNT_OLD_CONVERSATIONS
from tests.support.steps.rows import Rows
from tests.support.steps.turns import NOON, Turns


async def test_old_messages_are_counted_in_batches_and_stay(turns: Turns, rows: Rows) -> None:
    for number in range(1, 4):
        turns.now = NOON - timedelta(days=40 - number)
        await turns.exchange(number)
    turns.now = NOON - timedelta(days=30)
    await turns.exchange(4)

    # A question and its answer are of the same moment, and so of the same batch.
    counted, since = list[int](), None
    for _ in range(3):
        [batch] = await turns.database.run(
            COUNT_OLD_CHAT_MESSAGES(retention_days=30, batch_size=3, since=since, now=NOON)
        )
        counted.append(batch.counted)
        since = batch.last_at

    assert counted == [4, 2, 0]
    assert since is None
    assert len(rows.current(turns.conversation_id)) == 8


async def test_old_conversations_are_counted_that_will_be_empty(turns: Turns, rows: Rows) -> None:
    def store(days_ago: int, said_days_ago: int | None) -> None:
        rows.run(
            """
            WITH stored AS (INSERT INTO conversations (updated_at) VALUES (%s) RETURNING id)
            INSERT INTO chat_messages (conversation_id, role, content, created_at)
            SELECT id, 'system', 'Be brief.', %s FROM stored WHERE %s
            """,
            NOON - timedelta(days=days_ago),
            NOON - timedelta(days=said_days_ago or 0),
            said_days_ago is not None,
        )

    store(40, None)
    store(39, 39)
    store(38, 1)
    store(29, None)

    seen: list[tuple[int, int]] = []
    since: datetime | None = None
    for _ in range(2):
        [batch] = await turns.database.run(
            COUNT_OLD_CONVERSATIONS(retention_days=30, batch_size=2, since=since, now=NOON)
        )
        seen.append((batch.looked_at, batch.counted))
        since = batch.last_at

    assert seen == [(2, 2), (1, 0)]
