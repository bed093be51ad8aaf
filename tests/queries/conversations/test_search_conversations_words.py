"""search_conversations: the words of a search, and its excerpts."""

import random
import re
from unicodedata import name

import pytest

from tests.support.steps.search import Searched

ANIMALS = {
    "walrus": "The walrus swims in the cold sea.",
    "seal": "The seal swims in the warm sea.",
    "gull": "A gull flies over the cold land.",
    "category": "A category of birds.",
}
ALL = sorted(ANIMALS)
# No markup but the marks, and the entities of `escape`.
SAFE = re.compile(r"(?:[^<>&\"']|&amp;|&lt;|&gt;|&quot;|&#x27;|<mark>|</mark>)*")


@pytest.fixture
def animals(searched: Searched) -> Searched:
    """Return four conversations about animals."""
    for called, text in ANIMALS.items():
        searched.add(called, text)
    return searched


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("sea", ["seal", "walrus"]),
        ("SEA", ["seal", "walrus"]),
        ("cold sea", ["walrus"]),
        ("sea cold", ["walrus"]),
        ('"cold sea"', ["walrus"]),
        ('"sea cold"', []),
        ('"in the cold"', ["walrus"]),
        ("walrus or gull", ["gull", "walrus"]),
        ("walrus OR gull", ["gull", "walrus"]),
        ("sea -cold", ["seal"]),
        ("-sea", ["category", "gull"]),
        ('the -"cold sea"', ["gull", "seal"]),
        ('-"cold sea" -"cold land" the', ["seal"]),
        ("wal", ["walrus"]),
        ("the wal", ["walrus"]),
        ("swi", ["seal", "walrus"]),
        ("wal sea", []),
        ('"the wal', ["walrus"]),
        ("xyz or wal", ["walrus"]),
        # An exclusion excludes one word: -cat does not exclude category.
        ("birds -cat", ["category"]),
        ("birds -category", []),
        ("-categor", ALL),
        ("walruses", []),
        ('"', []),
        ("or", []),
        ("-", []),
        # OR is an operator between two words, and a word elsewhere.
        ("walrus or", []),
        ("or walrus", []),
        ('walrus "', ["walrus"]),
        ("walrus -", ["walrus"]),
    ],
)
async def test_words_phrases_or_and_exclusions_select_conversations(
    animals: Searched, words: str, expected: list[str]
) -> None:
    assert sorted(await animals.names_of(words)) == expected


@pytest.mark.parametrize(
    "words",
    [
        "!",
        "& |",
        "...",
        "¿?",
        "''",
        '""',
        "()",
        "-- ;",
        "  ",
        "\t\n",
        "\\",
        "<->",
        ":*",
        "\x02\x03",
    ],
    ids=ascii,
)
async def test_a_search_without_a_word_finds_nothing_and_does_not_fail(
    animals: Searched, words: str
) -> None:
    assert await animals.names_of(words) == []


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("walrus:*", ["walrus"]),
        ("xyz | walrus", []),
        ("!walrus", ["walrus"]),
        ("(walrus) & sea", ["walrus"]),
        ("sea <-> cold", ["walrus"]),
        ("walrus:A", []),
        ("'walrus'", ["walrus"]),
        ("walrus\\", ["walrus"]),
        ("walrus' | 'gull", []),
        ("walrus'); DROP TABLE users; --", []),
        ("walrus%", ["walrus"]),
        ("categ:* & | ! ( ) <->", ["category"]),
        ("category:birds", []),
    ],
)
async def test_tsquery_syntax_in_a_search_is_plain_text(
    animals: Searched, words: str, expected: list[str]
) -> None:
    assert await animals.names_of(words) == expected


async def test_no_sequence_of_characters_makes_a_search_fail(animals: Searched) -> None:
    chance = random.Random(7)
    pieces = ["a", "wal", " ", " ", '"', "'", "\\", "-", "or", "!", "&", "|", "(", ")", ":", "*"]
    pieces += ["<->", "<2>", "\x01", "\x02", "é", "日", "😀", "@", "/", ".", "http://a.b/c", "1e5"]

    for _ in range(300):
        words = "".join(chance.choices(pieces, k=chance.randint(1, 25)))
        assert await animals.names_of(words) is not None


@pytest.mark.parametrize("words", ["a" * 200, "😀" * 200, "日" * 200, "a " * 100, "-a " * 66])
async def test_a_search_of_the_longest_allowed_text_works(animals: Searched, words: str) -> None:
    assert isinstance(await animals.names_of(words), list)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Größe und Maß", "GRÖSSE"),
        ("Größe und Maß", "größe"),
        ("日本語 の テキスト", "日本語"),
        ("日本語のテキスト", "日本"),
        ("مرحبا بالعالم", "بالعالم"),
        ("Привет, мир", "ПРИВЕТ"),
        ("naïve café", "café"),
        ("mail to ada@example.com", "ada@example.com"),
        ("version 1.2.3", "1.2.3"),
        ("a state-of-the-art walrus", "state-of-the-art"),
        ("see https://example.com/walrus?x=1", "example.com"),
        ("word 😀 word", "word"),
    ],
)
async def test_words_of_any_language_are_found(searched: Searched, text: str, words: str) -> None:
    searched.add("one", text, title=None)

    assert await searched.names_of(words) == ["one"]


