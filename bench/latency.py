"""Question 2: how long a turn's database part and a history take, beside peers and bare.

    python -m bench.latency            takes three minutes, or more beside other work
    python -m bench.latency --rounds 1 a quick look

All candidates reach the same Postgres through the same proxy, which delays what is sent by 0 or 5
ms on either way: 10 ms a round trip. 1, 32 or 100 of each are under way at once, and a candidate
has as many connections as that. They take turns, in rounds, each round in another order, so that a
machine that grows slower meanwhile slows all alike. Latencies are the medians of all rounds,
throughputs the medians of the rounds; a ratio is the median of the ratios within each round.

Bare (bench.candidates.bare) stores and reads the messages, and does nothing else. "of bare" is how
many times as long as bare a turn or history takes, or its part of bare's throughput. `cpu ms` is
what the candidate's own process has worked for each: with many at once and no
delay, two cores shared with Postgres are what limits everyone.
"""

import argparse
import asyncio
import statistics
import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from itertools import product

from bench.delays import Network, network
from bench.large import large_server, machine
from bench.workers import BARE, KINDS, PARLEY, SEEDS, WIDTH, Done, Kind, Worker, prepared, running
from bench.workload import Place

CONCURRENCIES = (1, 32, 100)
DELAYS_MS = (0, 5)
# What is done by each candidate in a round, at each concurrency.
COUNTS = {("turn", 1): 12, ("history", 1): 24}
COUNT_OF_MANY = {"turn": 1, "history": 2}
# Of each, for each connection: it is open, and its statements are prepared.
WARM_UP = 4


@dataclass(frozen=True, slots=True)
class Case:
    """What is measured."""

    what: str
    delay_ms: int
    concurrency: int

    @property
    def count(self) -> int:
        """How often a candidate does it in a round."""
        few = COUNTS.get((self.what, self.concurrency))
        return few or max(96, COUNT_OF_MANY[self.what] * self.concurrency)

    def __str__(self) -> str:
        """Say it."""
        return f"{self.what}, {self.delay_ms} ms one way, {self.concurrency} at once"


@dataclass(slots=True)
class Measured:
    """What was measured of all candidates in one case, in each round."""

    rounds: list[dict[Kind, Done]] = field(default_factory=list[dict[Kind, Done]])

    def milliseconds(self, kind: Kind) -> float:
        """Return what half of all took at most."""
        return statistics.median([s for each in self.rounds for s in each[kind].seconds]) * 1000

    def throughput(self, kind: Kind) -> float:
        """Return how many were done in a second."""
        return statistics.median([throughput_of(each[kind]) for each in self.rounds])

    def cpu_ms(self, kind: Kind) -> float:
        """Return what the candidate's process has worked for each."""
        done = [each[kind] for each in self.rounds]
        return sum(each.cpu_seconds for each in done) / sum(len(d.seconds) for d in done) * 1000

    def latency_ratio(self, one: Kind, other: Kind) -> float:
        """Return how many times as long the one takes."""
        return statistics.median(
            statistics.median(each[one].seconds) / statistics.median(each[other].seconds)
            for each in self.rounds
        )

    def throughput_ratio(self, one: Kind, other: Kind) -> float:
        """Return how many times as many the one does."""
        return statistics.median(
            throughput_of(each[one]) / throughput_of(each[other]) for each in self.rounds
        )


def throughput_of(done: Done) -> float:
    """Return how many were done in a second."""
    return len(done.seconds) / done.elapsed_seconds


type Results = dict[Case, Measured]


async def measure(rounds: int, kinds: Sequence[Kind]) -> tuple[Results, list[str]]:
    """Measure all cases; return also what the proxy itself costs."""
    with large_server(max_connections=1000) as server:
        urls = await prepared(server, kinds)
        async with AsyncExitStack() as stack:
            between = await stack.enter_async_context(network(server.host, server.port))
            start = [
                running(kind, Place(between.through(url), max(CONCURRENCIES)))
                for kind, url in urls.items()
            ]
            workers = [await stack.enter_async_context(each) for each in start]
            bare = next(each for each in workers if each.kind is BARE)
            directly = await stack.enter_async_context(running(BARE, Place(urls[BARE], 32)))
            results: Results = {}
            # Few at once first: a pool that has grown would use all of its connections in turn.
            for concurrency in CONCURRENCIES:
                await warm_up(workers, between, concurrency)
                for delay_ms, what in product(DELAYS_MS, ("turn", "history")):
                    case = Case(what, delay_ms, concurrency)
                    await between.delay(delay_ms)
                    results[case] = await measure_case(case, workers, rounds)
            return results, await cost_of_proxy(directly, bare, between)


