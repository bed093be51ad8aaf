"""How long a function takes to start, beside one that only imports what all of them need.

    python -m bench.cold_start             api/history.py and the bare function
    python -m bench.cold_start --all       every function and the bare one; takes two minutes

Functions start in Vercel's own runtime, in turn (history, bare, history, bare ...), so that a
machine that grows slower meanwhile slows both alike. `init` is what the runtime reports to the
platform as initDuration: from its first line of Python until the port is open. `start` is the
wall time from the start of the process until it said so. No database is asked.

`bare, a model` is the bare function with one model of pydantic's, which imports the larger part of
that package only then: what a function would begin with that checked its query by one.

With bytecode, as in a bundle that was built with VERCEL_PYTHON_COMPILEALL=1: one start before the
measured ones writes it, into a directory that is removed in the end; what lies in `__pycache__`
directories is not used. `compiling` is the init of a third as many starts without any, as bundles
are that were built without that variable: all that is imported is compiled each time.
"""

import argparse
import shlex
import statistics
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.runtime import PROJECT, start_function

BARE = "bare"
MOST = 1.15
BARE_SOURCE = '''"""The packages that every function needs, and no code of ours."""

import psycopg
import psycopg_pool
import pydantic
from starlette.applications import Starlette

app = Starlette()
'''
MODEL = "bare, a model"
MODEL_SOURCE = (
    BARE_SOURCE
    + """

class Query(pydantic.BaseModel):
    limit: int
"""
)
SETTINGS = {"DATABASE_URL": "postgresql://nobody@127.0.0.1:1/nothing"}


@dataclass(frozen=True, slots=True)
class Arguments:
    """What was asked for."""

    runs: int
    every_function: bool


@dataclass(frozen=True, slots=True)
class Candidate:
    """A function to be measured, and what was measured of it, in milliseconds."""

    name: str
    root: Path
    entrypoint: str
    init_ms: list[float] = field(default_factory=list[float])
    start_ms: list[float] = field(default_factory=list[float])
    compiling_ms: list[float] = field(default_factory=list[float])

    def start(self, environment: dict[str, str]) -> tuple[float, float]:
        """Start it once, stop it, and return initDuration and wall time."""
        with start_function(self.entrypoint, SETTINGS | environment, root=self.root) as function:
            return function.init_duration_ms, function.started_after_ms

    def measure(self, environment: dict[str, str]) -> None:
        """Start it once and remember how long it took."""
        init_ms, start_ms = self.start(environment)
        self.init_ms.append(init_ms)
        self.start_ms.append(start_ms)

    def measure_compiling(self, environment: dict[str, str]) -> None:
        """Start it once where no bytecode is, and remember how long it took."""
        init_ms, _ = self.start(environment)
        self.compiling_ms.append(init_ms)


def main() -> None:
    """Measure and print a table."""
    arguments = parse_arguments()
    with tempfile.TemporaryDirectory(prefix="cold-start-") as directory:
        candidates = find_candidates(arguments, Path(directory))
        measure_in_turn(candidates, arguments.runs, Path(directory))
    sys.stdout.write(f"$ {shlex.join(['python', '-m', 'bench.cold_start', *sys.argv[1:]])}\n")
    sys.stdout.write(table(candidates, arguments))


def parse_arguments() -> Arguments:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m bench.cold_start", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--all", action="store_true", help="measure every function")
    parser.add_argument("--runs", type=int, default=15, help="starts of each (15)")
    given = parser.parse_args()
    return Arguments(runs=given.runs, every_function=given.all)


def find_candidates(arguments: Arguments, directory: Path) -> list[Candidate]:
    """Return the functions to measure, the bare one last."""
    (directory / "bare.py").write_text(BARE_SOURCE)
    (directory / "model.py").write_text(MODEL_SOURCE)
    pattern = "api/**/*.py" if arguments.every_function else "api/history.py"
    entrypoints = sorted(path.relative_to(PROJECT).as_posix() for path in PROJECT.glob(pattern))
    ours = [Candidate(entrypoint, PROJECT, entrypoint) for entrypoint in entrypoints]
    return [
        *ours,
        Candidate(MODEL, directory, "model.py"),
        Candidate(BARE, directory, "bare.py"),
    ]


def measure_in_turn(candidates: Sequence[Candidate], runs: int, directory: Path) -> None:
    """Start each candidate once unmeasured, then all of them in turn."""
    # With a prefix, Python neither reads nor writes __pycache__ beside the sources.
    writing = {"PYTHONPYCACHEPREFIX": str(directory / "bytecode")}
    reading = writing | {"PYTHONDONTWRITEBYTECODE": "1"}
    compiling = reading | {"PYTHONPYCACHEPREFIX": str(directory / "nothing")}
    for candidate in candidates:
        candidate.start(writing)
    for run in range(runs):
        for candidate in candidates:
            candidate.measure(reading)
            if run % 3 == 0:
                candidate.measure_compiling(compiling)


def table(candidates: Sequence[Candidate], arguments: Arguments) -> str:
    """Return the medians, and how they relate to the bare function's."""
    bare_ms = statistics.median(candidates[-1].init_ms)
    width = max(len(candidate.name) for candidate in candidates)
    bare_compiling_ms = statistics.median(candidates[-1].compiling_ms)
    lines = [
        f"median of {arguments.runs} starts",
        f"{'':{width}}  init ms  start ms  init/bare  compiling ms  compiling/bare",
        *(
            f"{candidate.name:{width}}  {statistics.median(candidate.init_ms):7.0f}"
            f"  {statistics.median(candidate.start_ms):8.0f}"
            f"  {statistics.median(candidate.init_ms) / bare_ms:9.2f}"
            f"  {statistics.median(candidate.compiling_ms):12.0f}"
            f"  {statistics.median(candidate.compiling_ms) / bare_compiling_ms:14.2f}"
            for candidate in candidates
        ),
        *(
            f"{candidate.name} / {BARE}  "
            f"{statistics.median(candidate.init_ms) / bare_ms:.2f} (at most {MOST})"
            for candidate in candidates[:-2]
        ),
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
