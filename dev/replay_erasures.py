"""Erase again what a restored backup brought back: `python -m dev.replay_erasures URL < LINES`.

LINES are lines of the functions' log, of which only the events `erased` count; URL is the restored
database, as the owner of its tables. The variables of the deployment that wrote the lines make the
same hashes here, in the environment or in `.env`: DATABASE_URL (as it was), JWT_SECRET and
CRON_SECRET; and PARLEY_SCHEMA, where the database has one.

A row is erased if it is older than its line, so that a user or a conversation that came back later
stays. A second run finds nothing to do. See docs/privacy.md.
"""

import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, LiteralString

import psycopg
from dotenv import load_dotenv

from dev.terminal import tell
from lib.identity.erasures import Erased, erasure_hash, erasure_key

# As in lib/conversations/changes.py: each conversation may hold a thousand messages.
BATCH = 50
EVENT = '{"event": "erased"'
READ: dict[Erased, LiteralString] = {
    "conversation": "SELECT id, created_at FROM conversations",
    "task": "SELECT id, created_at FROM tasks",
    # First seen: a user that came back after the erasure is a new one.
    "user": "SELECT id, created_at FROM users",
}
# An application's own `users` may lack the time, and its rows stay: so by the oldest of their rows.
READ_OWNERS: LiteralString = """
    SELECT user_id, min(created_at) FROM (
        SELECT user_id, created_at FROM conversations
        UNION ALL
        SELECT user_id, created_at FROM tasks
    ) AS owned
    WHERE user_id IS NOT NULL
    GROUP BY user_id
"""
IS_PARLEYS: LiteralString = """
    SELECT coalesce(obj_description('users'::regclass, 'pg_class') LIKE 'Parley:%', FALSE)
"""
USE_SCHEMA: LiteralString = (
    "SELECT set_config('search_path', quote_ident(%s) || ', pg_temp', FALSE)"
)
DELETE_CONVERSATIONS = "DELETE FROM conversations WHERE id = any(%s)"
DELETE_TASKS = "DELETE FROM tasks WHERE id = any(%s)"
DELETE_USER: tuple[LiteralString, ...] = (
    "DELETE FROM conversations WHERE user_id = %(id)s AND created_at <= %(erased_at)s",
    "DELETE FROM tasks WHERE user_id = %(id)s AND created_at <= %(erased_at)s",
    "DELETE FROM known_networks WHERE user_id = %(id)s AND used_at <= %(erased_at)s",
    "DELETE FROM user_settings WHERE user_id = %(id)s AND updated_at <= %(erased_at)s",
)
DELETE_USERS_ROW: LiteralString = "DELETE FROM users WHERE id = %(id)s"


@dataclass(frozen=True, slots=True)
class Erasures:
    """The erasures of a log.

    Attributes:
        times: by kind and hash, the last time at which the row was erased.
        under_other_secrets: lines whose hashes were made with other secrets.
    """

    times: dict[tuple[str, str], datetime]
    under_other_secrets: int


def main() -> int:
    """Erase, and report; 1: lines were left out, because their secrets were others."""
    match sys.argv[1:]:
        case [url] if url.startswith(("postgres://", "postgresql://")):
            pass
        case _:
            sys.exit("usage: python -m dev.replay_erasures postgresql://… < lines-of-the-log")
    load_dotenv()
    erasures = read_erasures(sys.stdin)
    with psycopg.connect(url, autocommit=True) as database:
        if schema := os.environ.get("PARLEY_SCHEMA", "").strip():
            database.execute(USE_SCHEMA, [schema])
        counts = replay(database, erasures)
    report = ", ".join(f"{kind}s {count}" for kind, count in counts.items())
    print(f"erasures in the log: {len(erasures.times)}; erased again: {report}")
    if erasures.under_other_secrets:
        tell(
            f"{erasures.under_other_secrets} lines were written under other secrets. Run this "
            "again with the DATABASE_URL, JWT_SECRET and CRON_SECRET of that time."
        )
    return 1 if erasures.under_other_secrets else 0


def read_erasures(lines: Iterable[str]) -> Erasures:
    """Read the events `erased` from a log; other lines are left out."""
    times: dict[tuple[str, str], datetime] = {}
    own_key, under_other_secrets = erasure_key(), 0
    for event in _events(lines):
        if event["key"] != own_key:
            under_other_secrets += 1
            continue
        erased_at = datetime.fromisoformat(event["erased_at"])
        for each in event["hashes"]:
            row = (event["what"], each)
            times[row] = max(erased_at, times.get(row, erased_at))
    return Erasures(times, under_other_secrets)


def replay(database: psycopg.Connection, erasures: Erasures) -> dict[Erased, int]:
    """Erase the rows of a database that a log names; return how many of each kind.

    Args:
        database: a connection in autocommit, of the owner of the tables.
        erasures: from `read_erasures`.
    """
    # Users last: the rows that lines name one by one are counted as such.
    delete: dict[Erased, Callable[[psycopg.Connection, Sequence[Any]], None]] = {
        "conversation": _delete_conversations,
        "task": _delete_tasks,
        "user": _delete_users,
    }
    counts: dict[Erased, int] = {}
    for what, delete_rows in delete.items():
        found = list(_brought_back(database, what, erasures))
        for first in range(0, len(found), BATCH):
            delete_rows(database, found[first : first + BATCH])
        counts[what] = len(found)
    return counts


def _events(lines: Iterable[str]) -> Iterator[dict[str, Any]]:
    """Find the events in lines that a log drain may have wrapped in a text or in JSON."""
    for line in lines:
        # Within a field of the drain's own JSON, the quotes are escaped.
        text = line if EVENT in line else line.replace('\\"', '"')
        start = text.find(EVENT)
        if start >= 0:
            yield json.JSONDecoder().raw_decode(text, start)[0]


def _brought_back(
    database: psycopg.Connection, what: Erased, erasures: Erasures
) -> Iterator[tuple[Any, datetime]]:
    """Return the id of each row that was erased after it was made, and the time of that."""
    if not any(kind == what for kind, _ in erasures.times):
        return
    query = READ[what] if what != "user" or _is_parleys_users(database) else READ_OWNERS
    # A cursor of the server, because a database may have millions of conversations.
    with database.transaction(), database.cursor("rows") as rows:
        for row_id, created_at in rows.execute(query):
            erased_at = erasures.times.get((what, erasure_hash(what, row_id)))
            if erased_at and created_at <= erased_at:
                yield row_id, erased_at


def _delete_conversations(database: psycopg.Connection, rows: Sequence[Any]) -> None:
    database.execute(DELETE_CONVERSATIONS, [[row_id for row_id, _ in rows]])


def _delete_tasks(database: psycopg.Connection, rows: Sequence[Any]) -> None:
    database.execute(DELETE_TASKS, [[row_id for row_id, _ in rows]])


def _delete_users(database: psycopg.Connection, rows: Sequence[Any]) -> None:
    own = (DELETE_USERS_ROW,) if _is_parleys_users(database) else ()
    for row_id, erased_at in rows:
        with database.transaction():
            for statement in (*DELETE_USER, *own):
                database.execute(statement, {"id": row_id, "erased_at": erased_at})


def _is_parleys_users(database: psycopg.Connection) -> bool:
    """Tell whether `users` is Parley's own table, and not the application's."""
    return database.execute(IS_PARLEYS).fetchall() == [(True,)]


if __name__ == "__main__":
    sys.exit(main())
