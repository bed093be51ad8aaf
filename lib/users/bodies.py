"""The bodies of /api/auth and /api/tasks; the tools for tasks take the same arguments."""

from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    Field,
    StrictBool,
    field_validator,
    model_validator,
)

from lib.http.validation import Storable
from lib.texts import storable

MIN_PASSWORD_CHARS = 8
# bcrypt ignores the bytes after these.
MAX_PASSWORD_BYTES = 72
MAX_CURRENT_PASSWORD_CHARS = 1000
MAX_EMAIL_CHARS = 255


def _fits_bcrypt(password: str) -> str:
    if len(password) < MIN_PASSWORD_CHARS or len(password.encode()) > MAX_PASSWORD_BYTES:
        message = f"must have {MIN_PASSWORD_CHARS} characters to {MAX_PASSWORD_BYTES} bytes"
        raise ValueError(message)
    return password


Password = Annotated[str, AfterValidator(storable), AfterValidator(_fits_bcrypt)]
# Compared with the stored hash: a password that could not have been set is a wrong one.
CurrentPassword = Annotated[Storable, Field(min_length=1, max_length=MAX_CURRENT_PASSWORD_CHARS)]


class Action(BaseModel, defer_build=True):
    """The field of the body of POST /api/auth that says which of the bodies it is."""

    action: Literal["register", "login", "change_password", "sign_out_everywhere"]


class Credentials(BaseModel, defer_build=True):
    """The body of POST /api/auth to register or to log in.

    Attributes:
        password: at most 72 bytes.
        name: the display name of a new account.
    """

    action: Literal["register", "login"]
    email: Annotated[Storable, Field(max_length=MAX_EMAIL_CHARS)]
    password: Password
    name: Annotated[Storable, Field(min_length=1, max_length=255)] | None = None

    @field_validator("email")
    @classmethod
    def _is_address(cls, email: str) -> str:
        local, at, domain = email.strip().lower().rpartition("@")
        # Only the shape: no check but a message to the address can show that it has a mailbox.
        has_space = any(character.isspace() for character in local + domain)
        if not (local and at and domain) or has_space or len(local + domain) >= MAX_EMAIL_CHARS:
            message = "must be an e-mail address"
            raise ValueError(message)
        return f"{local}@{domain}"


class PasswordChange(BaseModel, defer_build=True):
    """The body of POST /api/auth to change the password.

    Attributes:
        password: the one until now.
        new_password: at most 72 bytes.
    """

    action: Literal["change_password"]
    password: CurrentPassword
    new_password: Password


class SignOut(BaseModel, defer_build=True):
    """The body of POST /api/auth to end all tokens of the user."""

    action: Literal["sign_out_everywhere"]


class Confirmation(BaseModel, defer_build=True):
    """The body of DELETE /api/auth, which a local account needs.

    Attributes:
        password: the account's.
    """

    password: CurrentPassword


def _one_line(title: object) -> object:
    return " ".join(title.split()) if isinstance(title, str) else title


# Its length counts after the spaces are folded, as it is stored.
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
    """The body of PATCH /api/tasks: at least one of these fields."""

    title: Title | None = None
    description: Description | None = None
    completed: StrictBool | None = None

    @model_validator(mode="after")
    def _not_empty(self) -> "TaskChange":
        if self.title is None and self.description is None and self.completed is None:
            message = "must have title, description or completed"
            raise ValueError(message)
        return self
