"""Retention: delete expired rows in small batches that give way to running turns.

Each batch is a round trip and a transaction of its own, so short that a turn that waits for one of
its rows does not notice; rows that another session holds are skipped. After each batch the clean-up
pauses for as long as the batch took, so a busy database gets longer pauses.
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
from lib.identity.clients import KNOWN_NETWORK_DAYS
from lib.problems import DatabaseTooSlow, DatabaseUnavailable, RefusedByRule
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
    refused: int
    refusal: str | None


@dataclass(frozen=True, slots=True)
class ConversationBatch:
    """The row of delete_old_conversations."""

    deleted: int
    resume_at: datetime | None
    duration_ms: float
    refused: int
    refusal: str | None


@dataclass(frozen=True, slots=True)
class TitleBatch:
    """The row of replace_old_titles."""

    replaced: int
    resume_at: datetime | None
    duration_ms: float
    refused: int
    refusal: str | None


@dataclass(frozen=True, slots=True)
class Counter:
    """The row of delete_old_quotas."""

    subject: str
    day_ends_at: datetime


@dataclass(frozen=True, slots=True)
class AttemptCounter:
    """The row of delete_old_account_attempts."""

    subject: str
    ends_at: datetime


@dataclass(frozen=True, slots=True)
class UnusedNetwork:
    """The row of delete_old_known_networks."""

    subject: str
    used_at: datetime


@dataclass(frozen=True, slots=True)
class DeletedUser:
    """The row of delete_old_deleted_users."""

    id_hash: bytes
    ends_at: datetime


@dataclass(frozen=True, slots=True)
class DeletedStream:
    """The row of delete_old_finished_streams."""

    conversation_id: UUID
    ended_at: datetime


@dataclass(frozen=True, slots=True)
class UnusedFile:
    """The row of delete_unused_files."""

    id: UUID
    created_at: datetime


# The time that a batch should keep the database busy, and so the longest that a turn waits for it.
# The number of rows that fit into it differs a hundredfold between a server that has all data in
# memory and one that fetches each page over the network.
BATCH_MS = 3.0
SMALLEST_BATCH, FIRST_BATCH, LARGEST_BATCH = 20, 200, 1000
# While a table is altered, which takes a moment.
LOCK_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 1.0
QUOTA_BATCH = 500
# Each stream may be as long as an answer.
STREAM_BATCH = 200
# Each may have 14 MB.
FILE_BATCH = 20
DELETE_OLD_CHAT_MESSAGES = Statement("operations/delete_old_chat_messages", MessageBatch)
DELETE_OLD_CONVERSATIONS = Statement("operations/delete_old_conversations", ConversationBatch)
REPLACE_OLD_TITLES = Statement("operations/replace_old_titles", TitleBatch)
DELETE_OLD_QUOTAS = Statement("operations/delete_old_quotas", Counter)
DELETE_OLD_ACCOUNT_ATTEMPTS = Statement("operations/delete_old_account_attempts", AttemptCounter)
DELETE_OLD_KNOWN_NETWORKS = Statement("operations/delete_old_known_networks", UnusedNetwork)
DELETE_OLD_DELETED_USERS = Statement("operations/delete_old_deleted_users", DeletedUser)
DELETE_OLD_FINISHED_STREAMS = Statement("operations/delete_old_finished_streams", DeletedStream)
DELETE_UNUSED_FILES = Statement("operations/delete_unused_files", UnusedFile)


@dataclass(slots=True)
class CleanUpReport:
    """The work of a clean-up, or of a dry run.

    Attributes:
        deleted: messages.
        conversations_deleted: conversations left empty and unused.
        titles_replaced: titles that told an expired message.
        batches: batches of messages, conversations and titles.
        refused: messages, conversations and titles that a rule which is not Parley's keeps, such
            as a foreign key of the application's; the log names it (`clean_up_refused`).
        remaining: something else is left: time ran out first, or another session held it.
        seconds: how long it took.
    """

    deleted: int = 0
    conversations_deleted: int = 0
    titles_replaced: int = 0
    batches: int = 0
    refused: int = 0
    remaining: bool = False
    seconds: float = 0.0

    def to_json(self) -> dict[str, Any]:
        """Return it as the cron sees it."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Span:
    """The messages of a period, from `since` to before `until`; None: without that bound.

    Attributes:
        is_second_try: another session held some of the rows during the first try.
    """

    since: datetime | None = None
    until: datetime | None = None
    is_second_try: bool = False