async def warm_up(workers: Sequence[Worker], between: Network, concurrency: int) -> None:
    """Have each candidate do everything often enough on each connection."""
    await between.delay(0)
    for worker, what in product(workers, ("turn", "history")):
        await worker.do(what, WARM_UP * concurrency, concurrency)


async def measure_case(case: Case, workers: Sequence[Worker], rounds: int) -> Measured:
    """Have the candidates take turns."""
    measured = Measured()
    for number in range(rounds):
        first = number % len(workers)
        done: dict[Kind, Done] = {}
        for worker in (*workers[first:], *workers[:first]):
            done[worker.kind] = await worker.do(case.what, case.count, case.concurrency)
        measured.rounds.append(done)
    return measured


async def cost_of_proxy(directly: Worker, behind: Worker, between: Network) -> list[str]:
    """Compare bare with and without the proxy, which is in all other measurements."""
    lines = ["what the proxy costs bare, without a delay"]
    await between.delay(0)
    for concurrency, count in ((1, 100), (32, 320)):
        await directly.do("turn", WARM_UP * concurrency, concurrency)
        pairs = [
            [await each.do("turn", count, concurrency) for each in (directly, behind)]
            for _ in range(3)
        ]
        ms = [statistics.median(s for p in pairs for s in p[i].seconds) * 1000 for i in (0, 1)]
        rates = [statistics.median(throughput_of(p[i]) for p in pairs) for i in (0, 1)]
        lines.append(
            f"turn, {concurrency} at once: {ms[0]:.2f} ms directly, {ms[1]:.2f} ms behind it;"
            f" {rates[0]:.0f} and {rates[1]:.0f} a second"
        )
    return lines


def table(case: Case, measured: Measured) -> list[str]:
    """Return the metrics of one case, and how they relate."""
    lines = [
        "",
        str(case),
        f"{'':{WIDTH}}  median ms  of bare  a second  of bare  cpu ms",
    ]
    lines += [
        f"{kind.name:{WIDTH}}  {measured.milliseconds(kind):9.2f}"
        f"  {measured.latency_ratio(kind, BARE):7.2f}  {measured.throughput(kind):8.0f}"
        f"  {measured.throughput_ratio(kind, BARE):7.2f}  {measured.cpu_ms(kind):6.2f}"
        for kind in measured.rounds[0]
    ]
    return lines


def targets(results: Results) -> list[str]:
    """Return what was to be reached, and what was, a line each."""

    def line(what: str, value: float, limit: str) -> str:
        return f"{what:58}  {value:.2f} ({limit})"

    def at(what: str, delay_ms: int, concurrency: int) -> Measured:
        return results[Case(what, delay_ms, concurrency)]

    slow, fast = at("turn", 5, 1), at("turn", 0, 1)
    many_slow, many_fast = at("turn", 5, 32), at("turn", 0, 32)
    ours = (PARLEY, BARE)
    lines = [
        line("turn at 5 ms / bare", slow.latency_ratio(*ours), "at most 1.2"),
        line("turn at 0 ms / bare", fast.latency_ratio(*ours), "at most 2.2"),
        line(
            "turns a second at 5 ms, 32 at once / bare",
            many_slow.throughput_ratio(*ours),
            "at least 0.45",
        ),
        line(
            "turns a second at 0 ms, 32 at once / bare",
            many_fast.throughput_ratio(*ours),
            "at least 0.45",
        ),
        line(
            "turn at 5 ms, the documents' design / parley",
            slow.latency_ratio(SEEDS, PARLEY),
            "at least 4.5",
        ),
        line(
            "turns a second at 5 ms, 32 at once / documents' design",
            many_slow.throughput_ratio(PARLEY, SEEDS),
            "at least 4",
        ),
    ]
    for delay_ms, limit in ((0, "at most 3"), (5, "at most 1.2")):
        ratio = at("history", delay_ms, 1).latency_ratio(*ours)
        lines.append(line(f"history at {delay_ms} ms / bare", ratio, limit))
    return lines


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.latency", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--rounds", type=int, default=3, help="of each case (3)")
    rounds: int = parser.parse_args().rounds
    results, proxy = asyncio.run(measure(rounds, KINDS))
    lines = [f"$ python -m bench.latency --rounds {rounds}  # {machine()}", *targets(results)]
    for case, measured in results.items():
        lines += table(case, measured)
    sys.stdout.write("\n".join([*lines, "", *proxy]) + "\n")


if __name__ == "__main__":
    main()
