"""What the browser tests run against: `python -m dev`, the scripted model, the built example."""

import asyncio
import json
import os
import shutil
import socket
import sys
import tempfile
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx2

from tests.support.product import JWT_SECRET, ROOT
from tests.support.serving import serve
from tests.web.model import AskedModel

EXAMPLE = ROOT / "examples/nextjs"
MODELS = [
    {"name": "Quick", "model": "quick", "default": True},
    {
        "name": "Thorough",
        "model": "thorough",
        "reasoning_efforts": ["low", "high"],
        "stand_in": "Quick",
    },
]
START_SECONDS = 60
END_SECONDS = 20


class CannotRunError(Exception):
    """A part did not start, or could not be built; the text is what it printed."""


@dataclass(frozen=True, slots=True)
class Stack:
    """Where everything runs."""

    playground_url: str
    example_url: str
    model_url: str


@asynccontextmanager
async def running_stack() -> AsyncGenerator[Stack]:
    """Start everything on free ports, with a database of its own; end all of it.

    Raises:
        CannotRunError: a part did not start.
    """
    parley_url, example_url = (f"http://127.0.0.1:{_free_port()}" for _ in range(2))
    await _build_example(parley_url)
    async with AsyncExitStack() as stack:
        model_url = await stack.enter_async_context(serve(AskedModel()))
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="parley-web-")))
        parley = _running_parley(folder, parley_url, example_url, model_url)
        await stack.enter_async_context(parley)
        await stack.enter_async_context(_running_example(folder, example_url))
        yield Stack(parley_url, example_url, model_url)


@asynccontextmanager
async def _running_parley(
    folder: Path, url: str, page_url: str, model_url: str
) -> AsyncGenerator[None]:
    """Run `python -m dev` in a copy of the checkout: no database and no `.env` of the developer."""
    clone = folder / "parley"
    await asyncio.to_thread(_copy_checkout, clone)
    variables = {
        "PORT": str(_port_of(url)),
        "ALLOWED_ORIGIN": page_url,
        "JWT_SECRET": JWT_SECRET,
        "LOCAL_ACCOUNTS": "true",
        "MESSAGES_PER_MINUTE": "0",
        "MESSAGES_PER_DAY": "0",
        "ANONYMOUS_PER_DAY": "0",
        "TOKENS_PER_DAY": "0",
        "BYTES_PER_DAY": "0",
        "OPENAI_BASE_URL": f"{model_url}/v1",
        "OPENAI_API_KEY": "not-needed",
        "MODELS": json.dumps(MODELS),
        "OPENAI_TITLE_MODEL": "title-model",  # which there is not: the first title stays
    }
    command = [sys.executable, "-m", "dev"]
    async with _running(command, clone, variables, f"{url}/api/health", folder / "parley.log"):
        yield


async def _build_example(parley_url: str) -> None:
    process = await asyncio.create_subprocess_exec(
        *("npm", "run", "build"),
        cwd=EXAMPLE,
        env=_environment({"NEXT_PUBLIC_API_URL": parley_url, "NODE_ENV": "production"}),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    if process.returncode != 0 or b"warn" in output.lower():
        raise CannotRunError(f"The example did not build without warnings:\n{output.decode()}")


@asynccontextmanager
async def _running_example(folder: Path, url: str) -> AsyncGenerator[None]:
    port = str(_port_of(url))
    command = ["node_modules/.bin/next", "start", "--hostname", "127.0.0.1", "--port", port]
    async with _running(command, EXAMPLE, {}, url, folder / "example.log"):
        yield


@asynccontextmanager
async def _running(
    command: Sequence[str], folder: Path, variables: Mapping[str, str], ready_url: str, log: Path
) -> AsyncGenerator[None]:
    """Run a server until it is not needed any more."""
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            *command,
            cwd=folder,
            env=_environment(variables),
            stdout=output,
            stderr=output,
            # Ctrl-C reaches this process alone, which then ends the others in their order.
            start_new_session=True,
        )
    try:
        await _wait_for(ready_url, process, log)
        yield
    finally:
        if process.returncode is None:
            process.terminate()
        try:
            await asyncio.wait_for(process.wait(), END_SECONDS)
        except TimeoutError:
            process.kill()
            await process.wait()


async def _wait_for(url: str, process: asyncio.subprocess.Process, log: Path) -> None:
    deadline = asyncio.get_running_loop().time() + START_SECONDS
    async with httpx2.AsyncClient(verify=False) as client:
        while asyncio.get_running_loop().time() < deadline and process.returncode is None:
            try:
                if (await client.get(url)).is_success:
                    return
            except httpx2.TransportError:
                pass
            await asyncio.sleep(0.1)
    printed = await asyncio.to_thread(log.read_text)
    raise CannotRunError(f"{url} does not answer:\n{printed}")


def _copy_checkout(clone: Path) -> None:
    for name in ("api", "dev", "lib", "public", "sql"):
        shutil.copytree(ROOT / name, clone / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "vercel.json", clone)
    # Postgres runs as another user where we are root, and has to get there.
    clone.parent.chmod(0o755)


def _environment(variables: Mapping[str, str]) -> dict[str, str]:
    """Return the variables of a part: none of the developer's but those that find programs."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    return {**kept, "NEXT_TELEMETRY_DISABLED": "1", **variables}


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


def _port_of(url: str) -> int:
    return int(url.rpartition(":")[2])
