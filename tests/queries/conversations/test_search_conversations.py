"""search_conversations: the matches, their order and their owners."""

from datetime import timedelta

import pytest

from tests.support.steps.rows import Rows
from tests.support.steps.search import Searched
from tests.support.steps.turns import NOON, Turns

STRANGE_USERS = [
    "o'brien", "'", "''", 'a"b', "a\\b", "\\", "a\\", "\\'", "a\\' | 'word", "a & b | !c", "ключ",
    "日本", "😀", "%", "a:*", " a b ", "\x01a", "\x02\x03", "x" * 255, "😀" * 255,
]  # fmt: skip


async def test_a_search_looks_in_titles_and_messages(searched: Searched) -> None:
    searched.add("by message", "Postgres is a database.", title="A title")
    searched.add("by title", "Something else.", title="Postgres")
    searched.add("neither", "Something else.", title="A title")

    assert sorted(await searched.names_of("postgres")) == ["by message", "by title"]


async def test_a_search_finds_a_turns_messages_as_soon_as_they_are_stored(
    turns: Turns, searched: Searched
) -> None:
    begun = await turns.begin("What is a walrus?", user_id="ada")
    assert [conversation.id for conversation in await searched.find("walrus")] == [
        turns.conversation_id
    ]

    await turns.finish(begun, "A marine mammal.")
    assert [conversation.id for conversation in await searched.find("mammal")] == [
        turns.conversation_id
    ]


async def test_the_best_match_comes_first_and_among_equal_ones_the_newest(
    searched: Searched,
) -> None:
    searched.add("old", "One walrus among many other animals of the sea.", days_ago=2)
    searched.add("new", "One walrus among many other animals of the sea.", days_ago=1)
    searched.add("much", "Walrus, walrus, walrus.", "A walrus!", "Walrus again.", days_ago=5)
    searched.add("title", "Nothing.", title="Walrus", days_ago=9)

    assert await searched.names_of("walrus") == ["much", "title", "new", "old"]
    assert await searched.names_of("walrus", page_size=2) == ["much", "title"]


async def test_a_conversation_with_several_matches_is_found_once(searched: Searched) -> None:
    searched.add("one", *["A walrus."] * 30, title="Walrus")

    assert await searched.names_of("walrus") == ["one"]


async def test_a_search_may_be_limited_to_one_status(searched: Searched) -> None:
    for status in ("active", "archived"):
        searched.add(status, "A walrus.", status=status)

    assert await searched.names_of("walrus", status="active") == ["active"]
    assert await searched.names_of("walrus", status="archived") == ["archived"]
    assert sorted(await searched.names_of("walrus")) == ["active", "archived"]


async def test_a_search_ignores_replaced_and_system_messages(searched: Searched) -> None:
    one = searched.add("one")
    searched.say(one, "A replaced walrus.", superseded_at=NOON)
    searched.say(one, "Speak like a walrus.", role="system")

    assert await searched.names_of("walrus") == []


async def test_a_search_ignores_expired_messages_and_conversations(searched: Searched) -> None:
    one = searched.add("used since", "A seal.")
    searched.say(one, "A walrus.", created_at=NOON - timedelta(days=31))
    searched.add("not used since", "A walrus.", title="Walrus", days_ago=31)

    assert await searched.names_of("walrus", retention_days=30) == []
    assert len(await searched.names_of("walrus", retention_days=32)) == 2
    assert len(await searched.names_of("walrus", retention_days=0)) == 2


async def test_a_search_finds_no_conversation_of_another_user_or_an_anonymous_caller(
    searched: Searched,
) -> None:
    for user_id in ("ada", "eve", None):
        searched.add(f"of {user_id}", "A walrus.", user_id=user_id, title="Walrus")

    assert await searched.names_of("walrus") == ["of ada"]
    assert await searched.names_of("walrus", user_id="eve") == ["of eve"]
    assert await searched.names_of("walrus", user_id="mallory") == []
    assert await searched.names_of("walrus", user_id=None) == []


@pytest.mark.parametrize("words", ["-nothing", "-nothing -ever", "walrus or -x"])
async def test_a_search_that_only_excludes_finds_no_other_users_conversation(
    searched: Searched, words: str
) -> None:
    searched.add("of ada", "A walrus.")
    searched.add("of eve", "A walrus.", user_id="eve")

    assert await searched.names_of(words) == ["of ada"]


@pytest.mark.parametrize("user_id", STRANGE_USERS, ids=ascii)
async def test_a_user_of_any_id_finds_their_own_conversations_only(
    searched: Searched, user_id: str
) -> None:
    searched.add("own", "A word.", user_id=user_id, title="A word")
    searched.add("other", "A word.", user_id="eve", title="A word")

    assert await searched.names_of("word", user_id=user_id) == ["own"]
    assert await searched.names_of("-nothing", user_id=user_id) == ["own"]
    assert await searched.names_of("word", user_id="eve") == ["other"]


@pytest.mark.parametrize("user_id", ["ada", "o'brien", "ключ"])
async def test_a_user_cannot_be_searched_for_as_a_word(searched: Searched, user_id: str) -> None:
    searched.add("own", "A word.", user_id=user_id)

    for words in (user_id, f"\x01{user_id}", f"'\x01{user_id}'", "\x01"):
        assert await searched.names_of(words, user_id=user_id) == []


async def test_of_more_matches_than_are_ranked_the_newest_are_ranked(searched: Searched) -> None:
    searched.add("old", "walrus walrus walrus walrus", days_ago=2)
    new = searched.add("new", title="New")
    searched.rows.run(
        "INSERT INTO chat_messages (conversation_id, user_id, role, content, created_at) "
        "SELECT %s, 'ada', 'user', 'walrus', %s FROM generate_series(1, 500)",
        new,
        NOON,
    )

    assert await searched.names_of("walrus") == ["new"]


async def test_a_search_finds_the_same_under_a_generic_plan(searched: Searched, rows: Rows) -> None:
    # The generic plan, which a connection may use after its fifth search.
    searched.add("of ada", "A walrus.", title="Walrus")
    searched.add("of eve", "A walrus.", user_id="eve")
    rows.run("ALTER ROLE postgres SET plan_cache_mode = force_generic_plan")
    try:
        await searched.database.close()

        assert await searched.names_of("walr") == ["of ada"]
        assert await searched.names_of("walrus", user_id="eve") == ["of eve"]
    finally:
        rows.run("ALTER ROLE postgres RESET plan_cache_mode")


async def test_a_title_that_has_expired_is_neither_found_nor_shown(
    searched: Searched, rows: Rows
) -> None:
    searched.add("used", "A walrus.", title="Penguins")
    rows.run("UPDATE conversations SET titled_at = %s", NOON - timedelta(days=31))

    assert await searched.names_of("penguins") == []
    assert await searched.names_of("penguins", retention_days=0) == ["used"]
    [found] = await searched.find("walrus")
    assert found.title is None
    assert found.excerpt == "A \x02walrus\x03."
