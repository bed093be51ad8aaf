"""Errors as a real server says them: the sentence is true, and the log has no value of a row."""

import psycopg
import pytest

from lib.database import _problems
from lib.database._problems import as_problem
from lib.identity.callers import Caller
from lib.problems import DatabaseNotMigrated, DatabaseTooSlow, DatabaseUnavailable, RefusedByRule
from lib.runtime.log import traceback_of

# A value that must reach neither a client nor the log.
SECRET = "hunter2-in-a-row"
REFUSED = RefusedByRule().detail
NOT_MIGRATED = DatabaseNotMigrated().detail
ADDED = """
    CREATE TABLE notes (owner text NOT NULL REFERENCES users (id), CHECK (owner <> 'x'));
    CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN EXECUTE TG_ARGV[0]; RETURN NEW; END $$;
    ALTER TABLE users ADD CONSTRAINT short CHECK (length(name) < 9);
    INSERT INTO users (id, name) VALUES ('ann', 'Ann');
    INSERT INTO notes VALUES ('ann');
    CREATE TABLE moved (id int PRIMARY KEY);
    INSERT INTO moved VALUES (1);
    CREATE TABLE locked ();
"""
TRIGGER = "CREATE TRIGGER fail BEFORE UPDATE ON users FOR EACH ROW EXECUTE FUNCTION fail({});"
UPDATE = "UPDATE users SET name = 'Eve'"
NEW = "WITH new AS (INSERT INTO conversations DEFAULT VALUES RETURNING id)"
ODD = f"SELECT id, 'odd', '{SECRET}'"
TO_LATIN = "SELECT convert_to('\u6f22', 'LATIN1')"
NO_UTF8 = "SELECT convert_from('\\xff', 'UTF8')"
ESCAPE = """SELECT '{"a": "\\u0000"}'::jsonb"""
DEEP = "SELECT to_tsvector('simple', string_agg(n || 'x', ' ')) FROM generate_series(1, 200000) n"
# What is sent, and the sentence that the client gets; None: it is Parley's own mistake, or the code
# around the statement expects it.
CASES: dict[str, tuple[str, str | None]] = {
    "a table is missing": ("SELECT FROM missing", NOT_MIGRATED),
    "a function is missing": ("SELECT missing()", NOT_MIGRATED),
    "a column is missing": ("SELECT missing FROM tasks", _problems.COLUMN_MISSING),
    "a trigger's table is missing": (TRIGGER.format("'SELECT FROM gone'") + UPDATE, REFUSED),
    "a trigger's column is missing": (
        TRIGGER.format("'SELECT gone FROM users'") + UPDATE,
        REFUSED,
    ),
    "a trigger may not read": (
        TRIGGER.format("'SELECT FROM notes'") + "GRANT UPDATE, SELECT ON users TO parley_app;"
        "CREATE POLICY all_of_it ON users TO parley_app USING (TRUE); SET ROLE parley_app;"
        + UPDATE,
        REFUSED,
    ),
    "a trigger takes too long": (
        "SET statement_timeout = 50;" + TRIGGER.format("'SELECT pg_sleep(9)'") + UPDATE,
        DatabaseTooSlow().detail,
    ),
    "a privilege is missing": (
        "SET ROLE parley_app; SELECT FROM quotas",
        _problems.NO_PRIVILEGE,
    ),
    "a role is missing": ("SET ROLE nobody_there", None),
    "only reads": ("SET transaction_read_only = on;" + UPDATE, _problems.ONLY_READS),
    "a character has no place": (TO_LATIN, _problems.ENCODING),
    "bytes are no text": (NO_UTF8, None),
    "an escape is no text": (ESCAPE, None),
    "a pattern is none": ("SELECT 'a' ~ '('", None),
    "a number is none": (f"SELECT '{SECRET}'::int", None),
    "a text is beyond a limit": (DEEP, _problems.BEYOND_LIMITS),
    "a type does not fit": ("SELECT sum(title) FROM tasks", NOT_MIGRATED),
    "another row refers to it": ("DELETE FROM users WHERE id = 'ann'", _problems.STILL_USED),
    "a rule of the application's": (
        f"INSERT INTO users (id, name) VALUES ('{SECRET}', '{SECRET}')",
        REFUSED,
    ),
    "a rule of Parley's": (
        "INSERT INTO conversations (user_id, status) VALUES ('ann', 'odd')",
        None,
    ),
    "a rule of a message": (
        f"{NEW} INSERT INTO chat_messages (conversation_id, role, content) {ODD} FROM new",
        None,
    ),
    "a tool's own table has its own rule": ("INSERT INTO notes VALUES ('x')", None),
    "a tool's own table has the row": ("INSERT INTO moved VALUES (1)", None),
    "a syntax of later servers": ("SELECT FROM WHERE", _problems.NOT_UNDERSTOOD),
    "a prepared statement is there": (
        "PREPARE one AS SELECT 1; PREPARE one AS SELECT 1",
        _problems.FAILING,
    ),
    "a lock is not free": (
        "SET lock_timeout = 1; LOCK TABLE locked",
        _problems.LOCKED,
    ),
    "an administrator ends it": (
        "SELECT pg_terminate_backend(pg_backend_pid())",
        DatabaseUnavailable().detail,
    ),
}


def test_a_real_error_is_told_by_its_cause_and_logged_in_the_servers_words_without_a_value(
    database: psycopg.Connection, database_url: str
) -> None:
    database.execute(ADDED.encode())
    told: dict[str, str | None] = {}
    with psycopg.connect(database_url) as other:
        other.execute("LOCK TABLE locked")
        for name, (statement, _) in CASES.items():
            error = _error_of(database_url, statement)
            problem = as_problem(error, Caller(user_id="ann"))
            told[name] = problem and problem.detail
            logged = traceback_of(error)
            assert str(error.sqlstate) in logged, name
            if not str(error.sqlstate).startswith("22"):
                assert str(error.diag.message_primary) in logged, name
            assert SECRET not in logged + (problem.detail if problem else ""), name

    assert told == {name: detail for name, (_, detail) in CASES.items()}


def _error_of(url: str, statement: str) -> psycopg.Error:
    """Return the error of a statement, all of which is taken back."""
    with psycopg.connect(url, options="-c lock_timeout=5s") as connection:
        with pytest.raises(psycopg.Error) as raised:
            connection.execute(statement.encode())
        connection.rollback() if not connection.broken else connection.close()
    return raised.value
