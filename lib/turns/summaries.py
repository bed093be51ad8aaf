"""Summaries of the messages that leave the window: claimed, read, stored, or given up.

The database decides who makes one (sql/queries/turns/claim_summary.sql), as it does for answers.
"""

from dataclasses import dataclass
from datetime import datetime

from lib.database.statements import Statement


@dataclass(frozen=True, slots=True)
class Claim:
    """The row of claim_summary.

    Attributes:
        is_claimed: this attempt may make the summary.
        lease_remaining_seconds: of the attempt that makes one at this moment; None: none does.
    """

    is_claimed: bool
    lease_remaining_seconds: float | None


@dataclass(frozen=True, slots=True)
class PastMessage:
    """A row of list_unsummarized.

    Attributes:
        id: `chat_messages.id`.
        role: its author.
        content: its text, or the beginning of it.
        tool_calls: the tools that ran for an answer, as JSON, or the beginning of it.
        file_names: of its files.
        created_at: when it was stored.
    """

    id: int
    role: str
    content: str
    tool_calls: str | None
    file_names: str | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class SummarizedThrough:
    """The row of store_summary and of release_summary."""

    through_id: int


CLAIM_SUMMARY = Statement("turns/claim_summary", Claim)
LIST_UNSUMMARIZED = Statement("turns/list_unsummarized", PastMessage)
STORE_SUMMARY = Statement("turns/store_summary", SummarizedThrough)
RELEASE_SUMMARY = Statement("turns/release_summary", SummarizedThrough)
