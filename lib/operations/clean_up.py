"""Retention: what is older than RETENTION_DAYS goes, batch after batch, and turns go first.

Each batch is a round trip and a transaction of its own, short enough that whoever waits for one of
its rows does not notice; what somebody else holds is left to them. After it the clean-up pauses for
as long as it took: where turns keep the database busy a batch takes longer, so they get more.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import datetime
from operator import attrgetter
from typing import Any, Literal
from uuid import UUID

from psycopg.errors import LockNotAvailable

from lib.database.client import Database
from lib.database.statements import Call, Statement
from lib.http.queries import one_of, parameter, query_string
from lib.problems import DatabaseUnavailable
from lib.runtime.log import log
from lib.runtime.trace import trace
from lib.settings import settings
from lib.turns.recover import recover_lapsed_turns


@query_string
class CleanUpQuery:
    """The query of GET /api/cron/cleanup; Vercel's cron sends none."""

    dry_run: Literal["true", "false"] = parameter(one_of("true", "false"), default="false")


@dataclass(frozen=True, slots=True)
class MessageBatch:
    """The row of delete_old_chat_messages."""

    deleted: int
    resume_at: datetime | None
    is_incomplete: bool
    duration_ms: float


@dataclass(frozen=True, slots=True)
class ConversationBatch:
    """The row of delete_old_conversations."""

    deleted: int
    resume_at: datetime | None
    duration_ms: float


@dataclass(frozen=True, slots=True)
class Counter:
    """The row of delete_old_quotas."""

    subject: str
    day_ends_at: datetime


@dataclass(frozen=True, slots=True)
class DeletedStream:
    """The row of delete_old_finished_streams."""

    conversation_id: UUID
    ended_at: datetime


# What a batch should take of the database's time: a turn that waits for one waits no longer. How
# many rows that are differs a hundredfold between a server that has all in memory and one that
# fetches each page from elsewhere.
BATCH_MS = 3.0
SMALLEST_BATCH, FIRST_BATCH, LARGEST_BATCH = 20, 200, 1000
# A table is being altered; that takes a moment.
LOCK_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 1.0
QUOTA_BATCH = 500
# Each may hold as much as an answer does.
STREAM_BATCH = 200
DELETE_OLD_CHAT_MESSAGES = Statement("operations/delete_old_chat_messages", MessageBatch)
DELETE_OLD_CONVERSATIONS = Statement("operations/delete_old_conversations", ConversationBatch)
DELETE_OLD_QUOTAS = Statement("operations/delete_old_quotas", Counter)
DELETE_OLD_FINISHED_STREAMS = Statement("operations/delete_old_finished_streams", DeletedStream)


