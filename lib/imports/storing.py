"""An import, from the body to the report."""

import asyncio
import json
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from lib.database.acting import remember_user
from lib.database.client import Database
from lib.database.statements import Statement
from lib.http.responses import plain_json
from lib.identity.callers import Caller
from lib.imports import chatgpt, open_webui
from lib.imports.checking import Checking, Rows
from lib.imports.drafts import Draft, Format
from lib.imports.parley import add_lines
from lib.imports.reading import entries_of
from lib.imports.report import report_of
from lib.problems import InvalidRequest, StorageQuotaExceeded
from lib.settings import settings
from lib.turns.quota import subjects_of

NO_BYTES_LEFT = (
    "With these messages you would store more than you may in a day, so none of them was stored. "
    "Send the same again tomorrow: what was stored before is not stored twice."
)
TOO_MANY_BYTES = (
    "These messages have more bytes than you may store in a day, so none of them was stored. Send "
    "fewer in a request, over several days."
)
NAMES: dict[Format, str] = {
    "parley": "an export of Parley: JSON lines with a type",
    "chatgpt": "ChatGPT's conversations.json: conversations with an id and a mapping",
    "open-webui": "open-webui's export of chats: chats with an id and a history",
}


@dataclass(frozen=True, slots=True)
class Outcome:
    """A row of store_import."""

    kind: Literal["conversation", "message"]
    outcome: str
    row_count: int


# Thousands of messages with their entries in the index of the search take some seconds.
STORE_IMPORT = Statement("imports/store_import", Outcome, timeout_ms=20_000)
type AddEntry = Callable[[Draft, object], None]
ADD: Mapping[Format, AddEntry] = {
    "chatgpt": chatgpt.add_conversation,
    "open-webui": open_webui.add_conversation,
}


async def store_import(
    database: Database,
    caller: Caller,
    source: Format,
    body: bytes,
    now: datetime | None = None,
) -> dict[str, Any]:
    """Store what a body brings, and return the report.

    One round trip: remember_user and store_import. Safe to repeat: what is stored is not stored
    again. The model is not asked, and no answers are counted; bytes are.

    Args:
        database: the database.
        caller: a user.
        source: the format of the body.
        body: JSON lines, or a JSON array.
        now: the time; None: the clocks'.

    Raises:
        InvalidRequest: when nothing in the body is of the format.
        MalformedRequest: when the body cannot be parsed.
        StorageQuotaExceeded: when the caller may not store so many bytes today; stores nothing.
        Problem: see `Database.run_as`.
    """
    # In a thread, so that streams of the same process go on in between.
    draft, rows = await asyncio.to_thread(_read, caller.user_id or "", source, body, now)
    subjects = subjects_of(caller)
    call = STORE_IMPORT(
        user_id=caller.user_id,
        given_conversations=json.dumps(rows.conversations, default=plain_json),
        given_messages=json.dumps(rows.messages, default=plain_json),
        max_messages=settings().max_conversation_messages,
        quota_subjects=[subject.name for subject in subjects],
        bytes_per_day=[subject.bytes_per_day for subject in subjects],
        now=now,
    )
    # Also where there is nothing to store: whether the account may, the database knows.
    try:
        _, stored = await database.run_as(caller, None, remember_user(caller), call)
    except StorageQuotaExceeded as problem:
        detail = NO_BYTES_LEFT if "retry-after" in problem.headers else TOO_MANY_BYTES
        raise StorageQuotaExceeded(detail, headers=problem.headers) from problem
    outcomes = Counter({(row.kind, row.outcome): row.row_count for row in stored})
    outcomes["message", "already_there"] += rows.repeated
    return report_of(outcomes, draft.left_out)


def _read(owner_id: str, source: Format, body: bytes, now: datetime | None) -> tuple[Draft, Rows]:
    draft = Draft(owner_id)
    entries = entries_of(body)
    if source == "parley":
        add_lines(draft, entries)
    else:
        for entry in entries:
            ADD[source](draft, entry)
    if entries and not draft.is_recognized:
        detail = f"must be {NAMES[source]}. Nothing in it is, so nothing was stored"
        raise InvalidRequest(errors=[{"field": "", "detail": detail}])
    return draft, Checking(draft, now).rows()
