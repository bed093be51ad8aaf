"""The bodies of /api/auth and /api/tasks; the tools for tasks take the same arguments."""

from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    Field,
    StrictBool,
    ValidationInfo,
    field_validator,
    model_validator,
)

from lib.conversations.bodies import Instructions, stored_instructions
from lib.http.validation import Storable
from lib.texts import normalized_address, normalized_password, storable

MIN_PASSWORD_CHARS = 8
# bcrypt ignores the bytes after these.
MAX_PASSWORD_BYTES = 72
MAX_CURRENT_PASSWORD_CHARS = 1000
MAX_EMAIL_CHARS = 255


def _one_form(address: object) -> object:
    return normalized_address(address) if isinstance(address, str) else address


def _is_address(address: str) -> str:
    local, at, domain = address.rpartition("@")
    # Only the shape: no check but a message to the address can show that it has a mailbox.
    has_space = any(character.isspace() for character in local + domain)
    if not (local and at and domain) or has_space:
        message = "must be an e-mail address"
        raise ValueError(message)
    return address


def _fits_bcrypt(password: str) -> str:
    return _one_fits(password, normalized_password(password))


def _one_fits(password: str, *forms: str) -> str:
    """Return a password of which one of these forms may have been hashed."""
    for form in forms:
        if len(form) >= MIN_PASSWORD_CHARS and len(form.encode()) <= MAX_PASSWORD_BYTES:
            return password
    message = f"must have {MIN_PASSWORD_CHARS} characters to {MAX_PASSWORD_BYTES} bytes"
    raise ValueError(message)


# Their lengths count in the form in which they are stored.
Address = Annotated[
    Storable,
    Field(max_length=MAX_EMAIL_CHARS),
    BeforeValidator(_one_form),
    AfterValidator(_is_address),
]
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
    email: Address
    password: Annotated[str, AfterValidator(storable)]
    name: Annotated[Storable, Field(min_length=1, max_length=255)] | None = None

    @field_validator("password")
    @classmethod
    def _fits(cls, password: str, given: ValidationInfo) -> str:
        if given.data.get("action") == "login":
            # An account from before passwords were normalized has the hash of what was given.
            return _one_fits(password, normalized_password(password), password)
        return _fits_bcrypt(password)


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


class SettingsChange(BaseModel, defer_build=True):
    """The body of PATCH /api/auth.

    Attributes:
        instructions: what the model is to know or to do in each conversation; null: nothing.
    """

    instructions: Instructions

    @property
    def stored_instructions(self) -> str | None:
        """The instructions as they are stored; None: there are none."""
        return stored_instructions(self.instructions)


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
