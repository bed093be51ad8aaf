"""The body of POST /api/auth."""

from typing import Annotated, Literal

from pydantic import BaseModel, Field, field_validator

from lib.validation import Storable

MIN_PASSWORD_CHARS = 8
# bcrypt reads no further.
MAX_PASSWORD_BYTES = 72
MAX_EMAIL_CHARS = 255


class Credentials(BaseModel, defer_build=True):
    """The body of POST /api/auth."""

    action: Literal["register", "login"]
    email: Annotated[Storable, Field(max_length=MAX_EMAIL_CHARS)]
    password: Storable
    name: Annotated[Storable, Field(min_length=1, max_length=255)] | None = None

    @field_validator("email")
    @classmethod
    def _is_address(cls, email: str) -> str:
        local, at, domain = email.strip().lower().rpartition("@")
        # Whether there is a mailbox behind it only a message to it could tell.
        has_space = any(character.isspace() for character in local + domain)
        if not (local and at and domain) or has_space or len(local + domain) >= MAX_EMAIL_CHARS:
            message = "must be an e-mail address"
            raise ValueError(message)
        return f"{local}@{domain}"

    @field_validator("password")
    @classmethod
    def _fits_bcrypt(cls, password: str) -> str:
        if len(password) < MIN_PASSWORD_CHARS or len(password.encode()) > MAX_PASSWORD_BYTES:
            message = f"must have {MIN_PASSWORD_CHARS} characters to {MAX_PASSWORD_BYTES} bytes"
            raise ValueError(message)
        return password
