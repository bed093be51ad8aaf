"""delete_old_chat_messages; what the function deletes is in tests/migrations/test_retention.py."""

from datetime import UTC, datetime

from lib.retention import DELETE_OLD_CHAT_MESSAGES
from tests.queries.rows import Rows
from tests.queries.turns import Turns


async def test_messages_older_than_so_many_days_go_whosever_they_are_and_are_counted(
    turns: Turns, rows: Rows
) -> None:
    turns.now = datetime.now(UTC)
    turns.wait(days=-8)
    await turns.exchange(1, user_id="ada")
    turns.wait(days=2)
    await turns.exchange(2, user_id="ada")

    [row] = await turns.database.run(DELETE_OLD_CHAT_MESSAGES(retention_days=7, batch_size=1000))

    assert row.deleted == 2
    assert rows.said(turns.conversation_id) == ["Question 2", "Answer 2"]
