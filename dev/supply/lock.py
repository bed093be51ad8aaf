"""`python -m dev.supply.lock`, behind `make lock`: lock what `pyproject.toml` names.

`uv.lock` is the lock: every package that the direct ones lead to, with its version and the hash of
each of its files. Vercel's builder installs from it. `requirements.txt` and `requirements-dev.txt`
say the same to pip, which does not read it.
"""

import os
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from packaging.markers import Marker
from packaging.tags import Tag, compatible_tags, cpython_tags
from packaging.utils import canonicalize_name, parse_wheel_filename

ROOT = Path(__file__).resolve().parent.parent.parent
LOCK = ROOT / "uv.lock"
# The environment of a function: `vercel build` installs for x86_64-unknown-linux-gnu, and for the
# version of Python in .python-version.
FUNCTION = {
    "implementation_name": "cpython",
    "os_name": "posix",
    "platform_machine": "x86_64",
    "platform_python_implementation": "CPython",
    "platform_system": "Linux",
    "python_full_version": "3.12.0",
    "python_version": "3.12",
    "sys_platform": "linux",
}
# What uv takes for x86_64-unknown-linux-gnu: glibc 2.28, and wheels for any older one.
PLATFORMS = (
    *(f"manylinux_2_{minor}_x86_64" for minor in range(28, 16, -1)),
    *("manylinux2014_x86_64", "manylinux2010_x86_64", "manylinux1_x86_64", "linux_x86_64"),
)
# From the best to the least.
TAGS = [*cpython_tags((3, 12), platforms=PLATFORMS), *compatible_tags((3, 12), "cp312", PLATFORMS)]
HEAD = """\
# Written by `make lock` from uv.lock: {packages}, with the hash of each file.
# For pip; it refuses a file with another hash. The direct requirements, with their reasons, are in
# pyproject.toml, and Vercel installs from uv.lock.
"""
EXPORTS = {
    "requirements.txt": ("what the functions need", ("--no-dev",)),
    "requirements-dev.txt": ("what a developer's machine needs, functions included", ()),
}


@dataclass(frozen=True, slots=True)
class LockedPackage:
    """A package in the lock.

    Attributes:
        name: as PyPI normalizes it.
        version: the one version that is installed.
        url: the file on PyPI that a function gets: the wheel that fits it best.
        sha256: the hash of that file, in hex.
        needs: names of the packages that it needs where a function runs.
    """

    name: str
    version: str
    url: str
    sha256: str
    needs: tuple[str, ...]


def main() -> None:
    """Write the lock and both lists for pip; arguments go to `uv lock` (`--upgrade`)."""
    # Locking needs an interpreter; by default uv would download the newest one.
    _uv("lock", "--python", sys.executable, *sys.argv[1:])
    for name in EXPORTS:
        (ROOT / name).write_text(requirements(name), encoding="utf-8")


def requirements(name: str) -> str:
    """Return the text of `requirements.txt` or `requirements-dev.txt`; needs no network."""
    packages, arguments = EXPORTS[name]
    head = HEAD.format(packages=packages)
    return head + _uv("export", "--frozen", "--offline", "--quiet", "--no-header", *arguments)


def is_up_to_date() -> bool:
    """Tell whether the lock fits pyproject.toml; needs no network."""
    try:
        _uv("lock", "--check", "--offline", "--python", sys.executable)
    except subprocess.CalledProcessError:
        return False
    return True


def packages_of_functions(lock: Path = LOCK) -> dict[str, LockedPackage]:
    """Return the packages that a function's bundle gets, by name: the direct ones and theirs."""
    entries = {entry["name"]: entry for entry in tomllib.loads(lock.read_text())["package"]}
    found: dict[str, LockedPackage] = {}
    waiting = _needs(entries["parley"], ())
    while waiting:
        name, extras = waiting.pop()
        entry = entries[name]
        below = _needs(entry, extras)
        names = {each for each, _ in below} | set(found[name].needs if name in found else ())
        if name not in found or not names <= set(found[name].needs):
            wheel = _wheel(entry)
            found[name] = LockedPackage(
                name=name,
                version=entry["version"],
                url=wheel["url"],
                sha256=wheel["hash"].removeprefix("sha256:"),
                needs=tuple(sorted(names)),
            )
            waiting += below
    return found


def normal_name(name: str) -> str:
    """Return a package's name as the lock writes it."""
    return canonicalize_name(name)


def _needs(entry: Mapping[str, Any], extras: Iterable[str]) -> list[tuple[str, tuple[str, ...]]]:
    """Return the names, with their extras, of what an entry needs where a function runs."""
    optional = entry.get("optional-dependencies", {})
    groups = [entry.get("dependencies", []), *(optional.get(extra, []) for extra in extras)]
    return [
        (each["name"], tuple(each.get("extra", ())))
        for group in groups
        for each in group
        if "marker" not in each or Marker(each["marker"]).evaluate(FUNCTION)
    ]


def _wheel(entry: Mapping[str, Any]) -> Mapping[str, str]:
    """Return the wheel that a function gets; an installer prefers it in the same way.

    Raises:
        ValueError: none fits, so the builder would have to compile the package.
    """
    fitting: dict[int, Mapping[str, str]] = {}
    for wheel in entry["wheels"]:
        ranks = [TAGS.index(tag) for tag in tags_of(wheel["url"]) if tag in TAGS]
        if ranks:
            fitting[min(ranks)] = wheel
    return fitting[min(fitting)]


def tags_of(url: str) -> frozenset[Tag]:
    """Return the platforms that a wheel is for."""
    return parse_wheel_filename(url.rpartition("/")[2])[3]


def _uv(*arguments: str) -> str:
    """Run the pinned uv, and return its output.

    Raises:
        CalledProcessError: it failed; its own message is on stderr already.
    """
    uv = Path(sys.executable).with_name("uv")
    # Without VIRTUAL_ENV, which would make uv warn where another environment is active.
    environment = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}
    done = subprocess.run(
        [uv, *arguments], cwd=ROOT, env=environment, check=True, stdout=subprocess.PIPE, text=True
    )
    return done.stdout


if __name__ == "__main__":
    main()
