"""How much later the first token comes when 100 turns begin at once: a ratio within one run.

    python -m bench.crowd    takes a minute

One chat function in Vercel's own runtime, its database, the model and the clients share this
machine. Users who signed in go on with a conversation each. The model says the first of 20 tokens
at once. First each of some turns is alone, then 100 begin at once, in rounds.
"""

import argparse
import asyncio
import itertools
import statistics
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from bench.asking import Heard, hear
from bench.large import large_server, machine
from bench.model import PacedModel
from bench.serving import start_chat
from bench.workers import PARLEY, prepared
from bench.workload import CONVERSATIONS, Place, conversation_id, question
from tests.support.product import token_of

AT_ONCE, ALONE = 100, 15
TOKENS, SECONDS_BETWEEN = 20, 0.05
MOST = 15


@dataclass(slots=True)
class Measured:
    """Milliseconds from the request to the first token, in each round; and answers that broke."""

    alone: list[list[float]] = field(default_factory=list[list[float]])
    at_once: list[list[float]] = field(default_factory=list[list[float]])
    failed: int = 0

    def note(self, rounds: list[list[float]], heard: Sequence[Heard]) -> None:
        """Note a round's."""
        rounds.append([each.first_ms for each in heard])
        self.failed += sum(not each.is_whole for each in heard)


async def measure(rounds: int) -> Measured:
    """Take turns alone, and at once."""
    model, measured = await PacedModel.start(), Measured()
    model.tokens, model.seconds_between = TOKENS, SECONDS_BETWEEN
    with large_server() as server:
        place = Place((await prepared(server, (PARLEY,)))[PARLEY], 1)
        numbers = itertools.cycle(range(CONVERSATIONS))
        with start_chat(place.url, model.port) as function:
            # The modules are imported, and the connections open.
            await at_once(function.base_url, place, numbers)
            for _ in range(rounds):
                alone = [await turn(function.base_url, place, next(numbers)) for _ in range(ALONE)]
                measured.note(measured.alone, alone)
                heard = await at_once(function.base_url, place, numbers)
                measured.note(measured.at_once, heard)
    return measured


async def at_once(base_url: str, place: Place, numbers: Iterator[int]) -> list[Heard]:
    """Begin AT_ONCE turns."""
    chosen = itertools.islice(numbers, AT_ONCE)
    return await asyncio.gather(*(turn(base_url, place, number) for number in chosen))


async def turn(base_url: str, place: Place, number: int) -> Heard:
    """Take one turn in a conversation."""
    token = token_of(place.user_of(number))
    return await hear(base_url, conversation_id(number), 120, token=token, message=question())


def table(measured: Measured) -> list[str]:
    """Return the medians, and how they relate."""
    alone, many = (
        [statistics.median(each) for each in rounds]
        for rounds in (measured.alone, measured.at_once)
    )
    ratio = statistics.median(much / one for one, much in zip(alone, many, strict=True))
    longest = max(max(each) for each in measured.at_once)
    return [
        f"first token alone, ms        {statistics.median(alone):.0f}",
        f"first token of {AT_ONCE}, ms       {statistics.median(many):.0f}, longest {longest:.0f}",
        f"first token, {AT_ONCE} at once / one alone  {ratio:.1f} (at most {MOST})",
        f"answers that failed  {measured.failed} (at most 0)",
    ]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.crowd", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--rounds", type=int, default=5, help="of turns alone and at once (5)")
    rounds: int = parser.parse_args().rounds
    lines = [f"$ python -m bench.crowd  # {machine()}", *table(asyncio.run(measure(rounds)))]
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
