"""Every function starts and answers in Vercel's own runtime, and so does the harness around it."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx2
import pytest

from tests.support.runtime import PROJECT, FunctionFailed, invocation_headers, start_function

FUNCTIONS = sorted(
    path.relative_to(PROJECT).as_posix()
    for path in PROJECT.glob("api/**/*.py")
    if not path.name.startswith(("_", "."))
)
CONVERSATION = "11111111-1111-4111-8111-111111111111"


def url_path(entrypoint: str) -> str:
    """Return the path that Vercel serves a file at, with a value for each dynamic segment."""
    return "/" + re.sub(r"\[\w+\]", CONVERSATION, entrypoint.removesuffix(".py"))


@pytest.mark.parametrize("entrypoint", FUNCTIONS)
def test_a_function_starts_in_the_runtime_and_answers(entrypoint: str, database_url: str) -> None:
    with start_function(entrypoint, {"DATABASE_URL": database_url}) as function:
        answer = httpx2.get(
            function.base_url + url_path(entrypoint), headers=invocation_headers(30)
        )

    # The runtime's own pages are HTML or plain text; JSON, or nothing at all, is ours.
    assert answer.status_code < 500, answer.text
    if answer.status_code != 204:
        assert answer.headers["content-type"] in {"application/json", "application/problem+json"}
        assert answer.json()


@pytest.fixture
def write_function(tmp_path: Path) -> Callable[[str], Path]:
    """Return a function that writes `api/tried.py` and gives the directory around it."""

    def write(source: str) -> Path:
        (tmp_path / "api").mkdir()
        (tmp_path / "api/tried.py").write_text(source)
        return tmp_path

    return write


ECHO = """
import json, logging, os, sys
from vercel_runtime.deadline import get_deadline

async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    logging.getLogger("tried").info("asked for %s", scope["path"])
    print("printed")
    seen = {"deadline": str(get_deadline()), "cwd": os.getcwd(), "variables": sorted(os.environ)}
    headers = [(b"content-type", b"application/json")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": json.dumps(seen).encode()})
"""


def test_a_function_learns_the_deadline_of_its_invocation(
    write_function: Callable[[str], Path],
) -> None:
    with start_function("api/tried.py", {}, root=write_function(ECHO)) as function:
        seen = httpx2.get(function.base_url, headers=invocation_headers(60)).json()

    left = datetime.fromisoformat(seen["deadline"]) - datetime.now(UTC)
    assert timedelta(seconds=50) < left <= timedelta(seconds=60)


def test_a_function_runs_at_the_bundles_root_with_no_variables_of_ours(
    write_function: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "ours")
    root = write_function(ECHO)

    with start_function("api/tried.py", {"DATABASE_URL": "theirs"}, root=root) as function:
        seen = httpx2.get(function.base_url).json()

    assert Path(seen["cwd"]) == root.resolve()
    assert "DATABASE_URL" in seen["variables"]
    assert "OPENAI_API_KEY" not in seen["variables"]


def test_what_a_function_logs_and_prints_reaches_the_platform(
    write_function: Callable[[str], Path],
) -> None:
    with start_function("api/tried.py", {}, root=write_function(ECHO)) as function:
        httpx2.get(f"{function.base_url}/somewhere")
        function.wait_for("end")
        text = function.log_text()

    assert text == "asked for /somewhere\nprinted\n"


def test_a_function_that_cannot_be_imported_is_reported_with_its_traceback(
    write_function: Callable[[str], Path],
) -> None:
    root = write_function("import nothing_of_that_name")

    with pytest.raises(FunctionFailed, match="No module named 'nothing_of_that_name'"):
        start_function("api/tried.py", {}, root=root)


def test_a_stopped_function_leaves_no_process(write_function: Callable[[str], Path]) -> None:
    with start_function("api/tried.py", {}, root=write_function(ECHO)) as function:
        assert function.is_running

    assert not function.is_running
    with pytest.raises(httpx2.ConnectError):
        httpx2.get(function.base_url)
