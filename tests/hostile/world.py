"""The product under attack, its provider and its people."""

import asyncio
import itertools
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from random import Random

import httpx2
import pytest

import lib.users.accounts
import lib.users.tasks
from tests.hostile.people import PATIENCE_SECONDS, Person
from tests.hostile.provider import Bill, CountingModel, total_of
from tests.support.model_server import TITLE_MODEL
from tests.support.product import (
    CRON_SECRET,
    JWT_SECRET,
    METRICS_TOKEN,
    running_product,
    token_of,
)
from tests.support.serving import Switchboard, serve
from tests.support.transports import ResendingTransport

MESSAGES_PER_DAY = 4
ANONYMOUS_PER_DAY = 100
TOKENS_PER_DAY = 20_000
BYTES_PER_DAY = 60_000
# Of lib/turns/quota.py: a site, and for tokens and bytes all guests together.
SHARED = 10
# Of begin_turn: free attempts at a question whose attempts the provider has failed.
FREE_ATTEMPTS = 3
# Of sql/functions/count_guess.sql, and of lib/users/attempts.py.
GUESSES_PER_MINUTE = 60
FREE_LOG_INS = 5
REGISTRATIONS_PER_DAY = 10
# Instead of the 1,000 of lib/users/tasks.py.
MAX_TASKS = 5


@dataclass(slots=True, kw_only=True)
class Line:
    """A line of the table: an attack and its ceiling.

    Attributes:
        attack: the attack.
        counted: the thing that is counted.
        tried: how much of it the attack has tried to get.
        ceiling: how much of it the attack may get.
        allowed: tells how much of it the attack has got, when the hour is over.
        is_reached: an attack with enough tries gets all that the ceiling allows, so less of it
            shows that the attack has failed for another reason.
    """

    attack: str
    counted: str
    tried: int
    ceiling: int
    allowed: Callable[[], int]
    is_reached: bool = True


@dataclass(slots=True)
class World:
    """The product, its provider and its people.

    Attributes:
        http: a client of the product.
        model: the provider.
        random: of the attacks.
        people: each person, by name.
        lines: the table.
        errors: a line for each wrong thing.
        slowest_seconds: the longest time that an honest person has waited for an answer.
        honest_answers: answers that honest people have got.
        is_over: set when all attacks are over.
        stored_bytes: bytes of messages in the database by person, when the hour is over.
    """

    http: httpx2.AsyncClient
    model: CountingModel
    random: Random
    people: dict[str, Person] = field(default_factory=dict[str, Person])
    lines: list[Line] = field(default_factory=list[Line])
    errors: list[str] = field(default_factory=list[str])
    slowest_seconds: float = 0.0
    honest_answers: int = 0
    is_over: asyncio.Event = field(default_factory=asyncio.Event)
    stored_bytes: dict[str, int] = field(default_factory=dict[str, int])
    _hosts: "itertools.count[int]" = field(default_factory=itertools.count)

    def user(self, name: str) -> Person:
        """Return a user of the operator's identity provider, at an address of their own."""
        return self._person(name, token_of(name))

    def guest(self, name: str) -> Person:
        """Return a guest at an address of their own."""
        return self._person(name, None)

    def account(self, name: str, address: str, token: str) -> Person:
        """Return the user of a local account."""
        person = self._person(name, token)
        person.address = address
        return person

    def address(self) -> str:
        """Return an IPv4 address that nobody has."""
        number = next(self._hosts)
        return f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}"

    def bill(self, *people: Person) -> Bill:
        """Return the provider's bill for some people together."""
        return total_of(self.model.bills[person.name] for person in people)

    def _person(self, name: str, token: str | None) -> Person:
        person = Person(name, self.http, self.address(), token)
        self.people[name] = person
        return person


@asynccontextmanager
async def world(seed: int, database_url: str) -> AsyncGenerator[World]:
    """Serve the product with small limits, on a database that is migrated and empty."""
    model = CountingModel(Random(seed))
    switchboard = Switchboard()
    async with serve(model) as model_url, serve(switchboard) as base_url:
        switchboard.base_url = base_url
        environment = {
            "DATABASE_URL": database_url,
            "OPENAI_API_KEY": "sk-test",
            "OPENAI_BASE_URL": f"{model_url}/v1",
            "OPENAI_TITLE_MODEL": TITLE_MODEL,
            # Their descriptions would be a part of each prompt that the provider does not count.
            "TOOLS": "off",
            "JWT_SECRET": JWT_SECRET,
            "CRON_SECRET": CRON_SECRET,
            "METRICS_TOKEN": METRICS_TOKEN,
            "LOCAL_ACCOUNTS": "true",
            "MESSAGES_PER_MINUTE": "0",
            "MESSAGES_PER_DAY": str(MESSAGES_PER_DAY),
            "ANONYMOUS_PER_DAY": str(ANONYMOUS_PER_DAY),
            "TOKENS_PER_DAY": str(TOKENS_PER_DAY),
            "BYTES_PER_DAY": str(BYTES_PER_DAY),
        }
        limits = httpx2.Limits(max_connections=None, max_keepalive_connections=20)
        with pytest.MonkeyPatch.context() as patch:
            # As quick as it gets: the attacks count passwords, and crack none.
            patch.setattr(lib.users.accounts, "BCRYPT_ROUNDS", 4)
            patch.setattr(lib.users.tasks, "MAX_TASKS", MAX_TASKS)
            async with (
                running_product(switchboard, patch, environment) as product,
                httpx2.AsyncClient(
                    base_url=product.base_url,
                    timeout=PATIENCE_SECONDS,
                    transport=ResendingTransport(limits=limits, verify=False),
                ) as http,
            ):
                yield World(http, model, Random(seed))
