"""A database of its own for each test, without the price: 15 ms instead of 150.

To copy one from a template and to drop it makes Postgres write checkpoints. So a database whose
schema a test has left as it was is emptied and given to the next test.
"""

import itertools
from collections.abc import Generator
from contextlib import contextmanager

import psycopg
from psycopg.sql import SQL, Identifier

from dev.postgres import RunningPostgres

# Any change to a table, a function or a constraint shows in one of these. (Not xmin of pg_class, a
# row of which TRUNCATE writes anew.)
FINGERPRINT = """
SELECT (SELECT sum(hashtext(concat(oid, relname, relrowsecurity, relacl))) FROM pg_class
        WHERE relnamespace = home.oid),
    (SELECT sum(xmin::text::bigint + oid::bigint) FROM pg_proc WHERE pronamespace = home.oid),
    (SELECT sum(xmin::text::bigint + oid::bigint) FROM pg_constraint
        WHERE connamespace = home.oid),
    (SELECT sum(pg_attribute.xmin::text::bigint) FROM pg_attribute
        INNER JOIN pg_class ON attrelid = pg_class.oid WHERE relnamespace = home.oid),
    (SELECT count(*) FROM pg_namespace),
    (SELECT count(*) FROM pg_db_role_setting
        INNER JOIN pg_database ON setdatabase = pg_database.oid
        WHERE datname = current_database()),
    (SELECT string_agg(name, ' ' ORDER BY name) FROM schema_migrations)
FROM pg_namespace AS home WHERE home.nspname = 'public'
"""
EMPTY = """
TRUNCATE users, conversations, chat_messages, tasks, quotas, tool_runs, stream_batches,
    finished_streams, metric_counters, account_attempts, known_networks, deleted_users,
    user_settings
RESTART IDENTITY CASCADE
"""


class Databases:
    """The databases of one server, copied from one template."""

    def __init__(self, postgres: RunningPostgres, template: str) -> None:
        """Take the server and a database on it that nobody is connected to."""
        self._postgres = postgres
        self._template = template
        self._free: list[tuple[str, object]] = []
        self._numbers = itertools.count(1)

    @contextmanager
    def lent(self) -> Generator[str]:
        """Lend a database: migrated and empty; yield its URL."""
        name, fingerprint = self._free.pop() if self._free else self._made()
        yield self._postgres.url_of(name, "postgres")
        if self._is_as_new(name, fingerprint):
            self._free.append((name, fingerprint))
        else:
            drop_database(self._postgres, name)

    def _made(self) -> tuple[str, object]:
        name = f"{self._template}_{next(self._numbers)}"
        make_database(self._postgres, name, self._template)
        with self._connected(name) as database:
            return name, database.execute(FINGERPRINT).fetchone()

    def _is_as_new(self, name: str, fingerprint: object) -> bool:
        """Empty a database; tell whether it can be lent again."""
        try:
            with self._connected(name) as database:
                database.execute("SET lock_timeout = '1s'")
                if database.execute(FINGERPRINT).fetchone() != fingerprint:
                    return False
                database.execute(EMPTY)
                return True
        except psycopg.Error:
            return False

    def _connected(self, name: str) -> psycopg.Connection:
        return psycopg.connect(self._postgres.url_of(name, "postgres"), autocommit=True)


def make_database(postgres: RunningPostgres, name: str, template: str = "template1") -> None:
    """Make a database as a copy of another one."""
    with psycopg.connect(postgres.url, autocommit=True) as admin:
        copy = SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY wal_log")
        admin.execute(copy.format(Identifier(name), Identifier(template)))


def drop_database(postgres: RunningPostgres, name: str) -> None:
    """Drop a database, whoever is still connected to it."""
    with psycopg.connect(postgres.url, autocommit=True) as admin:
        admin.execute(SQL("DROP DATABASE {} WITH (FORCE)").format(Identifier(name)))
