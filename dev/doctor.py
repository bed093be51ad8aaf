"""Say in words what is wrong with a database, and the cure: `python -m dev doctor [URL]`.

Without URL it looks at DATABASE_URL, and then at DATABASE_URL_UNPOOLED, of the environment or of
`.env`. It only reads. The exit code is 0 where requests would be answered, 1 where something is at
fault. See docs/database.md.
"""

import asyncio
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, LiteralString

import psycopg
from dotenv import dotenv_values
from psycopg.conninfo import make_conninfo
from psycopg.rows import dict_row

from dev.terminal import tell
from lib.database.connecting import Reason, reason_in
from lib.postgres_url import PostgresUrl, read_postgres_url
from lib.problems import Problem
from lib.runtime.shutdown import shut_down
from lib.settings import SettingsError, settings

CONNECT_TIMEOUT_SECONDS = 10
LEAST_VERSION = 150000
FEW_CONNECTIONS = 10
SHORT_MS = 10_000
CURES: dict[Reason, str] = {
    "name_unknown": "No server has this name. Copy the host again: a project that was deleted, "
    "paused or moved to another region has none, or another.",
    "refused": "Nothing listens there, or it hangs up. Check host and port, and whether the server "
    "runs: PgBouncer has often 6432 or 6543, Postgres 5432.",
    "unreachable": "The network has no way to that host. Functions on Vercel reach public "
    "addresses alone, and IPv4 alone: take the pooled host where the direct one has IPv6 only.",
    "timed_out": "Nobody answers. A firewall or a list of allowed addresses is in between, or the "
    "database is waking up: try again once.",
    "no_socket": "There is no such socket on this machine: the URL names no host, or a wrong "
    "folder.",
    "no_tls": "The server has no TLS. Switch it on there; sslmode=disable is for this machine or "
    "a network of your own (ALLOW_INSECURE_NETWORK).",
    "certificate": "The server's certificate is not valid for this name or these roots. Take the "
    "host that the provider names, and its root certificate: sslrootcert=FILE.",
    "tls": "TLS could not be agreed upon. Is this the port of Postgres, or of something else?",
    "wrong_password": "The password or the role is wrong. Copy the URL again, or set a new "
    "password; in the URL, % @ : / # ? are written %25 %40 %3A %2F %23 %3F.",
    "no_database": "The server has no database of this name: it stands behind the last / of the "
    "URL.",
    "no_role": "The server has no such role, or it may not log in: ALTER ROLE … LOGIN. Supabase's "
    "pooler wants postgres.PROJECT as the user.",
    "not_allowed": "The server does not let this role in from here: pg_hba.conf, the provider's "
    "list of addresses, or GRANT CONNECT ON DATABASE … TO ….",
    "full": "All connections are taken. Use the pooled URL, set DB_POOL_MAX lower, and look in "
    "pg_stat_activity for the application that holds them.",
    "starting": "The server is starting or stopping. Try again in a moment.",
    "settings_refused": "The server or its pooler refuses a setting of the URL. Remove `options`: "
    "a pooler takes none.",
    "host_unknown_to_proxy": "The provider's proxy does not know the project by this host and "
    "user. Copy the whole URL again.",
    "suspended": "The provider has stopped the database: look at its dashboard.",
    "other": "See the words of the server above.",
}
LOOK: LiteralString = """
    SELECT
        pg_backend_pid() AS backend,
        current_setting('server_version_num')::integer AS version,
        current_setting('server_encoding') AS encoding,
        pg_is_in_recovery() AS is_standby,
        current_setting('default_transaction_read_only') = 'on' AS only_reads,
        current_setting('default_transaction_isolation') AS isolation,
        current_setting('session_replication_role') AS replication_role,
        current_setting('standard_conforming_strings') AS strings,
        current_setting('row_security') AS row_security,
        (SELECT setting::integer FROM pg_settings WHERE name = 'statement_timeout') AS timeout_ms,
        (SELECT setting::integer FROM pg_settings WHERE name = 'transaction_timeout')
            AS transaction_timeout_ms,
        current_setting('max_connections')::integer
            - (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend')
            AS free_connections
"""


