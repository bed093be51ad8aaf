"""The answers that this process is making, by the attempts that make them."""

from typing import TYPE_CHECKING
from uuid import UUID

if TYPE_CHECKING:
    # What makes answers is imported with the first message alone.
    from lib.answers import Answer

running_answers: "dict[UUID, Answer]" = {}
