"""What a turn costs the function's own process, beside a bare one: ratios within one run.

    python -m bench.function              takes three minutes
    python -m bench.function --rounds 2   a quick look

The chat function, for somebody who signed in, with tools, and for somebody anonymous, and a bare
ASGI application (bench.bare_function), all in Vercel's own runtime, take turns. Each turn begins a
conversation and has an answer of 20 tokens, one each 10 ms; a title is asked for, too. Model and
client are in another process, and so is the database: what is measured is the processor time of all
threads of the function's process, as the kernel counts it. `ms` is the median of the rounds, a
ratio the median of the ratios within each round.
"""

import argparse
import asyncio
import statistics
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from uuid import uuid4

from bench.asking import hear
from bench.large import large_server, machine
from bench.meters import process_worked_ns
from bench.model import PacedModel
from bench.serving import start_chat
from bench.workers import BARE, PARLEY, prepared
from bench.workload import question
from tests.support.product import token_of
from tests.support.runtime import RunningFunction, start_function

TOKENS, SECONDS_BETWEEN = 20, 0.01
COUNT, WARM_UP = 20, 10
# What an answer leaves to be done once its client has got it.
REST_SECONDS = 0.2
SIGNED_IN, ANONYMOUS = "signed in", "anonymous"
# The issue's: a function that takes a turn by hand, three times.
MOST = 3


@dataclass(frozen=True, slots=True)
class Candidate:
    """A function, and what its process has worked for a turn in each round, in milliseconds."""

    name: str
    function: RunningFunction
    token: str | None = None
    ms: list[float] = field(default_factory=list[float])

    async def take(self, count: int) -> float:
        """Take turns, one after the other; return the milliseconds of the processor for each."""
        began = process_worked_ns(self.function.process_id)
        for _ in range(count):
            heard = await hear(
                self.function.base_url, uuid4(), 60, token=self.token, message=question()
            )
            assert heard.is_whole
        await asyncio.sleep(REST_SECONDS)
        return (process_worked_ns(self.function.process_id) - began) / count / 1e6


async def measure(rounds: int) -> list[Candidate]:
    """Have the candidates take turns."""
    model = await PacedModel.start()
    model.tokens, model.seconds_between = TOKENS, SECONDS_BETWEEN
    with large_server() as server, ExitStack() as stack:
        urls = await prepared(server, (PARLEY, BARE))
        chat = stack.enter_context(start_chat(urls[PARLEY], model.port, has_titles=True))
        environment = {"DATABASE_URL": urls[BARE], "MODEL_PORT": str(model.port)}
        bare = stack.enter_context(start_function("bench/bare_function.py", environment))
        candidates = [
            Candidate(SIGNED_IN, chat, token_of("user-0")),
            Candidate(ANONYMOUS, chat),
            Candidate(BARE.name, bare),
        ]
        for candidate in candidates:
            await candidate.take(WARM_UP)
        for number in range(rounds):
            first = number % len(candidates)
            for candidate in (*candidates[first:], *candidates[:first]):
                candidate.ms.append(await candidate.take(COUNT))
    return candidates


def table(candidates: Sequence[Candidate]) -> list[str]:
    """Return what was measured, and how it relates to the bare function."""
    *ours, bare = candidates
    lines = [f"{'':10}  ms of a turn"]
    lines += [f"{each.name:10}  {statistics.median(each.ms):12.2f}" for each in candidates]
    for each in ours:
        ratio = statistics.median(mine / its for mine, its in zip(each.ms, bare.ms, strict=True))
        lines.append(f"function's processor, {each.name} / bare  {ratio:.2f} (at most {MOST})")
    return lines


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.function", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--rounds", type=int, default=8, help="of 20 turns each (8)")
    rounds: int = parser.parse_args().rounds
    lines = [f"$ python -m bench.function  # {machine()}", *table(asyncio.run(measure(rounds)))]
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
