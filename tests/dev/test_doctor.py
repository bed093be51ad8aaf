"""`python -m dev doctor` says in words what is wrong with a database, and the cure."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from dev import doctor
from dev.postgres import RunningPostgres
from tests.support.databases import drop_database
from tests.support.product import ROOT, forget_process


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Keep the folder's `.env` and the variables of other tests away."""
    monkeypatch.chdir(tmp_path)
    for variable in ("DATABASE_URL", "DATABASE_URL_UNPOOLED", "CRON_SECRET"):
        monkeypatch.setenv(variable, "")
    monkeypatch.setenv("RETENTION_DAYS", "0")
    forget_process()
    yield
    forget_process()


def told(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    """Run the doctor; return its exit code, and what it printed."""
    code = doctor.main([*arguments])
    return code, capsys.readouterr().out


def test_a_healthy_database_is_told_so(
    database_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, text = told(capsys, database_url)

    assert code == 0, text
    assert "ok    /api/health finds nothing amiss." in text
    assert "leads to the server itself" in text
    assert "fault" not in text


def test_what_health_finds_is_told_with_it(
    empty_database_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, text = told(capsys, empty_database_url)

    assert code == 1
    assert "fault The database lacks the migrations 001_" in text


def test_a_database_that_only_reads_is_a_fault_and_a_pinned_setting_is_none(
    database: psycopg.Connection, database_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in (
        ("default_transaction_read_only", "on"),
        ("default_transaction_isolation", "serializable"),
    ):
        statement = f"ALTER DATABASE {database.info.dbname} SET {name} TO {value}"
        database.execute(statement.encode())

    code, text = told(capsys, database_url)

    assert code == 1
    assert "fault default_transaction_read_only is on" in text
    assert "note  Unusual, and no matter to Parley: default_transaction_isolation." in text


def test_an_encoding_that_cannot_keep_all_texts_is_a_fault(
    postgres: RunningPostgres, capsys: pytest.CaptureFixture[str]
) -> None:
    with psycopg.connect(postgres.url, autocommit=True) as admin:
        admin.execute(
            "CREATE DATABASE latin ENCODING 'LATIN1' TEMPLATE template0 "
            "LOCALE_PROVIDER libc LOCALE 'C'"
        )
    try:
        code, text = told(capsys, postgres.url_of("latin", "postgres"))
    finally:
        drop_database(postgres, "latin")

    assert code == 1
    assert "fault The database's encoding is LATIN1" in text


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("postgresql://ann:hunter2@127.0.0.1:1/db", "Nothing listens there"),
        ("postgresql://ann:hunter2@nowhere.invalid/db?sslmode=require", "No server has this name"),
        ("postgresql://ann:hun%ter2@localhost/db", "of a password are written"),
        ("postgresql://ann:hunter2@127.0.0.1/db?frobnicate=1", 'know its parameter "frobnicate"'),
        ("postgresql://ann:hunter2@/db?host=/not/there", "no such socket"),
    ],
)
def test_a_failed_connect_is_told_with_its_cure_and_without_the_password(
    url: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, text = told(capsys, url)

    assert code == 1
    assert words in text
    assert "hunter2" not in text


def test_a_pooled_url_where_the_direct_one_is_needed_is_a_fault(
    database_url: str,
    pooled_database_url: str,
    pgbouncer_port: int | None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if pgbouncer_port is None:
        pytest.skip("PgBouncer is not installed")
    monkeypatch.setenv("DATABASE_URL", pooled_database_url)
    monkeypatch.setenv("DATABASE_URL_UNPOOLED", pooled_database_url)
    code, text = told(capsys)

    assert code == 1
    assert "ok    The URL leads to a pooler." in text
    assert "fault DATABASE_URL_UNPOOLED leads to a pooler" in text
    forget_process()
    monkeypatch.setenv("DATABASE_URL_UNPOOLED", database_url)
    assert told(capsys)[0] == 0


@pytest.mark.parametrize(
    ("statement", "schema", "words"),
    [
        ("DROP FUNCTION list_faults()", "", "fault The functions of the database are not those of"),
        (
            "DELETE FROM schema_migrations; INSERT INTO schema_migrations VALUES ('001_users')",
            "",
            "fault The database was made by migrations that this version does not have",
        ),
        (
            "INSERT INTO schema_migrations VALUES ('999_later')",
            "",
            "note  A later version has migrated this database (999_later)",
        ),
        ("SELECT", "elsewhere", 'but PARLEY_SCHEMA is "elsewhere"'),
        ("SELECT", "Not-one", "fault PARLEY_SCHEMA must be"),
        (
            "CREATE TABLE invoices (payer text REFERENCES users (id))",
            "",
            "(invoices_payer_fkey of invoices refers to users)",
        ),
        ("REVOKE INSERT ON tasks FROM parley_app", "", "(parley_app lacks INSERT on table"),
    ],
)
def test_a_database_of_another_version_or_schema_is_told_in_words_with_names(
    database: psycopg.Connection,
    database_url: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    statement: str,
    schema: str,
    words: str,
) -> None:
    database.execute(statement.encode())
    monkeypatch.setenv("PARLEY_SCHEMA", schema)

    code, text = told(capsys, database_url)

    assert words in text
    # A note keeps no request from being answered.
    assert code == ("fault" in text)


def test_two_urls_of_different_databases_and_a_machine_without_psql_are_told(
    database_url: str,
    empty_database_url: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("DATABASE_URL", database_url)
    monkeypatch.setenv("DATABASE_URL_UNPOOLED", empty_database_url)
    monkeypatch.setenv("PATH", "/nowhere")

    code, text = told(capsys)

    assert code == 1
    assert "fault DATABASE_URL_UNPOOLED leads to another database" in text
    assert "note  This machine has no psql" in text


def test_the_command_has_an_exit_code_for_scripts() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "dev", "doctor", "postgresql://127.0.0.1:1/nothing"],
        check=False,
        capture_output=True,
        text=True,
        cwd=ROOT,
    )

    assert done.returncode == 1
    assert done.stdout.endswith("There is something to do.\n")
    assert done.stderr == ""
