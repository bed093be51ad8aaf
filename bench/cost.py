"""What a turn costs the database, beside the least that it could cost: ratios within one run.

    python -m bench.cost                                       as README.md has it; ten minutes
    python -m bench.cost --messages 20000 --rounds 2 --turns 200 --streams 1    a quick look

Parley, bare (bench.candidates.bare) and langchain-postgres keep a million messages of real words
each, in databases of one server, and take turns in rounds. None prepares statements by name. What
is compared is the processor time of the backends (bench.meters); a ratio is the median of the
ratios within each round, and `ms` the median of the rounds.

Then what only Parley is asked: steady turns in the newest conversations, each measured by itself,
with what they write; turns whose answers are streamed (bench.streamed); turns in long
conversations; and the searches of one connection, for a user of 19,000 messages. B-tree entries are
those of conversations and messages. The write-ahead log is without the images of whole pages, which
depend on the time between checkpoints; what GIN indexes have in it, and so the search, is apart.
"""

import argparse
import asyncio
import itertools
import random
import statistics
import sys
from collections import Counter
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

from bench.large import large_server, machine
from bench.meters import Meter, Updates, Written, worked_ns
from bench.million import Million, fill_all
from bench.streamed import TOGETHER, StreamingFunctions, streaming_functions
from bench.workers import BARE, LANGCHAIN, PARLEY, Kind, Worker, running
from dev.postgres import RunningPostgres

KINDS = (PARLEY, BARE, LANGCHAIN)
ACTIONS = (*((kind, what) for what in ("turn", "history") for kind in KINDS), (PARLEY, "list"))
# Of each in a round, and which conversations they are in.
COUNT, IN_USE = 40, 400
# The messages of the long conversations and of those that they are compared with.
LONG, SHORT, OF_EACH, LONG_ROUNDS = 950, 50, 20, 10
CONNECTIONS, SEARCHES = 9, 8
# Conversations that the steady turns are in, and turns before they are measured.
STEADY, WARM_UP = 2000, 200
SERVER = {"full_page_writes": "off"}
# The tables whose rows stay.
KEPT = ("conversations", "chat_messages")
type Action = tuple[Kind, str]


@dataclass(frozen=True, slots=True)
class Arguments:
    """What was asked for."""

    messages: int
    rounds: int
    turns: int
    streams: int


@dataclass(slots=True)
class Rounds:
    """Milliseconds of the processor for each of what was done, in each round."""

    ms: dict[str, list[float]] = field(default_factory=dict[str, list[float]])

    def note(self, name: str, milliseconds: float) -> None:
        """Note a round's."""
        self.ms.setdefault(name, []).append(milliseconds)

    def median(self, name: str) -> float:
        """Return the median of the rounds."""
        return statistics.median(self.ms[name])

    def ratio(self, one: str, other: str) -> float:
        """Return how many times as much the one costs as the other."""
        pairs = zip(self.ms[one], self.ms[other], strict=True)
        return statistics.median(mine / its for mine, its in pairs)


@dataclass(frozen=True, slots=True)
class Steady:
    """Turns one after the other, without streams.

    Attributes:
        ms: of the processor, each.
        written: by all of them.
        entries: that the b-trees of each table got.
        updates: of conversations.
    """

    ms: list[float]
    written: Written
    entries: Counter[str]
    updates: Updates


@dataclass(frozen=True, slots=True)
class Streamed:
    """Turns with streams.

    Attributes:
        rounds: alone, together, and bare turns.
        written: by those alone.
        turns: how many were alone.
    """

    rounds: Rounds
    written: Written
    turns: int


