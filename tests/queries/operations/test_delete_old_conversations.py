"""delete_old_conversations."""

from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

from lib.database.client import Database
from lib.operations.clean_up import DELETE_OLD_CONVERSATIONS, ConversationBatch
from tests.support.steps.rows import Rows

SAY = """
    INSERT INTO chat_messages (conversation_id, role, content)
    VALUES (%(id)s, 'system', 'Be brief.')
"""
ALL = "SELECT id FROM conversations ORDER BY updated_at"


async def test_those_that_are_empty_and_unused_for_so_long_go_and_are_counted(
    pool: Database, rows: Rows
) -> None:
    _store(rows, days_ago=40)
    _store(rows, days_ago=31)
    young = _store(rows, days_ago=29)
    spoken = _store(rows, days_ago=35)
    async with rows.uncommitted(SAY, {"id": spoken}):
        pass

    batch = await _delete(pool)

    assert (batch.deleted, batch.resume_at) == (2, None)
    assert rows.run(ALL) == [(spoken,), (young,)]
    assert batch.duration_ms > 0


async def test_a_batch_tells_where_the_next_one_begins(pool: Database, rows: Rows) -> None:
    for days in (34, 33, 32):
        _store(rows, days_ago=days)

    first = await _delete(pool, batch_size=2)
    assert first.deleted == 2
    assert first.resume_at

    # One used before that is not looked for.
    older = _store(rows, days_ago=50)
    rest = await _delete(pool, batch_size=2, since=first.resume_at)
    assert (rest.deleted, rest.resume_at) == (1, None)
    assert rows.run(ALL) == [(older,)]


async def test_many_that_were_used_at_the_same_moment_all_go_past_those_that_stay(
    pool: Database, rows: Rows
) -> None:
    at = datetime.now(UTC) - timedelta(days=40)
    rows.run("INSERT INTO conversations (updated_at) SELECT %s FROM generate_series(1, 9)", at)
    rows.run(
        """
        WITH spoken AS (
            INSERT INTO conversations (updated_at) SELECT %s FROM generate_series(1, 9)
            RETURNING id
        )
        INSERT INTO chat_messages (conversation_id, role, content)
        SELECT id, 'system', 'Be brief.' FROM spoken
        """,
        at,
    )

    deleted, since = list[int](), None
    for _ in range(5):
        batch = await _delete(pool, batch_size=2, since=since)
        deleted.append(batch.deleted)
        since = batch.resume_at

    assert deleted == [2, 2, 2, 2, 1]
    assert since is None


async def test_one_that_somebody_is_just_using_is_left_to_them(pool: Database, rows: Rows) -> None:
    used, written_to = _store(rows, days_ago=40), _store(rows, days_ago=39)
    async with (
        rows.uncommitted(
            "SELECT FROM conversations WHERE id = %(id)s FOR NO KEY UPDATE", {"id": used}
        ),
        rows.uncommitted(SAY, {"id": written_to}),
    ):
        assert (await _delete(pool)).deleted == 0

    assert rows.run(ALL) == [(used,), (written_to,)]


def _store(rows: Rows, *, days_ago: float) -> UUID:
    conversation_id, at = uuid4(), datetime.now(UTC) - timedelta(days=days_ago)
    rows.run("INSERT INTO conversations (id, updated_at) VALUES (%s, %s)", conversation_id, at)
    return conversation_id


async def _delete(
    pool: Database, *, batch_size: int = 100, since: datetime | None = None
) -> ConversationBatch:
    call = DELETE_OLD_CONVERSATIONS(retention_days=30, batch_size=batch_size, since=since)
    [batch] = await pool.run(call)
    return batch
