"""The search indexes dropped and built again, by the commands of docs/operations.md."""

import os
import re
import subprocess

import psycopg

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
