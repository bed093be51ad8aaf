"""The body of PATCH /api/messages."""

from typing import Annotated

from pydantic import BaseModel, Field, StrictBool

from lib.validation import Storable

MAX_NOTE_CHARS = 1000


class Mark(BaseModel, defer_build=True):
    """The body of PATCH /api/messages."""

    is_mistake: StrictBool
    mistake_note: Annotated[Storable, Field(max_length=MAX_NOTE_CHARS)] | None = None
