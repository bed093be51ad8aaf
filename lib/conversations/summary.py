"""The summary of a long conversation, as its owner sees it."""

from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

from lib.database.statements import Statement


@dataclass(frozen=True, slots=True)
class Summary:
    """The row of find_summary.

    Attributes:
        content: the text that the model gets in place of the messages.
        through_message_id: id of the last message that it tells; None: that message is deleted.
        model: the model that wrote it.
        created_at: when it was stored.
    """

    content: str
    through_message_id: str | None
    model: str | None
    created_at: datetime

    def to_json(self) -> dict[str, Any]:
        """Return the summary as clients see it."""
        return {column.name: getattr(self, column.name) for column in fields(self)}


FIND_SUMMARY = Statement("conversations/find_summary", Summary)