# The same behind a pooler, and another on each server.
IDENTIFY: LiteralString = """
    SELECT pg_backend_pid(), current_database()::text, pg_postmaster_start_time()::text
"""


@dataclass(frozen=True, slots=True)
class Finding:
    """A line of the report.

    Attributes:
        kind: `fault` keeps requests from being answered, or will; `note` is to be known.
        text: the finding, and its cure.
    """

    kind: Literal["ok", "note", "fault"]
    text: str


def main(arguments: list[str]) -> int:
    """Examine, and print the findings; 1: there is a fault, 2: the arguments are not valid."""
    if len(arguments) > 1 or (arguments and arguments[0].startswith("-")):
        tell("usage: python -m dev doctor [postgresql://…]")
        return 2
    for name, value in dotenv_values(Path.cwd() / ".env").items():
        if value:
            os.environ.setdefault(name, value)
    if arguments:
        os.environ["DATABASE_URL"] = arguments[0]
        os.environ.pop("DATABASE_URL_UNPOOLED", None)
    has_fault = False
    for finding in examine():
        print(f"{finding.kind:<5} {finding.text}")
        has_fault |= finding.kind == "fault"
    print("There is something to do." if has_fault else "Requests can be answered.")
    return int(has_fault)


def examine() -> Iterator[Finding]:
    """Find out what is to be said of the databases that the environment names."""
    try:
        chosen = settings()
    except SettingsError as mistakes:
        yield from (Finding("fault", line.strip(" -")) for line in str(mistakes).splitlines()[1:])
        return
    url = read_postgres_url(chosen.database_url)
    if url.ignored:
        yield Finding("note", f"Parley ignores {', '.join(url.ignored)} of the URL.")
    try:
        with _connect(url) as connection:
            yield Finding("ok", f"DATABASE_URL connects to {_place(url)}.")
            _, *identity = _identify(connection)
            yield from _look(connection)
    except psycopg.Error as error:
        yield _failure("DATABASE_URL", url, error)
        return
    yield from asyncio.run(_health())
    if chosen.database_url_unpooled:
        yield from _look_at_unpooled(read_postgres_url(chosen.database_url_unpooled), identity)
    if shutil.which("psql") is None:
        yield Finding(
            "note",
            "This machine has no psql, which the commands need: install PostgreSQL's client "
            "(Debian: postgresql-client; macOS: brew install libpq).",
        )


def _connect(url: PostgresUrl) -> psycopg.Connection[Any]:
    parameters = url.overrides() | {"client_encoding": "UTF8", "application_name": "parley doctor"}
    return psycopg.connect(
        make_conninfo(url.text, **parameters),
        autocommit=True,
        prepare_threshold=None,
        connect_timeout=CONNECT_TIMEOUT_SECONDS,
    )


def _place(url: PostgresUrl) -> str:
    names = url.parameters
    return f"{names.get('dbname', '')} at {names.get('host') or names.get('hostaddr', 'a socket')}"


def _failure(variable: str, url: PostgresUrl, error: psycopg.Error) -> Finding:
    """Return what a failed connect, or a failed look, means."""
    words = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    if password := url.parameters.get("password"):
        words = words.replace(password, "…")
    cure = CURES[reason_in(str(error))]
    return Finding("fault", f"{variable} fails at {_place(url)}: {words}\n      {cure}")


def _look(connection: psycopg.Connection[Any]) -> Iterator[Finding]:
    with connection.cursor(row_factory=dict_row) as cursor:
        [found] = cursor.execute(LOOK).fetchall()
    is_pooled = _is_pooled(connection, found["backend"])
    version = found["version"]
    if version < LEAST_VERSION:
        yield Finding("fault", f"The server is PostgreSQL {version // 10_000}: Parley needs 15.")
    yield Finding(
        "ok" if is_pooled else "note",
        "The URL leads to a pooler."
        if is_pooled
        else "The URL leads to the server itself. With many functions, take the pooled URL, or "
        "the connections run out.",
    )
    yield from _odd_settings(found)


