"""Run the programs of `bench/` one after the other, and write bench/RESULTS.md.

    make bench                              all of them, in about forty minutes
    make bench ARGS='latency round_trips'   these; the other sections stay as they are

A program that fails is said to have failed, and the others are run all the same.
"""

import argparse
import subprocess
import sys
import time

from bench.results import RESULTS, section, write
from tests.support.product import ROOT

# The program, and how it is to be run so that all of it fits in forty minutes.
PROGRAMS: dict[str, tuple[str, ...]] = {
    "round_trips": (),
    "beginnings": (),
    "latency": (),
    "cost": (),
    "function": (),
    "crowd": (),
    "scale": (),
    "cold_start": ("--all",),
    "first_answer": (),
    "streams": (),
    "thoughts": (),
    "load": (),
    "retention": ("--messages", "500000"),
}


def main() -> int:
    """Measure and write."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("programs", nargs="*", metavar="program", help=", ".join(PROGRAMS))
    chosen: list[str] = parser.parse_args().programs or list(PROGRAMS)
    if unknown := set(chosen) - set(PROGRAMS):
        parser.error(f"there is no {', '.join(sorted(unknown))}")
    failed: list[str] = []
    for name in chosen:
        # After each, so that what was measured is not lost with what comes later.
        printed, minutes = run(name)
        if printed is None:
            failed.append(name)
        else:
            write({name: section(printed, minutes)})
    sys.stdout.write(f"Written: {RESULTS.relative_to(ROOT)}\n")
    if failed:
        sys.stdout.write(f"Failed, so not in it or as before: {', '.join(failed)}\n")
    return len(failed)


def run(name: str) -> tuple[str | None, float]:
    """Run a program; return what it printed (None: it failed), and the minutes that it took."""
    sys.stdout.write(f"\n== {name}\n")
    sys.stdout.flush()
    started = time.monotonic()
    done = subprocess.run(  # noqa: S603 (our own)
        [sys.executable, "-m", f"bench.{name}", *PROGRAMS[name]],
        check=False,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    sys.stdout.write(done.stdout)
    return None if done.returncode else done.stdout, (time.monotonic() - started) / 60


if __name__ == "__main__":
    sys.exit(main())
