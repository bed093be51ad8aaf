"""One hostile hour, played as quickly as the machine can: all attacks at once, then the audit."""

import asyncio
from dataclasses import dataclass

import psycopg

from tests.hostile.attacks import ATTACKS, Attack, flood
from tests.hostile.audit import audit, size_of
from tests.hostile.honest import guests, users
from tests.hostile.world import World, world
from tests.support.analyses import until_answers_done


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the table, when the hour is over.

    Attributes:
        attack: the attack.
        counted: the thing that is counted.
        tried: how much of it the attack has tried to get.
        allowed: how much of it the attack has got.
        ceiling: how much of it the attack may get.
    """

    attack: str
    counted: str
    tried: int
    allowed: int
    ceiling: int


@dataclass(frozen=True, slots=True)
class HourResult:
    """The result of an hour.

    Attributes:
        rows: the table.
        errors: a line for each wrong thing.
        honest_answers: answers that honest people have got.
        slowest_seconds: the longest that one of them has waited.
    """

    rows: list[Row]
    errors: list[str]
    honest_answers: int
    slowest_seconds: float


async def play_hour(seed: int, database_url: str) -> HourResult:
    """Play all attacks at once beside honest people, on an empty database, and audit them."""
    with psycopg.connect(database_url, autocommit=True) as database:
        size_before = size_of(database)
        async with world(seed, database_url) as made:
            await asyncio.gather(_attack(made), users(made))
            await until_answers_done()
            await audit(made, database, size_before)
            rows = [
                Row(line.attack, line.counted, line.tried, line.allowed(), line.ceiling)
                for line in made.lines
            ]
    return HourResult(rows, made.errors, made.honest_answers, made.slowest_seconds)


async def _attack(made: World) -> None:
    """Play all attacks; at the end the one after which no guest gets an answer."""
    await asyncio.gather(guests(made), *(_play(made, attack) for attack in ATTACKS))
    await _play(made, flood)
    made.is_over.set()


async def _play(made: World, attack: Attack) -> None:
    """Play an attack; if it breaks, the others go on, and the result says so."""
    try:
        await attack(made)
    except Exception as error:  # noqa: BLE001 (of any kind)
        made.errors.append(f"the attack {attack.__name__} broke: {error!r}")
