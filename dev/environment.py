"""The variables: those that the developer has set, and values for the others."""

import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path

from dotenv import dotenv_values

from dev import model
from dev.terminal import CannotStart
from lib.settings import Settings, SettingsError, read_settings

DEFAULT_PORT = 3000
SECRET_BYTES = 32
# For servers that need no key; the `openai` package insists on one.
NO_KEY = "not-needed"
NOT_MADE_YET = "-" * SECRET_BYTES
MAY_BE_EMPTY = {each.name.upper() for each in fields(Settings) if each.metadata["may_be_empty"]}


@dataclass(frozen=True, slots=True)
class Environment:
    """The variables that are set, in the real environment or in `.env`, and mean something.

    An empty one counts as not set, but for those that `Settings` reads when they are empty.
    """

    variables: Mapping[str, str]

    @property
    def wants_postgres(self) -> bool:
        """Whether `make dev` must run a Postgres itself."""
        return "DATABASE_URL" not in self.variables

    @property
    def wants_model(self) -> bool:
        """Whether the embedded model is needed."""
        return not {"OPENAI_API_KEY", "OPENAI_BASE_URL"} & set(self.variables)

    @property
    def wants_jwt_secret(self) -> bool:
        """Whether `make dev` must make the secret that signs tokens."""
        return not {"JWT_SECRET", "JWT_JWKS_URL"} & set(self.variables)

    @property
    def port(self) -> int:
        """The port to listen on.

        Raises:
            CannotStart: PORT is no port.
        """
        port = self.variables.get("PORT", str(DEFAULT_PORT))
        if port.isascii() and port.isdigit() and 0 < int(port) < 2**16:
            return int(port)
        message = f"PORT must be a number from 1 to 65535, not {port!r}."
        raise CannotStart(message)

    @property
    def migrations_url(self) -> str:
        """The direct connection to the developer's own database."""
        return self.variables.get("DATABASE_URL_UNPOOLED") or self.variables["DATABASE_URL"]

    @property
    def schema(self) -> str | None:
        """The schema that Parley lives in; None: the database's first."""
        return self.variables.get("PARLEY_SCHEMA")

    def starts_the_same_as(self, other: "Environment") -> bool:
        """Tell whether both need the same processes, so that restarting the functions is enough."""
        names = ("PORT", "DATABASE_URL", "DATABASE_URL_UNPOOLED", "PARLEY_SCHEMA")
        return self.wants_model == other.wants_model and all(
            self.variables.get(name) == other.variables.get(name) for name in names
        )


def read(root: Path) -> Environment:
    """Read the environment and `.env`; where both set a variable, the environment wins.

    Raises:
        CannotStart: only DATABASE_URL_UNPOOLED is set, or values are not valid: it names them all.
    """
    file = dotenv_values(root / ".env")
    variables = {
        name: value
        for source in (file, os.environ)
        for name, value in source.items()
        if value is not None and (value.strip() or name in MAY_BE_EMPTY)
    }
    if "DATABASE_URL_UNPOOLED" in variables and "DATABASE_URL" not in variables:
        message = "DATABASE_URL_UNPOOLED is set, but DATABASE_URL is not: set both, or neither."
        raise CannotStart(message)
    environment = Environment(variables)
    # Checked before anything is started, with stand-ins for the values that `make dev` will make.
    made = {"DATABASE_URL": "postgresql://parley@127.0.0.1/parley"}
    if environment.wants_jwt_secret:
        made["JWT_SECRET"] = NOT_MADE_YET
    try:
        read_settings(made | variables)
    except SettingsError as mistakes:
        raise CannotStart(str(mistakes)) from None
    return environment


def for_functions(
    environment: Environment, data: Path, database_url: str | None, model_url: str | None
) -> dict[str, str]:
    """Return all variables of the functions, with those of the parts that run here.

    Args:
        environment: the variables that are set.
        data: the folder that keeps the secrets, so that tokens survive a restart.
        database_url: the embedded Postgres, if it runs.
        model_url: the embedded model, if it runs.
    """
    made = {"CRON_SECRET": secret(data, "cron"), "METRICS_TOKEN": secret(data, "metrics")}
    if environment.wants_jwt_secret:
        made["JWT_SECRET"] = secret(data, "jwt")
    if database_url:
        made |= {"DATABASE_URL": database_url, "DATABASE_URL_UNPOOLED": database_url}
    if model_url:
        made |= {"OPENAI_BASE_URL": model_url, "OPENAI_MODEL": model.NAME}
        made["MAX_PROMPT_TOKENS"] = str(model.PROMPT_TOKENS)
    if model_url or "OPENAI_BASE_URL" in environment.variables:
        made["OPENAI_API_KEY"] = NO_KEY
    return made | dict(environment.variables)


def secret(data: Path, name: str) -> str:
    """Return a secret, which is made at its first use; only the owner can read its file."""
    file = data / f"{name}.secret"
    if not file.exists():
        partial = file.with_suffix(".new")
        partial.unlink(missing_ok=True)
        partial.touch(mode=0o600)
        partial.write_text(secrets.token_urlsafe(SECRET_BYTES))
        partial.rename(file)
    return file.read_text()
