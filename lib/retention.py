"""Retention: what is older than RETENTION_DAYS goes."""

import hmac
import time
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request

from lib.database import Database
from lib.problems import Unauthenticated
from lib.settings import settings
from lib.statements import Statement
from lib.trace import log


@dataclass(frozen=True, slots=True)
class Deleted:
    """The row of delete_old_chat_messages."""

    deleted: int


DELETE_OLD_CHAT_MESSAGES = Statement("delete_old_chat_messages", Deleted)


def check_cron_secret(request: Request) -> None:
    """Let nobody in but Vercel's cron, which sends CRON_SECRET as a bearer token.

    Raises:
        Unauthenticated: it is another one, or none is set: then nobody is let in.
    """
    expected = settings().cron_secret
    given = request.headers.getlist("authorization")
    if expected is None:
        log("cron_refused", cause="CRON_SECRET is not set")
        raise Unauthenticated
    if len(given) != 1 or not hmac.compare_digest(given[0].encode(), f"Bearer {expected}".encode()):
        raise Unauthenticated


async def clean_up(database: Database) -> dict[str, Any]:
    """Delete what is older than the retention period; with RETENTION_DAYS=0, nothing.

    Raises:
        DatabaseUnavailable: see `Database.run`.
    """
    started = time.monotonic()
    deleted = 0
    if days := settings().retention_days:
        [row] = await database.run(DELETE_OLD_CHAT_MESSAGES(retention_days=days))
        deleted = row.deleted
    return {"deleted": deleted, "seconds": round(time.monotonic() - started, 3)}
