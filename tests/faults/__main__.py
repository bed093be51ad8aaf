"""Inject faults at random, then audit the database.

    python -m tests.faults --turns 300 --seed 7

Prints the injected faults and the errors that the audit finds, and exits with 1 if it finds any.
The same seed makes the same choices, but not the same timing.
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
    """Run with the options of the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=300, help="messages to send (300)")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    options = parser.parse_args()
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="faults-") as folder:
        result = asyncio.run(run(options.turns, options.seed, Path(folder)))
    print(f"seed {options.seed}, {time.monotonic() - started:.0f} s")
    for name, count in sorted(result.injected.items()):
        print(f"{count:6} {name}")
    for line in result.errors:
        print(f"WRONG  {line}")
    print(f"{len(result.errors)} wrong")
    return 1 if result.errors else 0


sys.exit(main())
