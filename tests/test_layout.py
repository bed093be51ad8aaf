"""What Vercel and a cold start ask of the files, and which way imports go."""

import ast
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import lib.problems
from tests.support.product import ROOT

MOST_FUNCTIONS = 12  # a Hobby deployment is refused above that
FUNCTIONS = sorted(str(path.relative_to(ROOT)) for path in (ROOT / "api").rglob("*.py"))
# What no function may import before its first request: it costs, or is not there.
NOT_AT_START = {
    "pydantic", "openai", "aiohttp", "httpx", "httpx2", "jwt", "bcrypt", "cryptography", "dotenv",
    "uvicorn", "fastapi", "prometheus_client",
}  # fmt: skip
NEVER = {"api", "bench", "dev", "tests"}
LOOK = """
import importlib.util, json, sys
spec = importlib.util.spec_from_file_location("function", sys.argv[1])
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
print(json.dumps({"app": callable(module.app), "modules": sorted(sys.modules)}))
"""


def test_there_are_no_more_functions_than_vercel_takes() -> None:
    assert 1 <= len(FUNCTIONS) <= MOST_FUNCTIONS


@pytest.mark.parametrize("path", FUNCTIONS)
def test_a_function_has_its_app_at_top_level_where_vercel_looks_for_it(path: str) -> None:
    names = [
        target.id
        for statement in ast.parse((ROOT / path).read_text()).body
        if isinstance(statement, ast.Assign)
        for target in statement.targets
        if isinstance(target, ast.Name)
    ]

    assert names[-1:] == ["app"]


@pytest.mark.parametrize("path", FUNCTIONS)
def test_a_function_says_what_it_offers_and_nothing_else(path: str) -> None:
    source = (ROOT / path).read_text()

    assert 20 <= len(source.splitlines()) <= 60
    url = "/" + path.removesuffix(".py").replace("[id]", ":id")
    first, *rest = (ast.get_docstring(ast.parse(source)) or "").splitlines()
    assert url in first
    for heading in ("Answers", "Problems", "Database"):
        assert any(line.startswith(f"{heading} ") for line in rest), heading


@pytest.mark.parametrize("path", FUNCTIONS)
def test_a_function_starts_without_what_only_some_requests_need(path: str) -> None:
    found = _start(path)

    assert found["app"] is True
    loaded = {name.partition(".")[0] for name in found["modules"]}
    assert not loaded & NOT_AT_START
    assert not loaded & NEVER


def test_only_the_model_room_imports_openai_and_only_the_chat_function_can_reach_it() -> None:
    importing = {
        path.relative_to(ROOT / "lib").parts[0]
        for path in (ROOT / "lib").rglob("*.py")
        if "openai" in _imports(path)
    }
    started = {path: set(_start(path)["modules"]) for path in FUNCTIONS}
    reaching = [path for path, modules in started.items() if "lib.answers.begin" in modules]

    assert importing == {"model"}
    assert reaching == ["api/chat.py"]


@pytest.mark.parametrize(
    "path", sorted(str(path.relative_to(ROOT)) for path in (ROOT / "lib").rglob("*.py"))
)
def test_lib_imports_nothing_of_what_is_built_upon_it(path: str) -> None:
    assert not _imports(ROOT / path) & NEVER


@pytest.mark.parametrize("path", FUNCTIONS)
def test_functions_import_lib_and_not_each_other(path: str) -> None:
    assert _imports(ROOT / path) <= {"lib", "starlette"}


def _start(path: str) -> dict[str, Any]:
    """Import a function in a process of its own; return whether it has an app, and all modules."""
    done = subprocess.run(
        [sys.executable, "-c", LOOK, path],
        check=True,
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={"DATABASE_URL": "postgresql://parley@127.0.0.1/parley", "PYTHONPATH": str(ROOT)},
    )
    return json.loads(done.stdout)


def _imports(path: Path) -> set[str]:
    """Return the packages that a file imports, anywhere in it but for its types."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    tree.body = [node for node in tree.body if not _is_for_types(node)]
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            found.add((node.module or "").partition(".")[0])
    return found


def _is_for_types(node: ast.stmt) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"


def test_the_readme_names_each_code_of_a_problem() -> None:
    readme = (ROOT / "README.md").read_text()
    found = vars(lib.problems).values()
    codes = {
        each.code
        for each in found
        if isinstance(each, type) and issubclass(each, lib.problems.Problem)
    }

    assert [code for code in sorted(codes) if f"`{code}`" not in readme] == []


def test_each_event_of_the_log_is_in_the_document_for_who_runs_it() -> None:
    document = (ROOT / "docs/operations.md").read_text(encoding="utf-8")
    sources = [path.read_text(encoding="utf-8") for path in (ROOT / "lib").rglob("*.py")]
    events = {event for source in sources for event in re.findall(r"\blog\(\s*\"(\w+)\"", source)}

    assert len(events) > 15
    assert [event for event in sorted(events) if f"`{event}`" not in document] == []
