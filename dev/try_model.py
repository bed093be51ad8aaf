"""`python -m dev.try_model`, behind `make try-model`: the configured provider, tried turn by turn.

Runs the product as `make dev` does, with a database of its own that is thrown away afterwards, and
the provider of `.env`. Prints a row for each turn; the exit code is 1 if any turn failed.
"""

import os
import signal
import socket
import sys
import tempfile
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from urllib.parse import urlsplit

from dev import children, environment
from dev.banner import dev_token
from dev.environment import Environment
from dev.postgres import programs, start_postgres
from dev.psql import make_database, migrate
from dev.terminal import CannotStart, require, tell
from dev.trial import Outcome, Trial
from lib.settings import read_settings

SERVER_SECONDS = 30
# Parley itself answers before its deadline; this is for its last words.
GRACE_SECONDS = 30
# Those of the developer's own deployment: the trial has its own database, tokens and quotas.
LEFT_OUT = frozenset(
    {
        *("DATABASE_URL", "DATABASE_URL_UNPOOLED", "LOCAL_ACCOUNTS", "AUTH_REQUIRED"),
        *("JWT_SECRET", "JWT_JWKS_URL", "JWT_ISSUER", "JWT_AUDIENCE", "RETENTION_DAYS"),
    }
)
UNLIMITED = dict.fromkeys(
    (
        "MESSAGES_PER_MINUTE",
        "MESSAGES_PER_DAY",
        "ANONYMOUS_PER_DAY",
        "TOKENS_PER_DAY",
        "BYTES_PER_DAY",
    ),
    "0",
)
COLUMNS = "{:26} {:8} {:>11} {:>7} {:>7}  {}"


def main() -> int:
    """Try the provider, and return the exit code.

    Raises:
        CannotStart: there is no provider to try, or the product does not start.
    """
    root = Path(__file__).resolve().parent.parent
    os.chdir(root)
    signal.signal(signal.SIGTERM, _interrupt)
    setup = environment.read(root)
    if setup.wants_model:
        message = (
            "OPENAI_API_KEY is not set, so there is no provider to try: put it into .env or the "
            "environment. (For a server that needs no key, set OPENAI_BASE_URL alone.) "
            "docs/providers.md has the variables for each provider."
        )
        raise CannotStart(message)
    log = root / ".parley" / "try-model.log"
    log.parent.mkdir(mode=0o700, exist_ok=True)
    with (
        tempfile.TemporaryDirectory(prefix="parley-") as folder,
        _running(root, Path(folder), setup, log) as (base_url, variables),
    ):
        settings = read_settings(variables)
        # Without the query and the credentials that a base URL may have.
        address = urlsplit(settings.openai_base_url)
        host = address.netloc.rpartition("@")[2]
        print(f"{settings.openai_model} at {address.scheme}://{host}{address.path}\n")
        timeout_seconds = settings.max_duration_seconds + GRACE_SECONDS
        trial = Trial(base_url, dev_token(variables) or "", timeout_seconds)
        outcomes = _report(trial)
    failed = sum(1 for outcome in outcomes if outcome.failure)
    print(f"\n{len(outcomes) - failed} of {len(outcomes)} ok. Log of the functions: {log}")
    return 1 if failed else 0


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


@contextmanager
def _running(
    root: Path, folder: Path, setup: Environment, log: Path
) -> Generator[tuple[str, Mapping[str, str]]]:
    """Run the product until the end of the block.

    Args:
        root: the checkout.
        folder: holds the database and the secrets.
        setup: the developer's variables.
        log: the file for the log of the functions.

    Yields:
        The product's address, and its variables.

    Raises:
        CannotStart: a part does not start.
    """
    kept = {name: value for name, value in setup.variables.items() if name not in LEFT_OUT}
    # Postgres runs as another user if this one is root.
    folder.chmod(0o755)
    server = start_postgres(folder / "postgres", durable=False)
    try:
        make_database(programs() / "psql", server.url)
        url = server.url_of("parley", "parley")
        migrate(programs() / "psql", url, root, setup.schema)
        secrets = folder / "secrets"
        secrets.mkdir(mode=0o700)
        variables = environment.for_functions(Environment(kept | UNLIMITED), secrets, url, None)
        with socket.create_server(("127.0.0.1", 0), backlog=128) as listener:
            descriptor = listener.fileno()
            functions = children.start(
                [sys.executable, "-m", "dev.server", str(descriptor)],
                environment=variables,
                log=log,
                pass_fds=[descriptor],
            )
            try:
                if not functions.wait_until_ready(SERVER_SECONDS):
                    message = f"The functions did not start; see {log}"
                    raise CannotStart(message)
                yield f"http://127.0.0.1:{listener.getsockname()[1]}", variables
            finally:
                functions.stop()
    finally:
        server.stop()


def _report(trial: Trial) -> list[Outcome]:
    """Take the turns of a trial, and print a row for each as soon as it is over."""
    _print_row("turn", "result", "first token", "in", "out", "")
    outcomes: list[Outcome] = []
    for outcome in trial.run():
        outcomes.append(outcome)
        seconds = outcome.first_token_seconds
        _print_row(
            outcome.name,
            "FAILED" if outcome.failure else "ok",
            "" if seconds is None else f"{seconds:.2f} s",
            _count(outcome.prompt_tokens),
            _count(outcome.completion_tokens),
            outcome.failure or outcome.remark,
        )
    return outcomes


def _count(tokens: int | None) -> str:
    return "" if tokens is None else str(tokens)


def _print_row(*cells: str) -> None:
    print(COLUMNS.format(*cells).rstrip(), flush=True)


if __name__ == "__main__":
    try:
        require("dotenv", "jwt", "httpx2", "uvicorn")
        sys.exit(main())
    except CannotStart as problem:
        tell(problem)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)
