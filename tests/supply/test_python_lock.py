"""The lock of the Python packages: complete, hashed, up to date, and the same for pip."""

import re
import subprocess
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from dev.supply.lock import LOCK, ROOT, is_up_to_date, packages_of_functions, requirements

PYPROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())
ENTRIES: list[dict[str, Any]] = [
    entry
    for entry in tomllib.loads(LOCK.read_text())["package"]
    if entry["source"] != {"virtual": "."}
]
EXPORTED = ("requirements.txt", "requirements-dev.txt")
HASH = re.compile(r"sha256:[0-9a-f]{64}")
PIN = re.compile(r"^([A-Za-z0-9._-]+)(?:\[[a-z,-]+\])?==(\S+)")


def pins(text: str) -> dict[str, str]:
    """Return the versions in lines of the form `name==version`, by normal name."""
    found = [PIN.match(line) for line in text.splitlines()]
    return {
        re.sub(r"[-_.]+", "-", match[1]).lower(): match[2] for match in found if match is not None
    }


def test_each_direct_requirement_is_pinned_to_one_version() -> None:
    named = [*PYPROJECT["project"]["dependencies"], *PYPROJECT["dependency-groups"]["dev"]]

    assert [requirement for requirement in named if not PIN.fullmatch(requirement)] == []
    locked = {entry["name"]: entry["version"] for entry in ENTRIES}
    assert pins("\n".join(named)).items() <= locked.items()


def test_each_file_of_the_lock_comes_from_pypi_and_has_a_hash() -> None:
    for entry in ENTRIES:
        files = [*entry.get("wheels", []), *([entry["sdist"]] if "sdist" in entry else [])]
        assert files, entry["name"]
        assert entry["source"] == {"registry": "https://pypi.org/simple"}
        for file in files:
            assert file["url"].startswith("https://files.pythonhosted.org/packages/"), file
            assert HASH.fullmatch(file["hash"]), file


def test_the_lock_is_up_to_date() -> None:
    # Without the network: what pyproject.toml names is what was locked.
    assert is_up_to_date()


@pytest.mark.parametrize("name", EXPORTED)
def test_pip_gets_the_versions_and_hashes_of_the_lock(name: str) -> None:
    assert (ROOT / name).read_text(encoding="utf-8") == requirements(name)


@pytest.mark.parametrize("name", [*EXPORTED, "dev/requirements-model.txt"])
def test_each_package_that_pip_installs_has_a_hash(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8").replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line.strip() and line.lstrip()[0] != "#"]

    assert lines
    assert [line for line in lines if not HASH.search(line)] == []


def test_the_packages_of_the_functions_are_those_that_requirements_lists_for_linux() -> None:
    # Two ways through the same lock: Parley's own, and uv's.
    listed = pins((ROOT / "requirements.txt").read_text(encoding="utf-8"))
    functions = packages_of_functions()

    for_others = listed.keys() - functions.keys()
    assert {name: package.version for name, package in functions.items()}.items() <= listed.items()
    # Each has a marker: of Windows, or of Python in a browser.
    assert for_others == {"httpx2-jsfetch", "tzdata"}


def test_what_is_installed_here_is_what_the_functions_get() -> None:
    functions = packages_of_functions()

    assert {name: version(name) for name in functions} == {
        name: package.version for name, package in functions.items()
    }


def test_pip_refuses_a_package_with_another_hash(tmp_path: Path) -> None:
    # A wheel of the test's own, so that nothing is fetched.
    wheel = tmp_path / "nothing-1.0-py3-none-any.whl"
    wheel.write_bytes(b"not what was locked")
    wanted = tmp_path / "requirements.txt"
    wanted.write_text(f"nothing==1.0 --hash=sha256:{'0' * 64}\n")

    done = subprocess.run(
        [
            *(sys.executable, "-m", "pip", "download", "--no-index", "--no-deps"),
            *("--find-links", tmp_path, "--dest", tmp_path / "out", "-r", wanted),
        ],
        check=False,
        capture_output=True,
        text=True,
    )

    assert done.returncode == 1
    assert "DO NOT MATCH THE HASHES" in done.stderr
