"""The bodies of /api/tasks, of which the tools for tasks take theirs."""

from typing import Annotated

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    Field,
    StrictBool,
    model_validator,
)

from lib.texts import storable
from lib.validation import Storable


def _one_line(title: object) -> object:
    return " ".join(title.split()) if isinstance(title, str) else title


# Measured as it is stored: spaces around it are not part of it.
Title = Annotated[
    str,
    Field(min_length=1, max_length=200, description="What is to be done"),
    BeforeValidator(_one_line),
    AfterValidator(storable),
]
Description = Annotated[Storable, Field(max_length=1000, description="Details")]


class NewTask(BaseModel, defer_build=True):
    """The body of POST /api/tasks."""

    title: Title
    description: Description = ""


class TaskChange(BaseModel, defer_build=True):
    """The body of PATCH /api/tasks: at least one of these."""

    title: Title | None = None
    description: Description | None = None
    completed: StrictBool | None = None

    @model_validator(mode="after")
    def _not_empty(self) -> "TaskChange":
        if self.title is None and self.description is None and self.completed is None:
            message = "must have title, description or completed"
            raise ValueError(message)
        return self
