"""A database that denies Parley something: told apart from one without migrations."""

from collections.abc import Iterator

import psycopg
import pytest

from lib.database._problems import NO_PRIVILEGE, NUMBERS_TAKEN, ONLY_READS
from tests.support.product import Parley, id_of, problem_of

HIDE = "REVOKE USAGE ON SCHEMA public FROM public, parley_app"


@pytest.fixture
def hidden(database: psycopg.Connection) -> Iterator[None]:
    """Let the role that requests act as look into no schema."""
    [(before,)] = database.execute(
        "SELECT has_schema_privilege('parley_app', 'public', 'USAGE')"
    ).fetchall()
    assert before
    database.execute(HIDE)
    yield
    database.execute("GRANT USAGE ON SCHEMA public TO public")


@pytest.mark.usefixtures("hidden")
async def test_tables_that_are_hidden_for_want_of_usage_are_not_taken_for_missing_migrations(
    parley: Parley,
) -> None:
    said = await parley.say("Hello!", user="ann", conversation_id=id_of(1))

    assert problem_of(said, 503, "database_not_migrated")["detail"] == NO_PRIVILEGE


@pytest.mark.parametrize(
    ("statement", "detail"),
    [
        ("REVOKE ALL ON chat_messages FROM parley_app", NO_PRIVILEGE),
        ("ALTER DATABASE {} SET default_transaction_read_only TO on", ONLY_READS),
        ("ALTER TABLE chat_messages ALTER COLUMN id RESTART WITH 1", NUMBERS_TAKEN),
    ],
    ids=["privilege", "reads", "numbers"],
)
async def test_a_message_that_the_database_does_not_take_is_told_the_cause_and_logged_in_its_words(
    parley: Parley,
    database: psycopg.Connection,
    caplog: pytest.LogCaptureFixture,
    statement: str,
    detail: str,
) -> None:
    # Numbers are taken within a conversation, where messages are found by them.
    await parley.say("Hello!", user="ann", conversation_id=id_of(1))
    database.execute(statement.format(database.info.dbname).encode())
    # Later sessions get a new default.
    database.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )

    said = await parley.say("Hello again!", user="ann", conversation_id=id_of(1))

    assert said.json()["detail"] == detail
    assert said.status_code == 503
    assert said.headers["retry-after"] == "60"
    assert "psycopg.errors." in caplog.text