class Bench:
    """One run."""

    def __init__(self, server: RunningPostgres, million: Million, arguments: Arguments) -> None:
        """Take what to measure."""
        self._million = million
        self._arguments = arguments
        self._meters = {kind: Meter(server, kind.database) for kind in KINDS}
        self._chance = random.Random(20)  # noqa: S311 (not a secret)

    async def compare(self) -> Rounds:
        """Have the candidates do everything in turn."""
        rounds, million = Rounds(), self._million
        newest = {"turn": 0, "history": IN_USE, "list": IN_USE}
        numbers = {what: million.newest(IN_USE, before=each) for what, each in newest.items()}
        next_numbers = {
            action: itertools.cycle(self._chance.sample(numbers[action[1]], IN_USE))
            for action in ACTIONS
        }
        async with AsyncExitStack() as stack:
            workers = {kind: await self._worker(stack, kind) for kind in KINDS}
            for kind, what in ACTIONS:
                await workers[kind].do_in(numbers[what], "history" if what == "turn" else what)
                await workers[kind].do_in(numbers[what][:COUNT], what)
            for number in range(self._arguments.rounds):
                first = number % len(ACTIONS)
                for action in (*ACTIONS[first:], *ACTIONS[:first]):
                    kind, what = action
                    chosen = list(itertools.islice(next_numbers[action], COUNT))
                    await self._measure(rounds, workers[kind], f"{kind.name} {what}", chosen, what)
        return rounds

    async def compare_long(self) -> Rounds:
        """Take turns in long conversations and in short ones."""
        rounds, million = Rounds(), self._million
        numbers = {
            LONG: million.add_long(LONG, OF_EACH, user=0),
            SHORT: million.add_long(SHORT, OF_EACH, user=1),
        }
        async with AsyncExitStack() as stack:
            worker = await self._worker(stack, PARLEY)
            for each in numbers.values():
                await worker.do_in(each, "turn")
            for _ in range(LONG_ROUNDS):
                for length, each in numbers.items():
                    await self._measure(rounds, worker, f"turn at {length}", each, "turn")
        return rounds

    async def search(self) -> Rounds:
        """Search some times on each of some connections, as the user of the long conversations."""
        rounds = Rounds()
        for _ in range(CONNECTIONS):
            async with AsyncExitStack() as stack:
                worker = await self._worker(stack, PARLEY)
                # A connection is not yet there to be measured before the first.
                await worker.do_in([0], "search")
                for number in range(2, SEARCHES + 1):
                    await self._measure(rounds, worker, f"search {number}", [0], "search")
        return rounds

    async def steady(self) -> Steady:
        """Take turns one after the other, each measured by itself."""
        meter, numbers = self._meters[PARLEY], self._million.newest(STEADY)
        chosen = self._chance.choices(numbers, k=self._arguments.turns)
        before = meter.updates()
        async with AsyncExitStack() as stack:
            worker = await self._worker(stack, PARLEY)
            await worker.do_in(self._chance.choices(numbers, k=WARM_UP), "turn")
            [backend] = meter.backends()
            log_end, ms = meter.log_end(), list[float]()
            for number in chosen:
                began = worked_ns(backend)
                await worker.do_in([number], "turn")
                ms.append((worked_ns(backend) - began) / 1e6)
            written, entries = meter.written_since(log_end), meter.entries_since(log_end)
        after = meter.updates()
        return Steady(ms, written, entries, Updates(after.all - before.all, after.hot - before.hot))

    async def stream(self) -> Streamed:
        """Take streamed turns alone, as many together, and bare turns, in rounds."""
        rounds, written = Rounds(), Written(0, 0)
        place, numbers = self._million.places[PARLEY], self._million.newest(STEADY)
        async with (
            AsyncExitStack() as stack,
            streaming_functions(place, self._chance.sample(numbers, len(numbers))) as functions,
        ):
            bare = await self._worker(stack, BARE)
            await bare.do_in(numbers[:COUNT], "turn")
            for _ in range(self._arguments.streams):
                written += await self._stream_round(rounds, functions)
                chosen = self._chance.sample(numbers, COUNT)
                await self._measure(rounds, bare, "bare", chosen, "turn")
        return Streamed(rounds, written, TOGETHER * self._arguments.streams)

    def close(self) -> None:
        """Close the meters' connections."""
        for meter in self._meters.values():
            meter.close()

    async def _stream_round(self, rounds: Rounds, functions: StreamingFunctions) -> Written:
        meter = self._meters[PARLEY]
        log_end, before = meter.log_end(), meter.work()
        await functions.answer_alone()
        rounds.note("alone", meter.milliseconds_since(before) / TOGETHER)
        written, before = meter.written_since(log_end), meter.work()
        await functions.answer_together()
        rounds.note("together", meter.milliseconds_since(before) / TOGETHER)
        return written

    async def _measure(
        self, rounds: Rounds, worker: Worker, name: str, numbers: Sequence[int], what: str
    ) -> None:
        meter = self._meters[worker.kind]
        before = meter.work()
        await worker.do_in(numbers, what)
        rounds.note(name, meter.milliseconds_since(before) / len(numbers))

    async def _worker(self, stack: AsyncExitStack, kind: Kind) -> Worker:
        return await stack.enter_async_context(running(kind, self._million.places[kind]))