@dataclass(slots=True)
class Pace:
    """The size of the next batch, in rows."""

    size: int = FIRST_BATCH

    def learn(self, rows: int, duration_ms: float) -> None:
        """Choose the size of the next batch by the duration of this one.

        At most twice the size, because one batch may be quick by chance.
        """
        if rows:
            fitting = int(rows * BATCH_MS / max(duration_ms, 0.001))
            self.size = max(SMALLEST_BATCH, min(fitting, 2 * self.size, LARGEST_BATCH))

    def shrink(self) -> bool:
        """Choose a tenth of the size after a batch that took too long; tell whether that is less.

        Nothing of such a batch is deleted, so the same one would take too long every night.
        """
        before, self.size = self.size, max(SMALLEST_BATCH, self.size // 10)
        return self.size < before


async def clean_up(database: Database) -> CleanUpReport:
    """Delete expired counters, streams, messages, conversations left empty, and titles.

    Stores the unfinished answers of killed functions first. Then deletes until nothing is left or
    the function's time is over; the next clean-up continues, and several at once share the work.
    With RETENTION_DAYS=0 deletes counters, streams and files without a message only.

    Raises:
        DatabaseUnavailable: see `Database.run`; the batches before it stay deleted.
    """
    started, deletion = time.monotonic(), Deletion(database, settings().retention_days)
    report = deletion.report
    await recover_lapsed_turns(database, trace().deadline.cut_at)
    await deletion.delete_quotas()
    await deletion.delete_account_attempts()
    await deletion.delete_deleted_users()
    await deletion.delete_finished_streams()
    await deletion.delete_unused_files()
    if deletion.retention_days:
        # In this order, because a conversation is empty only when its messages are deleted, and a
        # conversation that goes needs no title.
        are_done = [
            await deletion.delete_messages(),
            await deletion.delete_conversations(),
            await deletion.replace_titles(),
        ]
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

        Tries the periods in which another session held rows once more at the end.
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
                ),
                pace,
            )
            if batch is None:
                spans.appendleft(span)
                continue
            self.report.deleted += batch.deleted
            self.report.batches += batch.deleted > 0
            if not span.is_second_try:
                self._note_refused(DELETE_OLD_CHAT_MESSAGES, batch)
            pace.learn(batch.deleted + batch.refused, batch.duration_ms)
            if batch.is_incomplete and span.is_second_try:
                is_complete = False
            elif batch.is_incomplete:
                spans.append(Span(span.since, batch.resume_at or span.until, is_second_try=True))
            if batch.resume_at:
                spans.appendleft(Span(batch.resume_at, span.until, span.is_second_try))
        return is_complete and not spans

    async def delete_conversations(self) -> bool:
        """Delete conversations, least recently used first; tell whether none is left."""

        def note(batch: ConversationBatch) -> int:
            self.report.conversations_deleted += batch.deleted
            return batch.deleted

        return await self._run_all(DELETE_OLD_CONVERSATIONS, note)

    async def replace_titles(self) -> bool:
        """Replace titles, oldest first; tell whether none is left."""

        def note(batch: TitleBatch) -> int:
            self.report.titles_replaced += batch.replaced
            return batch.replaced

        return await self._run_all(REPLACE_OLD_TITLES, note)

    async def _run_all[Row: (ConversationBatch, TitleBatch)](
        self, statement: Statement[Row], note: Callable[[Row], int]
    ) -> bool:
        """Run batches of a statement, each from where the one before has stopped.

        Args:
            statement: the statement.
            note: notes a batch in the report, and returns the number of its rows.

        Returns:
            Whether nothing is left.
        """
        pace, since = Pace(FIRST_BATCH // 4), None
        while has_time():
            batch = await self._run(
                statement(retention_days=self.retention_days, batch_size=pace.size, since=since),
                pace,
            )
            if batch is None:
                continue
            count = note(batch)
            self.report.batches += count > 0
            self._note_refused(statement, batch)
            pace.learn(count + batch.refused, batch.duration_ms)
            since = batch.resume_at
            if since is None:
                return True
        return False

    async def delete_quotas(self) -> None:
        """Delete the quota counters of past days, as far as time allows."""
        await self._delete_rows(DELETE_OLD_QUOTAS, QUOTA_BATCH, attrgetter("day_ends_at"))

    async def delete_account_attempts(self) -> None:
        """Delete counters of past days and networks that are unused for long, as time allows."""
        await self._delete_rows(DELETE_OLD_ACCOUNT_ATTEMPTS, QUOTA_BATCH, attrgetter("ends_at"))
        await self._delete_rows(
            DELETE_OLD_KNOWN_NETWORKS,
            QUOTA_BATCH,
            attrgetter("used_at"),
            known_days=KNOWN_NETWORK_DAYS,
        )

    async def delete_deleted_users(self) -> None:
        """Delete the marks of deleted users whose tokens are over, as far as time allows."""
        await self._delete_rows(DELETE_OLD_DELETED_USERS, QUOTA_BATCH, attrgetter("ends_at"))

    async def delete_finished_streams(self) -> None:
        """Delete the streams that can no longer be resumed, as far as time allows."""
        await self._delete_rows(DELETE_OLD_FINISHED_STREAMS, STREAM_BATCH, attrgetter("ended_at"))

    async def delete_unused_files(self) -> None:
        """Delete the files that no message has had for a day, as far as time allows."""
        await self._delete_rows(DELETE_UNUSED_FILES, FILE_BATCH, attrgetter("created_at"))

    async def _delete_rows[Row](
        self,
        statement: Statement[Row],
        size: int,
        time_of: Callable[[Row], datetime],
        **parameters: object,
    ) -> None:
        since = None
        while has_time():
            try:
                gone = await paced(
                    self.database, statement(batch_size=size, since=since, now=None, **parameters)
                )
            except RefusedByRule:
                # The log has it. The other tables do not depend on this one.
                break
            if len(gone) < size:
                break
            since = max(map(time_of, gone))

    def _note_refused(
        self, statement: Statement[Any], batch: MessageBatch | ConversationBatch | TitleBatch
    ) -> None:
        """Count the rows of a batch that a rule which is not Parley's keeps; log the first rule."""
        self.report.refused += batch.refused
        if batch.refused:
            log(
                "clean_up_refused",
                step=statement.name,
                count=batch.refused,
                cause=batch.refusal,
            )

    async def _run[Row](self, call: Call[Row], pace: Pace) -> Row | None:
        """Run a batch and pause.

        Returns:
            Its row; None: a table was locked, or the batch took too long, and it did nothing. After
            the latter the next batch is smaller.

        Raises:
            DatabaseTooSlow: when even a smallest batch takes too long.
        """
        try:
            [row] = await paced(self.database, call)
        except DatabaseTooSlow:
            if not pace.shrink():
                raise
            log("clean_up_shrinks", step=call.statement.name, batch_size=pace.size)
            return None
        except DatabaseUnavailable as error:
            if not isinstance(error.__cause__, LockNotAvailable):
                raise
            log("clean_up_waits", step=call.statement.name)
            await asyncio.sleep(LOCK_PAUSE_SECONDS)
            return None
        return row


async def paced[Row](database: Database, call: Call[Row]) -> list[Row]:
    """Run a batch, then pause for as long as it kept the database busy.

    A batch that does not tell counts with its round trip.
    """
    started = time.monotonic()
    rows = await database.run(call)
    seconds = time.monotonic() - started
    if rows and isinstance(rows[0], MessageBatch | ConversationBatch | TitleBatch):
        # Without the network, because the database rests in that time anyway.
        seconds = rows[0].duration_ms / 1000
    await asyncio.sleep(min(seconds, LONGEST_PAUSE_SECONDS))
    return rows
