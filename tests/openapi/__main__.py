"""`python -m tests.openapi`, behind `make test-api`: Schemathesis against the running product.

All functions, behind real HTTP, with a Postgres and a scripted model that exist for a moment.
"""

import argparse
import asyncio
import os
import sys
import tempfile
from collections.abc import Generator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path

import httpx2

import lib.users.accounts
import lib.users.attempts
from dev.postgres import programs, start_postgres
from dev.psql import make_database, migrate
from dev.routing import application
from tests.support.model_server import ScriptedModel
from tests.support.product import CRON_SECRET, JWT_SECRET, METRICS_TOKEN, ROOT, headers_of, token_of
from tests.support.serving import serve

FOLDER = Path(__file__).parent
DESCRIPTION = ROOT / "public" / "openapi.json"
# Random requests for each operation, beside those that the description's limits suggest, and beside
# sequences of requests.
EXAMPLES = 60
# The user of all requests, and the user of those that delete the caller.
USER, LEAVER = "ann", "bob"


async def main() -> int:
    """Run everything; return Schemathesis's exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--examples", type=int, default=EXAMPLES, help="for each operation")
    arguments, options = parser.parse_known_args()
    async with AsyncExitStack() as stack:
        model_url = await stack.enter_async_context(serve(ScriptedModel()))
        os.environ.update(_environment(stack.enter_context(_database()), model_url))
        # Logging in is slow, and rarely allowed, on purpose.
        lib.users.accounts.BCRYPT_ROUNDS = 4
        for name in ("PAIR", "CLIENT", "ADDRESS", "CLIENT_REGISTERING", "ADDRESS_REGISTERING"):
            setattr(lib.users.attempts, name, lib.users.attempts.Limit(1_000_000))
        base_url = await stack.enter_async_context(serve(application(ROOT)))
        await _say_something(base_url)
        return await _run_schemathesis(
            base_url, ["--max-examples", str(arguments.examples), *options]
        )


@contextmanager
def _database() -> Generator[str]:
    """Start a Postgres; yield the URL of its migrated database."""
    with tempfile.TemporaryDirectory(prefix="parley-") as folder:
        server = start_postgres(Path(folder) / "postgres", durable=False)
        try:
            psql = programs() / "psql"
            make_database(psql, server.url)
            url = server.url_of("parley", "parley")
            migrate(psql, url, ROOT)
            yield url
        finally:
            server.stop()


def _environment(database_url: str, model_url: str) -> dict[str, str]:
    return {
        "DATABASE_URL": database_url,
        "OPENAI_API_KEY": "sk-test",
        "OPENAI_BASE_URL": f"{model_url}/v1",
        "JWT_SECRET": JWT_SECRET,
        "CRON_SECRET": CRON_SECRET,
        "METRICS_TOKEN": METRICS_TOKEN,
        "LOCAL_ACCOUNTS": "true",
        "MESSAGES_PER_MINUTE": "0",
        "MESSAGES_PER_DAY": "0",
        "ANONYMOUS_PER_DAY": "0",
        "TOKENS_PER_DAY": "0",
        "BYTES_PER_DAY": "0",
    }


async def _say_something(base_url: str) -> None:
    """Make the conversation 0, which Schemathesis asks for first."""
    async with httpx2.AsyncClient(base_url=base_url, timeout=60) as client:
        body = {"message": "Hello!", "conversation_id": "0"}
        response = await client.post("/api/chat", json=body, headers=headers_of(USER))
        response.raise_for_status()


async def _run_schemathesis(base_url: str, options: list[str]) -> int:
    config = ["--config-file", str(FOLDER / "schemathesis.toml")]
    running = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "schemathesis.cli", *config),
        *("run", str(DESCRIPTION), "--url", base_url, "--checks", "all", *options),
        cwd=ROOT,
        env=os.environ
        | {"USER_TOKEN": token_of(USER), "LEAVER_TOKEN": token_of(LEAVER), "PYTHONPATH": str(ROOT)},
    )
    return await running.wait()


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
