"""Retention: what is older than RETENTION_DAYS goes."""

import hmac
import time
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request

from lib.database import Database
from lib.finished_streams import delete_old_finished_streams
from lib.problems import Unauthenticated
from lib.recovery import recover_lapsed_turns
from lib.settings import settings
from lib.statements import Statement
from lib.trace import log, trace


@dataclass(frozen=True, slots=True)
class Deleted:
    """The row of delete_old_chat_messages."""

    deleted: int


@dataclass(frozen=True, slots=True)
class Counter:
    """The row of delete_old_quotas."""

    subject: str


NOT_THE_CRON = "This needs the header Authorization: Bearer with the deployment's CRON_SECRET."
# About as many as turns do not notice.
BATCH = 1000

DELETE_OLD_CHAT_MESSAGES = Statement("delete_old_chat_messages", Deleted)
DELETE_OLD_QUOTAS = Statement("delete_old_quotas", Counter)


def check_cron_secret(request: Request) -> None:
    """Let nobody in but Vercel's cron, which sends CRON_SECRET as a bearer token.

    Raises:
        Unauthenticated: it is another one, or none is set: then nobody is let in.
    """
    expected = settings().cron_secret
    given = request.headers.getlist("authorization")
    if expected is None:
        log("cron_refused", cause="CRON_SECRET is not set")
        raise Unauthenticated(NOT_THE_CRON)
    if len(given) != 1 or not hmac.compare_digest(given[0].encode(), f"Bearer {expected}".encode()):
        raise Unauthenticated(NOT_THE_CRON)


async def clean_up(database: Database) -> dict[str, Any]:
    """Delete what is older than the retention period (RETENTION_DAYS=0: nothing), and old counters.

    First, what killed functions have left behind of their answers is stored. Then it goes batch
    after batch, each a round trip and a transaction of its own, until nothing is left or the
    function's time is over; the next night goes on from there.

    Raises:
        DatabaseUnavailable: see `Database.run`; the batches before it stay deleted.
    """
    started, deleted, remains = time.monotonic(), 0, settings().retention_days > 0
    await recover_lapsed_turns(database, trace().deadline.cut_at)
    while remains and time.monotonic() < trace().deadline.cut_at:
        call = DELETE_OLD_CHAT_MESSAGES(retention_days=settings().retention_days, batch_size=BATCH)
        [row] = await database.run(call)
        deleted += row.deleted
        remains = row.deleted == BATCH
    await _delete_old_quotas(database)
    await delete_old_finished_streams(database, trace().deadline.cut_at)
    return {
        "deleted": deleted,
        "remaining": remains,
        "seconds": round(time.monotonic() - started, 3),
    }


async def _delete_old_quotas(database: Database) -> None:
    """Delete the counters that count nothing any more; what time does not allow, the next night."""
    call = DELETE_OLD_QUOTAS(batch_size=BATCH, now=None)
    while time.monotonic() < trace().deadline.cut_at:
        if len(await database.run(call)) < BATCH:
            break
