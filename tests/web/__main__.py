"""`python -m tests.web`, behind `make test-web`: start everything, drive a browser through it.

Arguments go to Playwright, such as `--project example` or `-g 'two tabs'`.
"""

import asyncio
import logging
import os
import shutil
import signal
import sys
from pathlib import Path

from tests.support.product import JWT_SECRET
from tests.web.stack import CannotRunError, Stack, running_stack

HERE = Path(__file__).parent
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def main() -> int:
    """Return Playwright's exit status; 1 where something is missing."""
    if not shutil.which("npm"):
        sys.stderr.write("npm is missing: install Node 22 or later (https://nodejs.org).\n")
        return 1
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        sys.stderr.write("Chromium is missing. On Debian: apt-get install chromium\n")
        return 1
    # The model's server would tell of each connection that it was asked to cut.
    logging.getLogger("uvicorn").addHandler(logging.NullHandler())
    try:
        return asyncio.run(_run(browser, sys.argv[1:]))
    except CannotRunError as problem:
        sys.stderr.write(f"{problem}\n")
        return 1
    except (KeyboardInterrupt, asyncio.CancelledError):
        return 130


async def _run(browser: str, arguments: list[str]) -> int:
    # A runner that ends us in the middle must find nothing left: as Ctrl-C does.
    me = asyncio.current_task()
    assert me is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, me.cancel)
    # Playwright does not look at types.
    if status := await _call("tsc", "--noEmit"):
        return status
    async with running_stack() as stack:
        return await _call("playwright", "test", *arguments, **_variables(stack, browser))


async def _call(program: str, *arguments: str, **variables: str) -> int:
    """Run a program of the packages, and return its exit status."""
    process = await asyncio.create_subprocess_exec(
        *(f"node_modules/.bin/{program}", *arguments), cwd=HERE, env=os.environ | variables
    )
    try:
        return await process.wait()
    finally:
        if process.returncode is None:
            process.terminate()
            await process.wait()


def _variables(stack: Stack, browser: str) -> dict[str, str]:
    return {
        "CHROMIUM": browser,
        "EXAMPLE_URL": stack.example_url,
        "JWT_SECRET": JWT_SECRET,
        "MODEL_URL": stack.model_url,
        "PLAYGROUND_URL": stack.playground_url,
    }


if __name__ == "__main__":
    sys.exit(main())
