"""Text and JSON, mended so that Postgres can store it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib.texts import Characters, parse_object, storable_text


@pytest.mark.parametrize(
    ("text", "stored"),
    [
        ("", ""),
        ("a\0b\0", "ab"),
        ("a\ud800b", "a\ufffdb"),
        ("\udc00\ud800", "\ufffd\ufffd"),
        ("\ud83d\ude00", "😀"),
        ("\ud83d\0\ude00", "\ufffd\ufffd"),
        ("é 😀 \u2028", "é 😀 \u2028"),
    ],
    ids=ascii,
)
def test_only_characters_that_postgres_cannot_store_are_replaced(text: str, stored: str) -> None:
    assert storable_text(text) == stored


@given(st.lists(st.text(st.sampled_from("a😀\ud83d\ude00"))))
def test_the_pieces_of_a_text_are_whole_characters_and_together_the_text(pieces: list[str]) -> None:
    characters = Characters()

    whole = [*map(characters.add, pieces), characters.end()]

    for piece in whole:
        piece.encode()
    assert "".join(whole) == storable_text("".join(pieces))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("{}", {}),
        (' {"a": [1, null, true, -0.5, "b"]}\n', {"a": [1, None, True, -0.5, "b"]}),
        (r'{"a\u0000": ["\u0000b", {"\ud800": "\udc00"}]}', {"a": ["b", {"\ufffd": "\ufffd"}]}),
        (r'{"a": "\ud83d\ude00"}', {"a": "😀"}),
        ('{"a": 1, "a": 2}', {"a": 2}),
        ('{"a": 1e308}', {"a": 1e308}),
    ],
    ids=ascii,
)
def test_a_json_object_is_read(text: str, value: object) -> None:
    assert parse_object(text) == value


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "null",
        "[]",
        '"{}"',
        "{} {}",
        "{'a': 1}",
        '{"a": NaN}',
        '{"a": [Infinity]}',
        '{"a": -Infinity}',
        '{"a": 1e999}',
        '{"a": -1e999}',
        '{"a": ' + "9" * 5000 + "}",
        '{"a": ' + "[" * 2000 + "]" * 2000 + "}",
        '{"a": ' + "[" * 100_000 + "]" * 100_000 + "}",
        '{"a":' * 100_000,
    ],
    ids=lambda text: f"{len(text)} {text[:20]}",
)
def test_a_text_that_is_no_storable_json_object_is_none(text: str) -> None:
    assert parse_object(text) is None