def _is_pooled(connection: psycopg.Connection[Any], backend: int) -> bool:
    """Tell whether a pooler is in between: the number that it gave is not that of the server."""
    return connection.info.backend_pid != backend


def _odd_settings(found: dict[str, Any]) -> Iterator[Finding]:
    if found["encoding"] != "UTF8":
        yield Finding(
            "fault",
            f"The database's encoding is {found['encoding']}, which cannot keep all texts. Make "
            "another: CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0.",
        )
    if found["is_standby"]:
        yield Finding("fault", "The server is a standby, which only reads. Take the primary's URL.")
    elif found["only_reads"]:
        yield Finding(
            "fault",
            "default_transaction_read_only is on, as where a disk is full: make room, then ALTER "
            "DATABASE (or ROLE) … RESET default_transaction_read_only.",
        )
    if found["replication_role"] != "origin":
        yield Finding("fault", "session_replication_role is not origin: foreign keys do not hold.")
    for name in ("timeout_ms", "transaction_timeout_ms"):
        if 0 < (found[name] or 0) < SHORT_MS:
            limit = "statement_timeout" if name == "timeout_ms" else "transaction_timeout"
            yield Finding("note", f"{limit} is {found[name]} ms; Parley's longest steps take 10 s.")
    if found["free_connections"] < FEW_CONNECTIONS:
        yield Finding("note", f"Only {found['free_connections']} connections are left.")
    pinned = {
        "default_transaction_isolation": found["isolation"] != "read committed",
        "standard_conforming_strings": found["strings"] != "on",
        "row_security": found["row_security"] != "on",
    }
    if odd := [name for name, is_odd in pinned.items() if is_odd]:
        yield Finding("note", f"Unusual, and no matter to Parley: {', '.join(odd)}.")


async def _health() -> list[Finding]:
    """Return what /api/health says."""
    # Late, because it imports the product.
    from lib.database.client import database  # noqa: PLC0415
    from lib.operations.health import read_health  # noqa: PLC0415

    try:
        told = await read_health(database(), is_operator=True)
    except Problem as problem:
        return [Finding("fault", problem.detail)]
    finally:
        await shut_down()
    findings = [Finding("note", text) for text in _texts(told)]
    return findings or [Finding("ok", "/api/health finds nothing amiss.")]


def _texts(told: object) -> Iterator[str]:
    """Return the sentences in a report, whatever its form: those are its lists."""
    if isinstance(told, dict):
        for value in told.values():  # pyright: ignore[reportUnknownVariableType]
            yield from _texts(value)  # pyright: ignore[reportUnknownArgumentType]
    elif isinstance(told, list):
        yield from map(str, told)  # pyright: ignore[reportUnknownArgumentType]


def _identify(connection: psycopg.Connection[Any]) -> tuple[Any, ...]:
    """Return the number of the backend, the name of the database, and when its server started."""
    [found] = connection.execute(IDENTIFY).fetchall()
    return found


def _look_at_unpooled(url: PostgresUrl, pooled_identity: list[Any]) -> Iterator[Finding]:
    """Find out whether migrations can go there.

    Args:
        url: DATABASE_URL_UNPOOLED.
        pooled_identity: of the database that requests use; see `_identify`.
    """
    try:
        with _connect(url) as connection:
            backend, *identity = _identify(connection)
            is_pooled = _is_pooled(connection, backend)
    except psycopg.Error as error:
        yield _failure("DATABASE_URL_UNPOOLED", url, error)
        return
    if identity != pooled_identity:
        yield Finding(
            "fault",
            f"DATABASE_URL_UNPOOLED leads to another database ({_place(url)}) than DATABASE_URL: "
            "migrations would not reach the one that requests use. Copy both from the same place.",
        )
    if is_pooled:
        yield Finding(
            "fault",
            "DATABASE_URL_UNPOOLED leads to a pooler, where migrations hang: take the direct URL "
            "(on Neon, without -pooler in the host; on Supabase, port 5432).",
        )
    else:
        yield Finding("ok", "DATABASE_URL_UNPOOLED leads to the server itself.")