@dataclass(slots=True)
class CleanUpReport:
    """The work of a clean-up, or of a dry run.

    Attributes:
        deleted: messages.
        conversations_deleted: conversations left empty and unused.
        batches: batches of messages and conversations.
        remaining: something is left: time ran out first, or another session held it.
        seconds: how long it took.
    """

    deleted: int = 0
    conversations_deleted: int = 0
    batches: int = 0
    remaining: bool = False
    seconds: float = 0.0

    def to_json(self) -> dict[str, Any]:
        """Return it as the cron sees it."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Span:
    """The messages stored from one time on and before another; None: from the first, to the last.

    Attributes:
        is_second_try: somebody held some of them the first time.
    """

    since: datetime | None = None
    until: datetime | None = None
    is_second_try: bool = False


@dataclass(slots=True)
class Pace:
    """How much a batch holds."""

    size: int = FIRST_BATCH

    def learn(self, rows: int, duration_ms: float) -> None:
        """Choose the size of the next batch by what this one has taken.

        Never more than twice as much at once: one batch that was quick by chance proves little.
        """
        if rows:
            fitting = int(rows * BATCH_MS / max(duration_ms, 0.001))
            self.size = max(SMALLEST_BATCH, min(fitting, 2 * self.size, LARGEST_BATCH))


async def clean_up(database: Database) -> CleanUpReport:
    """Delete counters that count nothing any more, old messages, and conversations left empty.

    First, what killed functions have left behind of their answers is stored. Then it goes on until
    nothing is left or the function's time is over; the next clean-up goes on from there, and
    several at once share the work. With RETENTION_DAYS=0 only
    counters go, and streams that nobody can ask for any more.

    Raises:
        DatabaseUnavailable: see `Database.run`; the batches before it stay deleted.
    """
    started, deletion = time.monotonic(), Deletion(database, settings().retention_days)
    report = deletion.report
    await recover_lapsed_turns(database, trace().deadline.cut_at)
    await deletion.delete_quotas()
    await deletion.delete_finished_streams()
    if deletion.retention_days:
        # One after the other: until its messages are gone a conversation is not empty.
        are_done = [await deletion.delete_messages(), await deletion.delete_conversations()]
        report.remaining = not all(are_done)
    report.seconds = round(time.monotonic() - started, 3)
    log("clean_up_finished", **report.to_json())
    return report


def has_time() -> bool:
    """Tell whether the function has time for another batch."""
    return time.monotonic() < trace().deadline.cut_at


@dataclass(slots=True)
class Deletion:
    """One clean-up."""

    database: Database
    retention_days: int
    report: CleanUpReport = field(default_factory=CleanUpReport)

    async def delete_messages(self) -> bool:
        """Delete messages, oldest first; tell whether none is left.

        Where somebody held some, it comes by once more in the end, and only there.
        """
        pace, spans, is_complete = Pace(), deque([Span()]), True
        while spans and has_time():
            span = spans.popleft()
            batch = await self._run(
                DELETE_OLD_CHAT_MESSAGES(
                    retention_days=self.retention_days,
                    batch_size=pace.size,
                    since=span.since,
                    until=span.until,
                )
            )
            if batch is None:
                spans.appendleft(span)
                continue
            self.report.deleted += batch.deleted
            self.report.batches += batch.deleted > 0
            pace.learn(batch.deleted, batch.duration_ms)
            if batch.is_incomplete and span.is_second_try:
                is_complete = False
            elif batch.is_incomplete:
                spans.append(Span(span.since, batch.resume_at or span.until, is_second_try=True))
            if batch.resume_at:
                spans.appendleft(Span(batch.resume_at, span.until, span.is_second_try))
        return is_complete and not spans

    async def delete_conversations(self) -> bool:
        """Delete conversations, least recently used first; tell whether it came to the end."""
        pace, since = Pace(FIRST_BATCH // 4), None
        while has_time():
            batch = await self._run(
                DELETE_OLD_CONVERSATIONS(
                    retention_days=self.retention_days, batch_size=pace.size, since=since
                )
            )
            if batch is None:
                continue
            self.report.conversations_deleted += batch.deleted
            self.report.batches += batch.deleted > 0
            pace.learn(batch.deleted, batch.duration_ms)
            since = batch.resume_at
            if since is None:
                return True
        return False

    async def delete_quotas(self) -> None:
        """Delete the counters that count nothing any more, as far as time allows."""
        await self._delete_rows(DELETE_OLD_QUOTAS, QUOTA_BATCH, attrgetter("day_ends_at"))

    async def delete_finished_streams(self) -> None:
        """Delete the streams that nobody can ask for any more, as far as time allows."""
        await self._delete_rows(DELETE_OLD_FINISHED_STREAMS, STREAM_BATCH, attrgetter("ended_at"))

    async def _delete_rows[Row](
        self, statement: Statement[Row], size: int, time_of: Callable[[Row], datetime]
    ) -> None:
        since = None
        while has_time():
            gone = await paced(self.database, statement(batch_size=size, since=since, now=None))
            if len(gone) < size:
                break
            since = max(map(time_of, gone))

    async def _run[Row](self, call: Call[Row]) -> Row | None:
        """Run a batch and pause; None: a table was locked, and nothing was done."""
        try:
            [row] = await paced(self.database, call)
        except DatabaseUnavailable as error:
            if not isinstance(error.__cause__, LockNotAvailable):
                raise
            log("clean_up_waits", step=call.statement.name)
            await asyncio.sleep(LOCK_PAUSE_SECONDS)
            return None
        return row


async def paced[Row](database: Database, call: Call[Row]) -> list[Row]:
    """Run a batch, then pause for as long as it kept the database busy, as far as that is known."""
    started = time.monotonic()
    rows = await database.run(call)
    seconds = time.monotonic() - started
    if rows and isinstance(rows[0], MessageBatch | ConversationBatch):
        # Without the way there and back, when the database has rest anyway.
        seconds = rows[0].duration_ms / 1000
    await asyncio.sleep(min(seconds, LONGEST_PAUSE_SECONDS))
    return rows
