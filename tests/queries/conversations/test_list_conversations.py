"""list_conversations."""

from typing import Any
from uuid import UUID, uuid4

from lib.conversations.listing import LIST_CONVERSATIONS, ConversationSummary
from tests.support.steps.rows import Rows
from tests.support.steps.turns import NOON, Turns


async def test_the_most_recently_used_conversation_is_listed_first(turns: Turns) -> None:
    older, newer = [await _talk(turns) for _ in range(2)]
    turns.wait(seconds=1)
    await turns.begin("Hello again!", conversation_id=older, message_id="m2", user_id="ada")

    conversations = await _list(turns)

    assert [conversation.id for conversation in conversations] == [older, newer]
    assert conversations[0].updated_at == turns.now
    assert (conversations[0].title, conversations[0].status) == ("A title", "active")


async def test_pages_list_each_conversation_once_even_with_equal_times(
    turns: Turns, rows: Rows
) -> None:
    made = {await _talk(turns) for _ in range(7)}
    rows.run("UPDATE conversations SET updated_at = %s", NOON)

    seen: list[UUID] = []
    cursor: dict[str, object] = {}
    for size in (3, 3, 1):
        page = await _list(turns, page_size=3, **cursor)
        assert len(page) == size
        seen += [conversation.id for conversation in page]
        cursor = {"cursor_updated_at": page[-1].updated_at, "cursor_id": page[-1].id}

    assert set(seen) == made
    assert seen == sorted(seen, reverse=True)


async def test_archived_conversations_are_listed_only_when_asked_for(
    turns: Turns, rows: Rows
) -> None:
    active, archived = [await _talk(turns) for _ in range(2)]
    rows.run("UPDATE conversations SET status = 'archived' WHERE id = %s", archived)

    listed = {
        status: [conversation.id for conversation in await _list(turns, shown_status=status)]
        for status in ("active", "archived", "all")
    }

    assert listed == {
        "active": [active], "archived": [archived], "all": [archived, active],
    }  # fmt: skip


async def test_expired_conversations_are_not_listed_before_they_are_deleted(turns: Turns) -> None:
    await _talk(turns)
    turns.wait(days=30)

    assert len(await _list(turns, retention_days=30)) == 1
    turns.wait(seconds=1)
    assert await _list(turns, retention_days=30) == []
    assert len(await _list(turns, retention_days=0)) == 1


async def test_conversations_of_other_users_and_anonymous_callers_are_not_listed(
    turns: Turns,
) -> None:
    own = await _talk(turns)
    await _talk(turns, "eve")
    await _talk(turns, None)

    assert [conversation.id for conversation in await _list(turns)] == [own]
    assert await _list(turns, user_id=None) == []


async def _talk(turns: Turns, user_id: str | None = "ada") -> UUID:
    """Send a message in a new conversation, a second after the last one."""
    turns.wait(seconds=1)
    begun = await turns.begin(conversation_id=uuid4(), user_id=user_id)
    await turns.finish(begun)
    return begun.conversation_id


async def _list(turns: Turns, **parameters: Any) -> list[ConversationSummary]:
    defaults: dict[str, object] = {
        "user_id": "ada",
        "shown_status": "all",
        "retention_days": 0,
        "cursor_updated_at": None,
        "cursor_id": None,
        "page_size": 20,
        "now": turns.now,
    }
    return await turns.database.run(LIST_CONVERSATIONS(**defaults | parameters))
