"""The bodies of PATCH /api/conversations and PATCH /api/messages."""

from typing import Annotated

from pydantic import BaseModel, Field, StrictBool, field_validator, model_validator

from lib.conversations.conversation import (
    MAX_INSTRUCTIONS_CHARS,
    MAX_TITLE_CHARS,
    ConversationStatus,
)
from lib.conversations.message import MAX_NOTE_CHARS
from lib.http.validation import Storable

# Blank ones are none.
Instructions = Annotated[Storable, Field(max_length=MAX_INSTRUCTIONS_CHARS)] | None


class Change(BaseModel, defer_build=True):
    """The body of PATCH /api/conversations: at least one of these fields.

    Attributes:
        title: not null.
        status: not null.
        instructions: what the model is to know or to do in this conversation; null: nothing.
        claim: give an anonymous conversation to the user who asks.
    """

    title: Storable | None = None
    status: ConversationStatus | None = None
    instructions: Instructions = None
    claim: bool | None = None

    @field_validator("title", "status", mode="before")
    @classmethod
    def _not_null(cls, value: object) -> object:
        # Refuse null: a title can be changed, but not removed.
        if value is None:
            message = "must not be null"
            raise ValueError(message)
        return value

    @field_validator("title")
    @classmethod
    def _one_line(cls, title: str) -> str:
        line = " ".join(title.split())
        if not 1 <= len(line) <= MAX_TITLE_CHARS:
            message = f"must have 1 to {MAX_TITLE_CHARS} characters, and has {len(line)}"
            raise ValueError(message)
        return line

    @field_validator("claim", mode="before")
    @classmethod
    def _true(cls, claim: object) -> object:
        # Literal[True] would accept 1 as well.
        if claim is not True:
            message = "must be true"
            raise ValueError(message)
        return claim

    @model_validator(mode="after")
    def _not_empty(self) -> "Change":
        if not self.model_fields_set:
            message = "must have title, status, instructions or claim"
            raise ValueError(message)
        return self

    @property
    def only_claims(self) -> bool:
        """The conversation itself is not to change."""
        return self.model_fields_set == {"claim"}

    @property
    def new_instructions(self) -> str | None:
        """The instructions from now on; '': none; None: they stay as they are."""
        if "instructions" not in self.model_fields_set:
            return None
        return stored_instructions(self.instructions) or ""


def stored_instructions(text: str | None) -> str | None:
    """Return instructions as they are stored; None: there are none, or blank ones."""
    return text if text and text.strip() else None


class Mark(BaseModel, defer_build=True):
    """The body of PATCH /api/messages."""

    is_mistake: StrictBool
    mistake_note: Annotated[Storable, Field(max_length=MAX_NOTE_CHARS)] | None = None
