"""What a server has worked and written, as the kernel and Postgres count it.

The processor time is that of the backends that serve a database, by /proc/PID/schedstat: what else
the machine does meanwhile is not in it, and so ratios hold on a busy machine, too.
"""

import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import psycopg

from dev.postgres import RunningPostgres

BACKENDS = """
    SELECT pid FROM pg_stat_activity WHERE datname = %s AND backend_type = 'client backend'
"""
# A commit that waits for the disk, so that all records before it can be read.
FLUSH = "SELECT pg_logical_emit_message(TRUE, 'bench', '')"
SIZES = """
    SELECT "resource_manager/record_type" = 'Gin', combined_size
    FROM pg_get_wal_stats(%s::pg_lsn, %s::pg_lsn) WHERE count > 0
"""
# Records that add an entry to a leaf of a b-tree; one of a split adds the entry that had no room.
ENTRIES = """
    SELECT relfilenode, count(*) FROM pg_get_wal_block_info(%s::pg_lsn, %s::pg_lsn, FALSE)
    WHERE
        resource_manager = 'Btree' AND block_id = 0
        AND record_type IN ('INSERT_LEAF', 'INSERT_POST', 'SPLIT_L', 'SPLIT_R')
    GROUP BY relfilenode
"""
INDEXES = """
    SELECT pg_relation_filenode(indexrelid), indrelid::regclass::text FROM pg_index
    WHERE indrelid IN (SELECT oid FROM pg_class WHERE relnamespace = 'public'::regnamespace)
"""
UPDATES = """
    SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = 'conversations'
"""
LEAVE_SECONDS = 30


class BackendLost(Exception):
    """A connection ended while it was measured, and took its count with it."""


@dataclass(frozen=True, slots=True)
class Written:
    """What was written to the write-ahead log.

    Attributes:
        bytes: of all records.
        search_bytes: of those of GIN indexes, which only the search has.
    """

    bytes: int
    search_bytes: int

    def __add__(self, other: "Written") -> "Written":
        return Written(self.bytes + other.bytes, self.search_bytes + other.search_bytes)


@dataclass(frozen=True, slots=True)
class Updates:
    """How often conversations were updated, and how often without a new entry in an index."""

    all: int
    hot: int


class Meter:
    """Counts what the backends of one database do."""

    def __init__(self, server: RunningPostgres, database: str) -> None:
        """Connect to the server, beside what is measured."""
        self._database = database
        self._url = server.url_of(database, "postgres")
        self._admin = psycopg.connect(server.url, autocommit=True)
        self._admin.execute("CREATE EXTENSION IF NOT EXISTS pg_walinspect")

    def close(self) -> None:
        """Close the connection."""
        self._admin.close()

    def backends(self) -> list[int]:
        """Return the process ids of the backends."""
        return [pid for (pid,) in self._admin.execute(BACKENDS, [self._database])]

    def work(self) -> dict[int, int]:
        """Return how long each backend has worked, in nanoseconds."""
        return {pid: worked_ns(pid) for pid in self.backends()}

    def milliseconds_since(self, before: dict[int, int]) -> float:
        """Return how long all backends have worked since.

        Raises:
            BackendLost: one of them has ended.
        """
        after = self.work()
        if before.keys() - after.keys():
            raise BackendLost(self._database)
        return sum(ns - before.get(pid, 0) for pid, ns in after.items()) / 1e6

    def log_end(self) -> str:
        """Return where the write-ahead log ends, all of it on the disk."""
        self._admin.execute(FLUSH)
        row = self._admin.execute("SELECT pg_current_wal_flush_lsn()::text").fetchone()
        assert row is not None
        return row[0]

    def written_since(self, log_end: str) -> Written:
        """Return what was written to the log since, by all of the server."""
        sizes = self._admin.execute(SIZES, [log_end, self.log_end()]).fetchall()
        return Written(
            bytes=sum(int(size) for _, size in sizes),
            search_bytes=sum(int(size) for is_search, size in sizes if is_search),
        )

    def entries_since(self, log_end: str) -> Counter[str]:
        """Return how many entries the b-trees of each table got since."""
        found = self._admin.execute(ENTRIES, [log_end, self.log_end()]).fetchall()
        with psycopg.connect(self._url) as database:
            tables = dict[int, str](database.execute(INDEXES).fetchall())
        entries = Counter[str]()
        for index, count in found:
            if index in tables:
                entries[tables[index]] += count
        return entries

    def updates(self) -> Updates:
        """Return the updates so far; waits until no backend is left that would tell its own late.

        Raises:
            TimeoutError: somebody stays connected.
        """
        give_up_at = time.monotonic() + LEAVE_SECONDS
        while self.backends():
            if time.monotonic() > give_up_at:
                raise TimeoutError(self._database)
            time.sleep(0.05)
        with psycopg.connect(self._url) as database:
            row = database.execute(UPDATES).fetchone()
        assert row is not None
        return Updates(*row)


def worked_ns(pid: int) -> int:
    """Return how long the first thread of a process has worked, in nanoseconds."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0])


def process_worked_ns(pid: int) -> int:
    """Return how long the threads of a process that are still there have worked, likewise."""
    threads = Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(thread.read_text().split()[0]) for thread in threads)
