"""Inject faults at random, then audit the database.

    python -m tests.faults --turns 300 --seed 7

Prints what was injected and what was found; ends with 1 when anything is wrong. The same seed makes
the same choices, though not the same timing.
"""

import argparse
import asyncio
import random
import sys
import tempfile
import time
from pathlib import Path

from tests.faults.run import run


def main() -> int:
    """Run as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=300, help="messages that are said (300)")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    chosen = parser.parse_args()
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="faults-") as folder:
        found = asyncio.run(run(chosen.turns, chosen.seed, Path(folder)))
    print(f"seed {chosen.seed}, {time.monotonic() - started:.0f} s")
    for name, count in sorted(found.injected.items()):
        print(f"{count:6} {name}")
    for line in found.wrong:
        print(f"WRONG  {line}")
    print(f"{len(found.wrong)} wrong")
    return 1 if found.wrong else 0


sys.exit(main())
