"""docs/privacy.md describes every column of every table."""

import re

import psycopg

from tests.support.product import ROOT

PAGE = (ROOT / "docs/privacy.md").read_text(encoding="utf-8")
SECTION = re.compile(r"^### (\w+)\n(.*?)(?=^##)", re.MULTILINE | re.DOTALL)
ROW = re.compile(r"^\| (`[^|]+) \| ([^|]+) \| ([^|]+) \|$", re.MULTILINE)
CATALOG = """
    SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = 'public'
"""


def described() -> list[tuple[str, str]]:
    """Return each column that the page describes, with its table."""
    return [
        (table, column)
        for table, text in SECTION.findall(PAGE)
        for columns, *_ in ROW.findall(text)
        for column in re.findall(r"`(\w+)`", columns)
    ]


def test_the_page_on_privacy_describes_each_column_of_the_database_once(
    database: psycopg.Connection,
) -> None:
    stored = database.execute(CATALOG).fetchall()

    assert sorted(described()) == sorted(stored)


def test_a_new_column_fails_until_the_page_describes_it(database: psycopg.Connection) -> None:
    database.execute("ALTER TABLE users ADD COLUMN shoe_size integer")

    assert {*database.execute(CATALOG).fetchall()} - {*described()} == {("users", "shoe_size")}


def test_each_column_of_the_page_says_whose_it_is_and_how_long_it_is_kept() -> None:
    for _, text in SECTION.findall(PAGE):
        rows = ROW.findall(text)
        assert rows
        assert all(whose.strip() and kept.strip() for _, whose, kept in rows)
