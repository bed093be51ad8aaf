"""store_stream_batches and finish_turn: a database that really crashes loses the last batches."""

import os
import signal
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import LiteralString
from uuid import uuid4

import psutil
import psycopg
import pytest

from dev.postgres import RunningPostgres, programs, start_postgres
from dev.psql import migrate
from lib.turns.finish import PARTS_LOST
from tests.support.databases import make_database
from tests.support.product import ROOT, forget_process
from tests.support.steps.streams import Streams
from tests.support.steps.turns import Turns, open_database

NAME = "crashing"
CONVERSATION = uuid4()
WAL_WRITER = "SELECT pid FROM pg_stat_activity WHERE backend_type = 'walwriter'"
BATCHES = "SELECT first_part, parts FROM stream_batches ORDER BY first_part"
FINISHED = "SELECT parts FROM finished_streams"


async def test_batches_lost_by_a_crash_of_the_database_are_stored_again_and_missed_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = start_postgres(tmp_path / "data", tcp=True)
    make_database(server, NAME)
    url = server.url_of(NAME, "postgres")
    migrate(programs() / "psql", url, ROOT)
    monkeypatch.setenv("DATABASE_URL", url)
    monkeypatch.setenv("RETENTION_DAYS", "0")
    async with _turns(server) as turns:
        streams = Streams(turns)
        first = await turns.begin()
        assert (await streams.store(first, "ab")).is_stored
        _stop_flushing(server)
        assert (await streams.store(first, "cd", 2)).is_stored

    _crash(server)
    server = start_postgres(tmp_path / "data", tcp=True)
    try:
        assert _rows(server, BATCHES) == [(0, "ab")]
        async with _turns(server) as turns:
            streams = Streams(turns)
            with pytest.raises(psycopg.Error) as raised:
                await turns.finish(first, stored_parts=4, parts="ef")
            assert raised.value.sqlstate == PARTS_LOST
            outcome = await streams.store(first, "ef", 4)
            assert (outcome.is_held, outcome.is_stored, outcome.lost_from) == (True, False, 2)
            assert (await streams.store(first, "cdef", 2)).is_stored
            assert await turns.finish(first, stored_parts=6, parts="g")
        assert _rows(server, FINISHED) == [("abcdefg",)]
    finally:
        server.stop()


@asynccontextmanager
async def _turns(server: RunningPostgres) -> AsyncGenerator[Turns]:
    """Yield turns of the crashing database, in a conversation without an owner."""
    forget_process()
    opened = open_database(server.url_of(NAME, "postgres"))
    turns = Turns(opened)
    turns.conversation_id = CONVERSATION
    try:
        yield turns
    finally:
        await opened.close()
        forget_process()


def _stop_flushing(server: RunningPostgres) -> None:
    """Write all to the disk that is committed, and then nothing that does not ask for it."""
    with psycopg.connect(server.url, autocommit=True) as admin:
        admin.execute("CHECKPOINT")
        [(process_id,)] = admin.execute(WAL_WRITER).fetchall()
    os.kill(process_id, signal.SIGSTOP)


def _crash(server: RunningPostgres) -> None:
    """Kill all processes of the server at once."""
    family = psutil.Process(server.child.keeper.pid).children(recursive=True)
    for process in family:
        process.kill()
    psutil.wait_procs(family)
    server.stop()


def _rows(server: RunningPostgres, statement: LiteralString) -> list[tuple[object, ...]]:
    with psycopg.connect(server.url_of(NAME, "postgres")) as connection:
        return connection.execute(statement).fetchall()
