"""Streams of answers that are stored: kept for a moment after their end, then deleted."""

import time
from dataclasses import dataclass
from uuid import UUID

from lib.database import Database
from lib.statements import Statement

# Each may hold as much as an answer does.
BATCH = 200


@dataclass(frozen=True, slots=True)
class DeletedStream:
    """The row of delete_old_finished_streams."""

    conversation_id: UUID


DELETE_OLD_FINISHED_STREAMS = Statement("delete_old_finished_streams", DeletedStream)


async def delete_old_finished_streams(database: Database, until: float) -> int:
    """Delete the streams that nobody can ask for any more, whosever they are; for the cron.

    One round trip a batch, and one more if the last batch was a whole one.

    Args:
        database: where.
        until: when no other batch is begun, on the clock of `time.monotonic()`, in seconds.

    Returns:
        How many were deleted.

    Raises:
        DatabaseUnavailable: see `Database.run`; the batches before it stay deleted.
    """
    deleted = 0
    while time.monotonic() < until:
        gone = await database.run(DELETE_OLD_FINISHED_STREAMS(batch_size=BATCH, now=None))
        deleted += len(gone)
        if len(gone) < BATCH:
            break
    return deleted