async def test_an_excerpt_marks_the_words_and_shows_the_text_around_them(
    searched: Searched,
) -> None:
    searched.add("one", "filler " * 500 + "Here the Walrus swims." + " filler" * 500)

    excerpt = await searched.excerpt_of("walrus")

    assert "<mark>Walrus</mark> swims. filler" in excerpt
    assert len(excerpt.split()) <= 30


async def test_the_excerpt_of_a_title_is_the_title(searched: Searched) -> None:
    searched.add("one", "Nothing.", title="The Walrus & the Carpenter")

    assert await searched.excerpt_of("walr") == "The <mark>Walrus</mark> &amp; the Carpenter"


@pytest.mark.parametrize(
    "text",
    [
        "walrus <script>alert('x')</script>",
        "<script>alert()</script> walrus",
        "walrus <img src=x onerror=alert(1)>",
        "walrus < a > b & c \"d\" 'e'",
        "<walrus onclick=x>walrus",
        "walrus <scr\x02ipt> \x02<b>\x03",
        "\x02walrus\x03 \x02",
        "</mark>walrus<mark>",
        "&lt;b&gt; walrus &amp;",
        "walrus <!-- \x03",
        "<a href='javascript:walrus'>walrus",
    ],
    ids=ascii,
)
async def test_the_marks_are_the_only_html_in_an_excerpt(searched: Searched, text: str) -> None:
    searched.add("one", text, title=None)

    excerpt = await searched.excerpt_of("walrus")

    assert SAFE.fullmatch(excerpt), excerpt
    assert re.sub("<mark>[^<]*</mark>", "", excerpt).count("mark>") == 0
    assert "\x02" not in excerpt
    assert "<mark>walrus</mark>" in excerpt


async def test_a_search_that_only_excludes_shows_an_excerpt_without_marks(
    searched: Searched,
) -> None:
    searched.add("one", "A <b> walrus.")

    assert "<" not in await searched.excerpt_of("-seal")


def _letters(first: int, last: int) -> list[str]:
    return [chr(code) for code in range(first, last) if name(chr(code), "")]


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(" ".join(f"word{n}" for n in range(220_000)), id="2 MB of words"),
        pytest.param(" ".join(f"a{n}-b{n}-c{n}" for n in range(50_000)), id="compounds"),
        pytest.param(" ".join(f"h{n}.com/p{n}?q={n}" for n in range(50_000)), id="addresses"),
        pytest.param(" ".join(f"/a{n}/b{n}.c" for n in range(50_000)), id="paths"),
        pytest.param("-".join(f"a{n}" for n in range(50_000)), id="one compound"),
        pytest.param(" ".join(_letters(0x20000, 0x2A6D0) * 3), id="letters of 4 bytes"),
        pytest.param(
            " ".join(f"{a}-{b}" for a in _letters(0x20000, 0x200D0) for b in "abcdefghijklmnop")
            * 8,
            id="compounds of 4 bytes",
        ),
        pytest.param("x" * 2_000_000, id="one word"),
        pytest.param("😀" * 500_000, id="no word"),
        pytest.param(" ".join(["x" * 2046, "y" * 2047, "日" * 682, "z" * 5000]), id="2 KB each"),
    ],
)
async def test_a_very_long_answer_is_stored_and_found_by_its_beginning(
    searched: Searched, text: str
) -> None:
    searched.add("long", f"walrus {text}")
    searched.add("short", "seal")

    assert await searched.names_of("walrus") == ["long"]
    assert SAFE.fullmatch(await searched.excerpt_of("walrus"))


async def test_the_end_of_a_very_long_answer_is_not_searched(
    searched: Searched,
) -> None:
    searched.add("long", "a" + " filler" * 20_000 + " walrus")

    assert await searched.names_of("walrus") == []


async def test_a_long_answer_is_found_after_its_conversation_is_claimed(
    searched: Searched,
) -> None:
    one = searched.add("one", *["A walrus. " * 5000] * 50, user_id=None)
    searched.add("ada's", "A seal.")

    for table, column in (("conversations", "id"), ("chat_messages", "conversation_id")):
        searched.rows.run(f"UPDATE {table} SET user_id = 'ada' WHERE {column} = %s", one)

    assert await searched.names_of("walrus") == ["one"]