async def measure(arguments: Arguments) -> AsyncGenerator[list[str]]:
    """Measure everything; yield the lines that say it, a part at a time."""
    with large_server(further=SERVER) as server:
        million = await fill_all(server, arguments.messages, KINDS)
        bench = Bench(server, million, arguments)
        try:
            compared = await bench.compare()
            yield [*compared_lines(compared), *milliseconds(compared)]
            steady = await bench.steady()
            yield steady_lines(steady)
            streamed = await bench.stream()
            yield [*streamed_lines(streamed), *milliseconds(streamed.rounds)]
            long = await bench.compare_long()
            ratio = long.ratio(f"turn at {LONG}", f"turn at {SHORT}")
            yield [target(f"turn at {LONG} messages / at {SHORT}", ratio, 1.1), *milliseconds(long)]
            searches = await bench.search()
            ratio = searches.ratio("search 6", "search 2")
            yield [target("sixth search / second", ratio, 1.5), *milliseconds(searches)]
        finally:
            bench.close()


def milliseconds(rounds: Rounds) -> list[str]:
    """Return what the backends have worked, a line each."""
    return [f"  ms of {name:28}  {rounds.median(name):.2f}" for name in rounds.ms]


def compared_lines(rounds: Rounds) -> list[str]:
    """Return the ratios to the other candidates."""
    unprepared = "langchain-postgres"
    return [
        target("turn / bare", rounds.ratio("parley turn", "bare turn"), 2.2),
        target("turn / langchain's", rounds.ratio("parley turn", f"{unprepared} turn"), 1.5),
        target("history / bare SELECT", rounds.ratio("parley history", "bare history"), 3),
        target(
            "history / langchain's", rounds.ratio("parley history", f"{unprepared} history"), 0.6
        ),
        target("list / bare SELECT", rounds.ratio("parley list", "bare history"), 2),
    ]


def steady_lines(steady: Steady) -> list[str]:
    """Return what turns write, and the longest one."""
    turns, updates = len(steady.ms), steady.updates
    others = sum(count for table, count in steady.entries.items() if table not in KEPT)
    return [
        target("b-tree entries a turn", sum(steady.entries[each] for each in KEPT) / turns, 21),
        f"  and of other tables  {others / turns:.2f}",
        *written_lines("a turn", steady.written, turns, 6.5),
        at_least("HOT share of conversations' updates", updates.hot / max(1, updates.all), 0.5),
        target(f"longest of {turns:,} turns, ms", max(steady.ms), 50),
        f"  ms of a median turn  {statistics.median(steady.ms):.2f}",
    ]


def streamed_lines(streamed: Streamed) -> list[str]:
    """Return the ratios of turns with streams to bare turns, and what they write."""
    rounds = streamed.rounds
    return [
        target("streamed turn alone / bare turn", rounds.ratio("alone", "bare"), 5),
        target("streamed turn of ten / bare turn", rounds.ratio("together", "bare"), 4),
        *written_lines("a streamed turn alone", streamed.written, streamed.turns, 16),
    ]


def written_lines(what: str, written: Written, turns: int, limit: float) -> list[str]:
    """Return the kilobytes of the log, those of the search apart."""
    kilobytes, of_search = (size / turns / 1000 for size in (written.bytes, written.search_bytes))
    return [
        target(f"KB of log, {what}, without search", kilobytes - of_search, limit),
        f"  KB for search  {of_search:.2f}",
    ]


def target(what: str, value: float, limit: float) -> str:
    """Return the line of a metric that is to be small."""
    return f"{what:40}  {value:.2f} (at most {limit:g})"


def at_least(what: str, value: float, limit: float) -> str:
    """Return the line of a metric that is to be large."""
    return f"{what:40}  {value:.2f} (at least {limit:g})"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.cost", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--messages", type=int, default=1_000_000, help="in each (1000000)")
    parser.add_argument("--rounds", type=int, default=14, help="of the comparison (14)")
    parser.add_argument("--turns", type=int, default=6000, help="steady ones (6000)")
    parser.add_argument("--streams", type=int, default=6, help="rounds of streamed turns (6)")
    arguments = Arguments(**vars(parser.parse_args()))
    sys.stdout.write(f"$ python -m bench.cost  # {arguments.messages:,} messages, {machine()}\n")
    asyncio.run(print_all(arguments))


async def print_all(arguments: Arguments) -> None:
    """Print each part as soon as it is measured."""
    async for lines in measure(arguments):
        sys.stdout.write("\n".join(lines) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
