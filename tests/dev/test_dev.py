"""`python -m dev`: the whole product on one machine, started as `make dev` starts it."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path

import httpx2
import pytest

from dev.banner import USER, banner
from dev.environment import Environment, for_functions, read
from dev.terminal import CannotStart
from lib.settings import Settings, read_settings
from tests.support.identity_provider import accepting
from tests.support.product import CHAT_ID, ROOT, sdk_body

START_SECONDS = 60


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a copy of the checkout, with its data folder to be made."""
    folder = tmp_path_factory.mktemp("a clone")
    for name in ("api", "dev", "lib", "public", "sql"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "vercel.json", folder)
    return folder


def test_make_dev_chats_and_keeps_the_conversation_over_a_restart(clone: Path) -> None:
    with _running(clone) as (base_url, banner):
        page = httpx2.get(base_url)
        answer = httpx2.post(f"{base_url}/api/chat", json=sdk_body("Hi!"), timeout=60)
        token = re.search(r"TOKEN=(\S+)", banner)
    with _running(clone) as (base_url, _):
        history = httpx2.get(f"{base_url}/api/history", params={"conversation_id": CHAT_ID}).json()
        assert token is not None
        headers = {"authorization": f"Bearer {token[1]}"}
        listed = httpx2.get(f"{base_url}/api/conversations", headers=headers)

    assert "<title>" in page.text
    assert answer.status_code == 200, answer.text
    assert answer.text.endswith("data: [DONE]\n\n")
    said = [message["content"] for message in history["messages"]]
    assert said[0] == "Hi!"
    assert len(said[1]) > 0
    assert listed.json() == {"conversations": [], "next_cursor": None}


def test_make_dev_reports_wrong_variables_before_it_starts_anything(clone: Path) -> None:
    mistakes = {"MAX_MESSAGE_CHARS": "many", "JWT_SECRET": "short", "DATABASE_URL": "mysql://x"}

    done = subprocess.run(
        [sys.executable, "-m", "dev"],
        cwd=clone,
        env=_environment(mistakes),
        capture_output=True,
        text=True,
        timeout=START_SECONDS,
        check=False,
    )

    assert done.returncode != 0
    assert all(variable in done.stderr for variable in mistakes)
    assert "Traceback" not in done.stderr


def test_make_dev_reports_a_taken_port_with_a_way_out(clone: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = subprocess.run(
            [sys.executable, "-m", "dev"],
            cwd=clone,
            env=_environment({"PORT": str(port)}),
            capture_output=True,
            text=True,
            timeout=START_SECONDS,
            check=False,
        )

    assert done.returncode != 0
    assert f"Port {port} is taken" in done.stderr


def test_make_dev_makes_no_secret_and_no_token_with_an_identity_provider(
    tmp_path: Path,
) -> None:
    provider = Environment(accepting("https://example.app"))

    by_provider = for_functions(provider, tmp_path, "postgresql://parley@/parley", None)
    by_secret = for_functions(Environment({}), tmp_path, "postgresql://parley@/parley", None)

    read_settings(by_provider)
    assert "JWT_SECRET" not in by_provider
    assert "of your identity provider" in banner(3000, by_provider, "psql", wants_postgres=True)
    assert USER["email"] in banner(3000, by_secret, "psql", wants_postgres=True)


def test_local_accounts_work_with_the_secret_that_make_dev_makes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in fields(Settings):
        monkeypatch.delenv(variable.name.upper(), raising=False)
    monkeypatch.setenv("LOCAL_ACCOUNTS", "true")

    assert read(tmp_path).wants_jwt_secret

    monkeypatch.setenv("JWT_JWKS_URL", "https://example.app/api/auth/jwks")
    with pytest.raises(CannotStart, match="LOCAL_ACCOUNTS"):
        read(tmp_path)


def test_an_empty_system_prompt_in_the_environment_file_reaches_the_functions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in fields(Settings):
        monkeypatch.delenv(variable.name.upper(), raising=False)
    (tmp_path / ".env").write_text("SYSTEM_PROMPT=\nOPENAI_MODEL=\n")

    variables = for_functions(read(tmp_path), tmp_path, "postgresql://x/x", None)

    assert variables["SYSTEM_PROMPT"] == ""
    assert "OPENAI_MODEL" not in variables


@contextmanager
def _running(clone: Path) -> Generator[tuple[str, str]]:
    """Start `make dev`, wait for its banner, and end it as Ctrl-C does."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    printed = clone / "printed.txt"
    with printed.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "dev"],
            cwd=clone,
            env=_environment({"PORT": str(port)}),
            stderr=output,
            stdout=output,
        )
    try:
        yield f"http://127.0.0.1:{port}", _wait_for_banner(process, printed)
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(START_SECONDS)
    # All that it started has ended with it: the port is free, and so is the data folder.
    with socket.create_server(("127.0.0.1", port)):
        assert not (clone / ".parley" / "postgres" / "postmaster.pid").exists()


def _wait_for_banner(process: subprocess.Popen[bytes], printed: Path) -> str:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        text = printed.read_text()
        if "To start afresh" in text:
            return text
        time.sleep(0.05)
    pytest.fail(printed.read_text())


def _environment(variables: dict[str, str]) -> dict[str, str]:
    return {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ} | variables
