"""The locks of the npm packages: complete, hashed, from npm's registry, and installed as is."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.support.product import ROOT

FOLDERS = ("examples/nextjs", "tests/node", "tests/web")
REGISTRY = "https://registry.npmjs.org/"
INTEGRITY = re.compile(r"sha512-[A-Za-z0-9+/]{86}==")
# The Vercel CLI again, as native programs, whose hashes were not to be had when it was locked.
# `omit=optional` in tests/node/.npmrc leaves them out.
NEVER_INSTALLED = "node_modules/@vercel/vc-native-"
# Installing without a lock file, or past it.
LOOSE_INSTALL = re.compile(r"\b(?:npm (?:install|i|add|update)|npx -y|yarn|pnpm)\b")


def lock_of(folder: str) -> dict[str, Any]:
    """Return the lock file of a folder."""
    return json.loads((ROOT / folder / "package-lock.json").read_text())


def unlocked(folder: str, lock: dict[str, Any]) -> list[str]:
    """Return the entries of a lock that npm would install without comparing a hash."""
    omits_optional = "omit=optional" in npmrc_of(folder)
    return [
        path
        for path, entry in lock["packages"].items()
        if path
        and not (path.startswith(NEVER_INSTALLED) and entry.get("optional") and omits_optional)
        and not (
            INTEGRITY.fullmatch(entry.get("integrity", ""))
            and entry.get("resolved", "").startswith(REGISTRY)
        )
    ]


def npmrc_of(folder: str) -> list[str]:
    """Return the settings of npm in a folder."""
    return (ROOT / folder / ".npmrc").read_text().splitlines()


def test_each_folder_with_npm_packages_is_known_here() -> None:
    git = subprocess.run(
        ["git", "ls-files", "*package.json"], cwd=ROOT, check=False, capture_output=True, text=True
    )
    if git.returncode:
        pytest.skip("not a git checkout")

    assert sorted(str(Path(name).parent) for name in git.stdout.split()) == sorted(FOLDERS)


@pytest.mark.parametrize("folder", FOLDERS)
def test_each_npm_package_is_locked_with_its_hash_and_npms_registry(folder: str) -> None:
    lock = lock_of(folder)

    assert lock["lockfileVersion"] == 3
    assert len(lock["packages"]) > 1
    assert unlocked(folder, lock) == []


@pytest.mark.parametrize("field", ["integrity", "resolved"])
def test_an_entry_without_its_hash_or_its_registry_is_found(field: str) -> None:
    lock = lock_of("tests/web")
    path = "node_modules/marked"
    del lock["packages"][path][field]

    assert unlocked("tests/web", lock) == [path]


@pytest.mark.parametrize("folder", FOLDERS)
def test_package_json_pins_versions_and_the_lock_has_the_same(folder: str) -> None:
    package = json.loads((ROOT / folder / "package.json").read_text())
    root = lock_of(folder)["packages"][""]

    for group in ("dependencies", "devDependencies"):
        wanted = package.get(group, {})
        assert root.get(group, {}) == wanted
        assert all(re.fullmatch(r"(?:npm:\w+@)?\d+\.\d+\.\d+", each) for each in wanted.values())


@pytest.mark.parametrize("folder", FOLDERS)
def test_npm_finds_nothing_missing_or_invalid_in_a_lock(folder: str) -> None:
    if shutil.which("npm") is None:
        pytest.skip("npm is not installed")

    listing = subprocess.run(
        ["npm", "ls", "--all", "--package-lock-only", "--json", "--offline"],
        cwd=ROOT / folder,
        check=False,
        capture_output=True,
        text=True,
    )

    problems = json.loads(listing.stdout).get("problems", [])
    assert [problem for problem in problems if not is_peer_left_out(problem, folder)] == []


def is_peer_left_out(problem: str, folder: str) -> bool:
    """Tell whether a problem is a missing peer, where the folder's .npmrc leaves peers out."""
    match = re.fullmatch(r"missing: (\S+)@.+, required by (\S+)@(\S+)", problem)
    if match is None or "legacy-peer-deps=true" not in npmrc_of(folder):
        return False
    entries = lock_of(folder)["packages"].items()
    return any(
        path.endswith(f"node_modules/{match[2]}") and match[1] in entry.get("peerDependencies", {})
        for path, entry in entries
    )


def test_packages_are_installed_by_npm_ci_alone() -> None:
    files = [ROOT / "Makefile", *(ROOT / ".ci").iterdir(), *(ROOT / ".github").rglob("*.yml")]
    text = "\n".join(file.read_text() for file in files)

    assert text.count("npm ci ") == 2
    assert LOOSE_INSTALL.findall(text) == []


def test_the_workflow_may_only_read_and_runs_actions_of_one_commit_each() -> None:
    for workflow in (ROOT / ".github").rglob("*.yml"):
        text = workflow.read_text()

        assert re.search(r"^permissions:\n  contents: read\n\n", text, re.MULTILINE)
        assert text.count("permissions:") == 1
        actions = re.findall(r"uses: (\S+)", text)
        assert [each for each in actions if not re.search(r"@[0-9a-f]{40}$", each)] == []
