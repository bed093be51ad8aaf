"""The text that `make dev` prints when everything runs: the addresses, and commands to try."""

import shlex
import time
import warnings
from collections.abc import Mapping

import jwt

from lib.settings import listed, secrets

YEAR_SECONDS = 365 * 24 * 3600
USER = {"sub": "dev-user", "email": "dev@example.com", "name": "Dev User"}

TEXT = """
Parley runs at {url} with {model}. Ctrl-C ends it.

Chat:
  curl -N {url}/api/chat -H 'content-type: application/json' -d {message}

As a user {user}:
  {token}
  curl {url}/api/conversations -H "authorization: Bearer $TOKEN"

The nightly cleanup, and the metrics:
  curl {url}/api/cron/cleanup -H {cron}
  curl '{url}/api/metrics?format=json' -H {metrics}

The database:
  {psql} {database}

{data}
"""


def banner(port: int, variables: Mapping[str, str], psql: str, *, wants_postgres: bool) -> str:
    """Return the text.

    Args:
        port: the port that the server listens on.
        variables: the variables of the functions.
        psql: the path of psql.
        wants_postgres: whether `make dev` runs the database itself.
    """
    holds = "the database, secrets and logs" if wants_postgres else "secrets and logs"
    token = dev_token(variables)
    return TEXT.format(
        message="""'{"message": "Hello!", "stream": true}'""",
        url=f"http://127.0.0.1:{port}",
        model=variables.get("OPENAI_MODEL", "the default model"),
        user=f"({USER['email']})" if token else "of your identity provider",
        token=f"TOKEN={token}" if token else "TOKEN=  # one that it has signed",
        cron=shlex.quote(f"authorization: Bearer {variables['CRON_SECRET']}"),
        metrics=shlex.quote(f"authorization: Bearer {variables['METRICS_TOKEN']}"),
        psql=shlex.quote(psql),
        # A database of the developer's has a password, which does not belong in a terminal.
        database=shlex.quote(variables["DATABASE_URL"]) if wants_postgres else '"$DATABASE_URL"',
        data=f".parley holds {holds}. To start afresh, end this and: rm -rf .parley",
    )


def dev_token(variables: Mapping[str, str]) -> str | None:
    """Return a token of the test user, good for a year; None if we cannot sign one."""
    if "JWT_SECRET" not in variables:
        return None
    now = int(time.time())
    # With `iat`, a restart brings a test user back whose account was deleted.
    claims: dict[str, str | int] = {**USER, "iat": now, "exp": now + YEAR_SECONDS}
    for claim, variable in (("iss", "JWT_ISSUER"), ("aud", "JWT_AUDIENCE")):
        # Of several each counts.
        if accepted := listed(variables.get(variable, "")):
            claims[claim] = accepted[0]
    with warnings.catch_warnings():
        # A secret that is too short is for the functions to complain about: they refuse to start.
        warnings.simplefilter("ignore")
        return jwt.encode(claims, secrets(1)(variables["JWT_SECRET"])[0], algorithm="HS256")
