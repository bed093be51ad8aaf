"""Question 1: round trips of a turn and of a history, counted on the wire by a proxy.

    python -m bench.round_trips    takes a minute

Each candidate does the same ten times, warm, one after the other; and once, in a process that has
just started, a first history, which includes to connect. Directly, and through PgBouncer in
transaction mode, as Neon's pooled host is: there the peers are set up as their drivers' own
documentation says for PgBouncer.
"""

import argparse
import asyncio
import sys
import tempfile
from collections.abc import AsyncGenerator, Mapping
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.large import large_server, machine
from bench.workers import (
    KINDS,
    PARLEY,
    WIDTH,
    CandidateFailed,
    Kind,
    Worker,
    prepared,
    running,
)
from bench.workload import Place
from tests.support.pgbouncer import find_pgbouncer, running_pgbouncer, through
from tests.support.proxy import Proxy, proxied

TIMES = 10
# So that statements that a driver prepares after some uses are prepared.
WARM_UP = 12
MOST_OF_TURN, MOST_OF_HISTORY, MOST_OF_FIRST = 2, 1, 5


@dataclass(frozen=True, slots=True)
class Counted:
    """Round trips of one candidate; None: it failed."""

    turn: float | None = None
    history: float | None = None
    first_history: float | None = None
    failure: str = ""


@asynccontextmanager
async def watched(kind: Kind, url: str, *, is_pooled: bool) -> AsyncGenerator[tuple[Worker, Proxy]]:
    """Start a candidate behind a proxy."""
    async with (
        proxied(url) as (proxy, proxied_url),
        running(kind, Place(proxied_url, 1, is_pooled=is_pooled)) as worker,
    ):
        yield worker, proxy


async def count(kind: Kind, url: str, *, is_pooled: bool) -> Counted:
    """Count what one candidate needs."""
    try:
        async with watched(kind, url, is_pooled=is_pooled) as (worker, proxy):
            await worker.do("history", 1)
            first = proxy.round_trips
            counted: list[float] = []
            proxy.delay_seconds = 0.005
            for what in ("turn", "history"):
                await worker.do(what, WARM_UP)
                proxy.forget()
                await worker.do(what, TIMES)
                counted.append(proxy.round_trips / TIMES)
    except CandidateFailed as error:
        return Counted(failure=str(error))
    return Counted(*counted, first_history=first)


async def count_all(urls: Mapping[Kind, str], port: int | None) -> dict[Kind, Counted]:
    """Count what each needs, directly or through a PgBouncer on a port."""
    return {
        kind: await count(kind, through(url, port) if port else url, is_pooled=port is not None)
        for kind, url in urls.items()
    }


async def measure() -> dict[str, dict[Kind, Counted]]:
    """Count on both ways."""
    with ExitStack() as stack:
        server = stack.enter_context(large_server())
        urls = await prepared(server, KINDS)
        counted = {"directly": await count_all(urls, None)}
        if find_pgbouncer():
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
            port = stack.enter_context(running_pgbouncer(server.url, folder))
            counted["through PgBouncer"] = await count_all(urls, port)
    return counted


def table(way: str, counted: Mapping[Kind, Counted]) -> list[str]:
    """Return the metrics of one way, and whether Parley reaches its targets."""
    lines = [f"{way:{WIDTH}}    turn  history  first history"]
    for kind, each in counted.items():
        if each.failure:
            lines.append(f"{kind.name:{WIDTH}}  {each.failure}")
        else:
            lines.append(
                f"{kind.name:{WIDTH}}  {shown(each.turn):>6}  {shown(each.history):>7}"
                f"  {shown(each.first_history):>13}"
            )
    ours = counted[PARLEY]
    lines += [
        f"turn, {way}  {shown(ours.turn)} (at most {MOST_OF_TURN})",
        f"history, {way}  {shown(ours.history)} (at most {MOST_OF_HISTORY})",
        f"first history, {way}  {shown(ours.first_history)} (at most {MOST_OF_FIRST})",
    ]
    return lines


def shown(number: float | None) -> str:
    """Return a number without a needless fraction."""
    return "-" if number is None else f"{number:.3g}"


def main() -> None:
    """Count and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.round_trips", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.parse_args()
    counted = asyncio.run(measure())
    lines = [f"$ python -m bench.round_trips  # {machine()}"]
    for way, each in counted.items():
        lines += table(way, each)
    if len(counted) == 1:
        lines.append("PgBouncer is not installed here, so nothing was counted through it.")
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
