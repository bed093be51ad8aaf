"""`make try-model` against a provider that answers over HTTP as the test says."""

import asyncio
import os
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from dev.trial import red_picture
from tests.support.identity_provider import accepting
from tests.support.model_server import TITLE_MODEL, Called, Reply, ScriptedModel, calling
from tests.support.product import ROOT

SECONDS = 120
ROWS = [
    "text, anonymous",
    "text, signed in",
    "a forced tool",
    "a free tool",
    "a turn after it",
    "another turn after it",
    "an edit",
    "regenerate",
    "a picture",
    "a turn after the picture",
    "a stop",
    "a turn after the stop",
    "a resume",
]


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """Return a copy of the checkout, which has no `.env`."""
    for name in ("api", "dev", "lib", "public", "sql"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "vercel.json", tmp_path)
    return tmp_path


async def test_each_turn_of_a_good_provider_is_ok(clone: Path, model: ScriptedModel) -> None:
    model.choose = _good_provider
    model.title_reply = Reply(pieces=("A title",))

    status, printed = await _try(clone, model)

    rows = _rows(printed)
    assert list(rows) == ROWS, printed
    assert {row.split()[0] for row in rows.values()} == {"ok"}, printed
    assert status == 0
    # The title is a remark: it comes too late on a busy machine.
    assert re.match(r"ok +\d+\.\d\d s +7 +4\b", rows["text, signed in"]), printed
    assert printed.startswith(f"test-model at {model.base_url}\n")
    assert "13 of 13 ok" in printed


async def test_a_turn_that_the_provider_refuses_is_told_with_its_problem(
    clone: Path, model: ScriptedModel
) -> None:
    def choose(body: dict[str, Any]) -> Reply:
        is_picture = "image_url" in str(body["messages"])
        return Reply(status=400) if is_picture else _good_provider(body)

    model.choose = choose

    status, printed = await _try(clone, model)

    rows = _rows(printed)
    # A sentence for people, and the code of the problem.
    assert re.fullmatch(r"FAILED +[A-Z].*\. \([a-z_]+\)", rows["a picture"]), printed
    assert rows["a stop"].startswith("ok"), printed
    assert status == 1
    assert "sk-" not in printed


async def test_a_model_that_calls_no_tool_fails_the_turns_with_tools(
    clone: Path, model: ScriptedModel
) -> None:
    status, printed = await _try(clone, model)

    rows = _rows(printed)
    assert "without a title" in rows["text, signed in"]
    assert rows["a free tool"].startswith("FAILED"), printed
    assert rows["a free tool"].endswith("the model answered without calling a tool")
    assert "the answer does not say so" in rows["a picture"]
    assert "the answer ended before it was stopped" in rows["a stop"]
    assert status == 1


async def test_without_a_key_the_missing_variable_is_named(
    clone: Path, model: ScriptedModel
) -> None:
    (clone / ".env").write_text("OPENAI_API_KEY=\nSYSTEM_PROMPT=\n")

    status, printed = await _run(clone, {})

    assert status == 2
    assert printed.startswith("OPENAI_API_KEY is not set")
    assert not (clone / ".parley").exists()
    assert model.requests == []


def test_the_picture_is_a_png_of_one_colour() -> None:
    picture = red_picture()

    assert picture.startswith(b"\x89PNG\r\n\x1a\n")
    assert len(picture) < 500


def _good_provider(body: dict[str, Any]) -> Reply:
    last = body["messages"][-1]
    question = str(last["content"])
    if last["role"] == "tool":
        return Reply(pieces=("Done.",))
    if "tool_choice" in body:
        return calling(Called("add_task", {"title": "Buy milk"}))
    if "with your tools" in question:
        return calling(Called("list_tasks"))
    if "Count" in question:
        return Reply(pieces=("one more\n",) * 100, seconds_between=0.03)
    return Reply(pieces=("It is red.",)) if "image_url" in question else Reply()


def _rows(printed: str) -> dict[str, str]:
    """Return the rows of the report by their turns, without the table's head."""
    found = re.findall(r"^(\S.*?) +((?:ok|FAILED)\b.*)$", printed, re.MULTILINE)
    return {name: row for name, row in found if not name[0].isdigit()}


async def _try(clone: Path, model: ScriptedModel) -> tuple[int | None, str]:
    variables = {
        "OPENAI_API_KEY": "sk-test",
        "OPENAI_BASE_URL": model.base_url,
        "OPENAI_MODEL": "test-model",
        "OPENAI_TITLE_MODEL": TITLE_MODEL,
        # Of the developer's deployment: the trial uses none of these.
        "DATABASE_URL": "postgresql://nobody@127.0.0.1:9/none",
        **accepting("https://127.0.0.1:9"),
        "MESSAGES_PER_MINUTE": "1",
    }
    return await _run(clone, variables)


async def _run(clone: Path, variables: dict[str, str]) -> tuple[int | None, str]:
    """Run `make try-model`; return its exit code and all that it printed."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "dev.try_model"),
        cwd=clone,
        env=kept | variables,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        printed, _ = await asyncio.wait_for(process.communicate(), SECONDS)
    finally:
        if process.returncode is None:
            process.terminate()
            await process.wait()
    return process.returncode, printed.decode()
