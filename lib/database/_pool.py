"""The pool: small, opened with the first step, grown at once."""

import contextlib
import os
import socket
from typing import Any, override

import psycopg
from psycopg.pq import TransactionStatus
from psycopg_pool import AsyncConnectionPool
from psycopg_pool.pool_async import AddConnection

type Connection = psycopg.AsyncConnection[Any]
# Neon's first connect after it has slept takes most of a second.
CONNECT_TIMEOUT_SECONDS = 5
IDLE_SECONDS = 60.0
# A statement of ours takes milliseconds. A server that has not answered by then is gone, or as good
# as gone: the call is ended by shutting the socket.
ANSWER_TIMEOUT_SECONDS = 10.0
# How long to wait for a connection before looking again whether one is being made.
POOL_PATIENCE_SECONDS = 2.0


class BurstPool(AsyncConnectionPool[Connection]):
    """A pool that makes a connection for each request that waits, up to its maximum, all at once.

    By itself a pool with a minimum of 0 makes one at a time, so the last of ten first requests
    would wait for ten connects, one after the other. (`resize`, which is public, would do it too,
    but does not look at the maximum: of 400 streams at once one made an eleventh connection.)
    """

    _nconns: int
    _max_size: int

    @override
    def _maybe_grow_pool(self) -> None:
        # Called under the pool's lock, for each request that found no connection.
        if self._nconns < self._max_size:
            self._nconns += 1
            self.run_task(AddConnection(self))


def is_lost(connection: Connection) -> bool:
    """Tell whether a connection is of no use any more, now that its step has ended.

    One that is still busy was told of its end (57P01) before it was closed: PgBouncer passes on
    what a server says that shuts down. A step that merely failed leaves it idle.
    """
    return connection.broken or connection.info.transaction_status is TransactionStatus.ACTIVE


def shut(connection: Connection) -> None:
    """End a call to a server that does not answer.

    Cancelling it would have psycopg ask that very server to cancel, over the same network, and wait
    for it: measured, 11 s after a time-out of 1 s.
    """
    with contextlib.suppress(OSError, psycopg.Error):
        own = socket.socket(fileno=os.dup(connection.pgconn.socket))
        with own:
            own.shutdown(socket.SHUT_RDWR)
