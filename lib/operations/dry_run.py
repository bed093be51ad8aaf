"""The dry run of a clean-up: count the rows that it would delete."""

import time
from dataclasses import dataclass, field
from datetime import datetime

from lib.database.client import Database
from lib.database.statements import Statement
from lib.operations.clean_up import CleanUpReport, has_time, paced
from lib.settings import settings

MESSAGE_BATCH, CONVERSATION_BATCH = 10_000, 1000


@dataclass(frozen=True, slots=True)
class MessageCount:
    """The row of count_old_chat_messages."""

    counted: int
    last_at: datetime | None


@dataclass(frozen=True, slots=True)
class ConversationCount:
    """The row of count_old_conversations."""

    looked_at: int
    counted: int
    last_at: datetime | None


@dataclass(frozen=True, slots=True)
class TitleCount:
    """The row of count_old_titles."""

    looked_at: int
    counted: int
    last_at: datetime | None


COUNT_OLD_CHAT_MESSAGES = Statement("operations/count_old_chat_messages", MessageCount)
COUNT_OLD_CONVERSATIONS = Statement("operations/count_old_conversations", ConversationCount)
COUNT_OLD_TITLES = Statement("operations/count_old_titles", TitleCount)


async def count_expired(database: Database) -> CleanUpReport:
    """Return the report of a clean-up with enough time, without deleting.

    Counts in batches, like the clean-up; `remaining` says that time ran out before the end.

    Raises:
        DatabaseUnavailable: see `Database.run`.
    """
    started, counting = time.monotonic(), Counting(database, settings().retention_days)
    report = counting.report
    if counting.retention_days:
        is_done = (
            await counting.count_messages()
            and await counting.count_conversations()
            and await counting.count_titles()
        )
        report.remaining = not is_done
    report.seconds = round(time.monotonic() - started, 3)
    return report


@dataclass(slots=True)
class Counting:
    """One dry run."""

    database: Database
    retention_days: int
    report: CleanUpReport = field(default_factory=CleanUpReport)

    async def count_messages(self) -> bool:
        """Count expired messages, oldest first; tell whether all are counted."""
        since = None
        while has_time():
            call = COUNT_OLD_CHAT_MESSAGES(
                retention_days=self.retention_days, batch_size=MESSAGE_BATCH, since=since, now=None
            )
            [batch] = await paced(self.database, call)
            self.report.deleted += batch.counted
            self.report.batches += batch.counted > 0
            since = batch.last_at
            if batch.counted < MESSAGE_BATCH:
                return True
        return False

    async def count_conversations(self) -> bool:
        """Count expired conversations, least recently used first; tell whether all are counted."""
        since = None
        while has_time():
            call = COUNT_OLD_CONVERSATIONS(
                retention_days=self.retention_days,
                batch_size=CONVERSATION_BATCH,
                since=since,
                now=None,
            )
            [batch] = await paced(self.database, call)
            self.report.conversations_deleted += batch.counted
            self.report.batches += batch.counted > 0
            since = batch.last_at
            if batch.looked_at < CONVERSATION_BATCH:
                return True
        return False

    async def count_titles(self) -> bool:
        """Count expired titles, oldest first; tell whether all are counted."""
        since = None
        while has_time():
            call = COUNT_OLD_TITLES(
                retention_days=self.retention_days,
                batch_size=CONVERSATION_BATCH,
                since=since,
                now=None,
            )
            [batch] = await paced(self.database, call)
            self.report.titles_replaced += batch.counted
            self.report.batches += batch.counted > 0
            since = batch.last_at
            if batch.looked_at < CONVERSATION_BATCH:
                return True
        return False
