"""search_conversations with and without the search indexes: the same results."""

import random
from dataclasses import replace
from datetime import timedelta

import pytest

from lib.conversations.listing import FoundConversation
from tests.support.steps.rows import Rows
from tests.support.steps.search import Searched
from tests.support.steps.turns import NOON

# Words that a parser, a letter case or an alphabet may make difficult, and ordinary ones.
VOCABULARY = [
    *("walrus", "Walruses", "WALRUS", "seal", "sea", "the", "of", "2024", "3.14", "-5", "x86"),
    *("Straße", "STRASSE", "größe", "Ärger", "naïve", "İstanbul", "istanbul", "ISTANBUL"),
    *("\u212aelvin", "kelvin", "ΟΔΟΣ", "οδος", "ключ", "КЛЮЧ", "日本語", "😀", "e\u0301tude"),
    *("foo-bar", "foo_bar", "it's", "O'Brien", "a.b.c", "ann@example.com", "C:\\path", "<b>"),
    *("https://example.com/a", "/usr/lib/x", "100%", "50_000", "1e5", "v1.2.3", "&amp;"),
    *("walrus of the sea", "the sea", "walrus seal", "the sea of the seal and the walrus"),
]
QUERIES = [
    *("walrus", "wal", "WALRUS", "walrus seal", '"walrus seal"', "walrus or seal", "walrus -seal"),
    *("-walrus", "-walrus -seal", "seal or -walrus", '"the sea" -walrus', "2024", "3.14", "5"),
    *("x86", "straße", "STRASSE", "grö", "ärger", "naïve", "istanbul", "İstanbul", "kelvin"),
    *(
        "\u212aelvin",
        "οδοσ",
        "ΟΔΟΣ",
        "ключ",
        "日本",
        "😀",
        "étude",
        "e\u0301tude",
        "foo-bar",
        "foo",
    ),
    *("bar", "foo_bar", "it's", "o'brien", "a.b.c", "ann@example.com", "example.com", "c:\\path"),
    *("/usr", "/usr/lib/x", "100%", "50_000", "1e5", "v1.2.3", "b"),
    *('"of the sea" walrus', '"seal walrus" or "the of"', "zebra", "the of sea seal walrus"),
]


def _text(chance: random.Random) -> str:
    return chance.choice([" ", ", ", "\n"]).join(chance.choices(VOCABULARY, k=12))


@pytest.fixture
def corpus(searched: Searched) -> Searched:
    """Return the search over many conversations of two users and of none."""
    chance = random.Random(20)
    for number in range(60):
        user_id = ("ada", "ada", "eve", None)[number % 4]
        one = searched.add(
            f"{number} of {user_id}",
            user_id=user_id,
            title=" ".join(chance.choices(VOCABULARY, k=2)) if number % 3 else None,
            status=chance.choice(["active", "archived"]),
            days_ago=chance.randrange(40),
        )
        for _ in range(chance.randrange(6)):
            searched.say(
                one,
                _text(chance),
                user_id=user_id,
                role=chance.choice(["user", "assistant", "assistant", "system"]),
                superseded_at=chance.choice([None, None, None, NOON]),
                # Some at the same moment.
                created_at=NOON - timedelta(days=chance.randrange(40)),
            )
    return searched


async def test_a_search_finds_the_same_with_and_without_the_indexes(corpus: Searched) -> None:
    scan = replace(corpus, by_index=False)
    found_by_any: set[str] = set()
    for words in QUERIES:
        for more in ({}, {"retention_days": 0}, {"status": "archived"}, {"page_size": 3}):
            for user_id in ("ada", "eve", None):
                by_index = await corpus.find(words, user_id=user_id, **more)

                assert await scan.find(words, user_id=user_id, **more) == by_index, words

                names = {corpus.names[conversation.id] for conversation in by_index}
                assert all(name.endswith(f"of {user_id}") for name in names)
                found_by_any |= {words} if by_index else set[str]()
    # Each of them has something to compare, but for a word that no text has.
    assert {*QUERIES} - found_by_any <= {"zebra", "étude"}


@pytest.mark.parametrize("index", ["idx_chat_messages_search", "idx_conversations_search"])
async def test_a_search_reads_the_texts_while_an_index_is_missing(
    corpus: Searched, rows: Rows, index: str
) -> None:
    before = await _found(corpus)

    rows.run(f"DROP INDEX {index}")

    assert await _found(corpus) == before


async def test_a_search_reads_the_texts_while_an_index_is_being_built(
    corpus: Searched, rows: Rows
) -> None:
    before = await _found(corpus)

    # As CREATE INDEX CONCURRENTLY leaves it until it is complete.
    rows.run(
        "UPDATE pg_index SET indisvalid = FALSE "
        "WHERE indexrelid = 'idx_chat_messages_search'::regclass"
    )

    assert await _found(corpus) == before


async def _found(searched: Searched) -> list[list[FoundConversation]]:
    found = [await searched.find(words) for words in ("walrus", "seal or sea", "-walrus")]
    assert all(found)
    return found
