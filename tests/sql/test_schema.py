"""`sql/schema.sql`, which shows a reviewer what the migrations make."""

from tests.sql.dump_schema import SCHEMA, dump_schema


def test_the_committed_schema_is_what_the_migrations_make(database_url: str) -> None:
    assert dump_schema(database_url) == SCHEMA.read_text(encoding="utf-8"), "run: make schema"
