"""Play hostile hours, and audit the cost of each.

    python -m tests.hostile --seconds 60 --seed 7

An hour is played in some seconds, with small limits, as often as the time allows, each with the
next seed. Prints the table of the last one (attack, tried, allowed, ceiling) and the errors of
all, and exits with 1 if there are any.
"""

import argparse
import asyncio
import logging
import random
import sys
import tempfile
import time
from pathlib import Path

import psycopg

from dev.postgres import programs, start_postgres
from dev.psql import migrate
from tests.hostile.run import HourResult, play_hour
from tests.support.databases import EMPTY
from tests.support.product import ROOT


def main() -> int:
    """Run with the options of the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60, help="begin no hour after these (60)")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    options = parser.parse_args()
    # The product's log of thousands of requests, and the provider's cut connections.
    for name in ("parley", "uvicorn.error"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    started, wrong, seed = time.monotonic(), 0, options.seed
    with tempfile.TemporaryDirectory(prefix="hostile-") as folder:
        postgres = start_postgres(Path(folder) / "data", tcp=True, durable=False)
        try:
            migrate(programs() / "psql", postgres.url, ROOT)
            while True:
                with psycopg.connect(postgres.url, autocommit=True) as database:
                    database.execute(EMPTY)
                result = asyncio.run(play_hour(seed, postgres.url))
                print(f"seed {seed}, {time.monotonic() - started:.0f} s")
                _print_errors(result)
                wrong += len(result.errors)
                if time.monotonic() - started >= options.seconds:
                    break
                seed += 1
        finally:
            postgres.stop()
    _print_table(result)
    print(f"{wrong} wrong")
    return 1 if wrong else 0


def _print_errors(result: HourResult) -> None:
    answers, seconds = result.honest_answers, result.slowest_seconds
    print(f"{answers} answers to honest people, the slowest after {seconds:.1f} s")
    for line in result.errors:
        print(f"WRONG  {line}")


def _print_table(result: HourResult) -> None:
    print(f"{'attack':42} {'counted':18} {'tried':>9} {'allowed':>9} {'ceiling':>9}")
    for row in result.rows:
        numbers = f"{row.tried:9,} {row.allowed:9,} {row.ceiling:9,}"
        print(f"{row.attack:42} {row.counted:18} {numbers}")


sys.exit(main())
