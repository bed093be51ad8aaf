"""replace_old_titles, and count_old_titles: what the clean-up's dry run adds up."""

from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest

from lib.conversations.conversation import title_of
from lib.database.client import Database
from lib.operations.clean_up import REPLACE_OLD_TITLES, TitleBatch
from lib.operations.dry_run import COUNT_OLD_TITLES
from tests.support.steps.rows import Rows

LONG = (
    "A question that is much longer than a title may be, and   has \n\t some odd space in it, too"
)


@pytest.mark.parametrize("text", ["Short", "  Some\n\n space\t ", LONG, "ä" * 61, "word " * 12])
async def test_an_expired_title_gives_way_to_the_beginning_of_the_oldest_kept_message(
    pool: Database, rows: Rows, text: str
) -> None:
    conversation = _store(rows, titled_days_ago=31)
    for content, days_ago in (("Expired", 31), (text, 29), ("Later", 1)):
        _say(rows, conversation, content, days_ago)

    batch = await _replace(pool)

    assert (batch.replaced, batch.resume_at) == (1, None)
    [(title, expires_with_its_message)] = rows.run(
        "SELECT title, titled_at = (SELECT created_at FROM chat_messages WHERE content = %s)"
        " FROM conversations",
        text,
    )
    assert title == title_of(text)
    assert expires_with_its_message
    assert (await _replace(pool)).replaced == 0


async def test_only_a_users_current_message_with_words_becomes_a_title(
    pool: Database, rows: Rows
) -> None:
    conversation = _store(rows, titled_days_ago=31)
    _say(rows, conversation, "Be brief.", 9, role="system")
    _say(rows, conversation, "Hello!", 8, role="assistant")
    _say(rows, conversation, "Edited", 7, is_current=False)
    _say(rows, conversation, " \n ", 6)

    assert (await _replace(pool)).replaced == 1
    assert rows.run("SELECT title FROM conversations") == [(None,)]

    # Without a title it is not looked at again.
    assert (await _replace(pool)).replaced == 0


async def test_a_title_that_is_younger_than_the_period_stays(pool: Database, rows: Rows) -> None:
    _say(rows, _store(rows, titled_days_ago=29), "Something else", 1)

    assert (await _replace(pool)).replaced == 0
    assert rows.run("SELECT title FROM conversations") == [("A title",)]


async def test_a_batch_of_titles_tells_where_the_next_one_begins(
    pool: Database, rows: Rows
) -> None:
    for days in (34, 33, 32):
        _store(rows, titled_days_ago=days)

    first = await _replace(pool, batch_size=2)
    assert first.replaced == 2
    rest = await _replace(pool, batch_size=2, since=first.resume_at)

    assert (rest.replaced, rest.resume_at) == (1, None)


async def test_a_conversation_that_a_turn_holds_keeps_its_title_until_the_next_clean_up(
    pool: Database, rows: Rows
) -> None:
    held = _store(rows, titled_days_ago=40)
    lock = "SELECT FROM conversations WHERE id = %(id)s FOR NO KEY UPDATE"
    async with rows.uncommitted(lock, {"id": held}):
        assert (await _replace(pool)).replaced == 0

    assert (await _replace(pool)).replaced == 1


async def test_titles_are_counted_that_a_clean_up_would_replace(pool: Database, rows: Rows) -> None:
    # Used; unused, but with a message that is kept; and one that goes.
    _store(rows, titled_days_ago=40, used_days_ago=1)
    _say(rows, _store(rows, titled_days_ago=39, used_days_ago=39), "Kept", 1)
    _say(rows, _store(rows, titled_days_ago=38, used_days_ago=38), "Gone", 38)
    _store(rows, titled_days_ago=1, used_days_ago=1)

    seen: list[tuple[int, int]] = []
    since: datetime | None = None
    for _ in range(2):
        [batch] = await pool.run(
            COUNT_OLD_TITLES(retention_days=30, batch_size=2, since=since, now=None)
        )
        seen.append((batch.looked_at, batch.counted))
        since = batch.last_at

    assert seen == [(2, 2), (1, 0)]


def _store(rows: Rows, *, titled_days_ago: float, used_days_ago: float = 0) -> UUID:
    conversation_id, now = uuid4(), datetime.now(UTC)
    rows.run(
        "INSERT INTO conversations (id, title, titled_at, updated_at)"
        " VALUES (%s, 'A title', %s, %s)",
        conversation_id,
        now - timedelta(days=titled_days_ago),
        now - timedelta(days=used_days_ago),
    )
    return conversation_id


def _say(
    rows: Rows,
    conversation_id: UUID,
    content: str,
    days_ago: float,
    *,
    role: str = "user",
    is_current: bool = True,
) -> None:
    at = datetime.now(UTC) - timedelta(days=days_ago)
    rows.run(
        "INSERT INTO chat_messages (conversation_id, role, content, created_at, superseded_at)"
        " VALUES (%s, %s, %s, %s, %s)",
        conversation_id,
        role,
        content,
        at,
        None if is_current else at,
    )


async def _replace(
    pool: Database, *, batch_size: int = 100, since: datetime | None = None
) -> TitleBatch:
    [batch] = await pool.run(
        REPLACE_OLD_TITLES(retention_days=30, batch_size=batch_size, since=since)
    )
    return batch
