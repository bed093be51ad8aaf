"""Notices which files have changed."""

import time
from collections.abc import Iterator
from pathlib import Path

PERIOD_SECONDS = 0.3
FOLDERS = ("api", "lib", "sql")
FILES = (".env", "vercel.json")
SUFFIXES = {".py", ".sql"}


def changes(root: Path) -> Iterator[set[str]]:
    """Look at the code again and again; yield, each time, the files that changed, if any.

    By looking, not by the system's notifications: a hundred files cost a millisecond, and it works
    on every file system and with editors that replace files.
    """
    before = _look(root)
    while True:
        time.sleep(PERIOD_SECONDS)
        now = _look(root)
        yield {path for path, _ in before.items() ^ now.items()}
        before = now


def _look(root: Path) -> dict[str, int]:
    """Return when each file was last modified, by its path in the checkout."""
    found = [
        file for name in FOLDERS for file in (root / name).rglob("*") if file.suffix in SUFFIXES
    ]
    times: dict[str, int] = {}
    for file in (*found, *(root / name for name in FILES)):
        try:
            times[str(file.relative_to(root))] = file.stat().st_mtime_ns
        except FileNotFoundError:
            continue
    return times
