"""The search indexes dropped and built again, by the commands of docs/operations.md."""

# ruff: noqa: RUF001 - The letters that look alike are what a test is about.

import os
import re
import subprocess
from pathlib import Path

import psycopg
import pytest

from dev.postgres import RunningPostgres
from tests.support.product import ROOT
from tests.support.servers import Site

[DROP, BUILD] = re.findall(
    r"^psql .+$",
    (ROOT / "docs/operations.md")
    .read_text(encoding="utf-8")
    .partition("\n## Search\n")[2]
    .partition("\n## ")[0],
    re.MULTILINE,
)
INDEXES = """
    SELECT pg_class.relname FROM pg_index
    INNER JOIN pg_class ON pg_index.indexrelid = pg_class.oid
    WHERE pg_class.relname LIKE 'idx_%_search' AND pg_index.indisvalid
    ORDER BY pg_class.relname
"""
BOTH = [("idx_chat_messages_search",), ("idx_conversations_search",)]
AS_ANN = "SELECT act_as_caller('ann', NULL, FALSE, NULL, NULL, NULL, 8000, 'read')"
SEARCH = "SELECT count(*) FROM search_conversations('walrus', 'all', '-infinity', 20, TRUE)"
ANNS = """
    INSERT INTO users (id) VALUES ('ann');
    INSERT INTO conversations (id, user_id, title)
    VALUES (gen_random_uuid(), 'ann', 'A walrus')
"""

TEXT = "TITLE İI ıi Größe ΟΔΟΣ КЛЮЧ é e\u0301 v1.2 C# 日本語 テキスト ไทย 한국 😀"
WORDS = (
    "'1':9 '12' '2':10 'c':11 'c#' 'e':7,8 'grosse':4 'ii':2,3 'title':1 'v':9 'v1':9 'οδοσ':5 "
    "'ключ':6 'ทย':20 'ย':21 'ไท':19 'キス':16 'スト':17 'テキ':15 'ト':18 '日':12 '本':13 '語':14 "
    "'국':23 '한':22 '😀':24"
)


def test_dropped_search_indexes_stay_away_until_the_operator_builds_them_again(
    migrated: Site,
) -> None:
    schema = migrated.schema()
    assert migrated.rows(INDEXES) == BOTH

    _run(migrated, DROP)
    _run(migrated, DROP)
    assert migrated.rows(INDEXES) == []
    assert migrated.migrate() == []
    assert migrated.rows(INDEXES) == []

    _run(migrated, BUILD)
    _run(migrated, BUILD)
    assert migrated.rows(INDEXES) == BOTH
    assert migrated.schema() == schema


def test_a_search_finds_its_words_before_and_after_the_indexes_are_dropped(migrated: Site) -> None:
    migrated.run(ANNS)
    assert _found(migrated) == 1

    _run(migrated, DROP)
    assert _found(migrated) == 1

    _run(migrated, BUILD)
    assert _found(migrated) == 1


def _run(site: Site, command: str) -> None:
    """Run a command of psql as the document has it."""
    path = f"{site.programs}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["/bin/sh", "-c", command],
        check=False,
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=os.environ | {"DATABASE_URL_UNPOOLED": site.url, "PATH": path},
    )
    assert done.returncode == 0, done.stderr


def _found(site: Site) -> object:
    with psycopg.connect(site.url) as connection:
        connection.execute(AS_ANN)
        [(count,)] = connection.execute(SEARCH).fetchall()
    return count


@pytest.mark.parametrize("locale", ["C", "tr-TR"])
def test_the_words_of_a_text_are_the_same_in_every_locale(
    server: tuple[RunningPostgres, Path], locale: str
) -> None:
    postgres, folder = server
    of_icu = "LOCALE_PROVIDER icu ICU_LOCALE 'tr-TR'" if locale == "tr-TR" else ""
    name = "words_of_" + locale.replace("-", "_").lower()
    create = f"CREATE DATABASE {name} TEMPLATE template0 LOCALE 'C' {of_icu}"
    with psycopg.connect(postgres.url, autocommit=True) as admin:
        try:
            admin.execute(create.encode())
        except psycopg.errors.FeatureNotSupported:
            pytest.skip("this Postgres was built without ICU")
        try:
            site = Site(postgres.url_of(name, "postgres"), folder)
            site.migrate()
            assert site.rows("SELECT search_words(%(text)s)::text", {"text": TEXT}) == [(WORDS,)]
        finally:
            admin.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())
