"""A provider of the zoo, led through all scenarios by the real product over HTTP."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import psycopg
import pytest

from tests.support.databases import Databases
from tests.support.model_server import TITLE_MODEL
from tests.support.product import CRON_SECRET, JWT_SECRET, Parley, id_of, running_product
from tests.support.serving import Switchboard
from tests.zoo.providers import STRICTEST
from tests.zoo.scenarios import (
    AFTER_ANOTHER,
    BEFORE_ANOTHER,
    SCENARIOS,
    Visit,
    try_scenario,
)
from tests.zoo.server import Provider, Server

# Ample on a busy machine: the longest scenario takes a second. All together stay within the limit
# of a test, so that a failure names each scenario.
LIMIT_SECONDS = 15.0
# Small, so that a conversation of 8 questions leaves it.
HISTORY_MESSAGES = 8
# Numbers of messages that a conversation has used with another provider.
USED_NUMBERS = 100


@dataclass(frozen=True, slots=True)
class Zoo:
    """The grounds.

    Attributes:
        databases: of the product.
        switchboard: serves the product.
        model_switchboard: serves the provider.
        monkeypatch: sets the product's variables.
    """

    databases: Databases
    switchboard: Switchboard
    model_switchboard: Switchboard
    monkeypatch: pytest.MonkeyPatch

    async def visit(self, provider: Provider) -> dict[str, str]:
        """Return the outcome of each scenario: "ok", or why it fails.

        One process serves all scenarios, as a function does, but for the turns with another model:
        a process before it and one after it make these.
        """
        server, other = Server(provider), Server(STRICTEST)
        outcomes: dict[str, str] = {}
        with self.databases.lent() as url, psycopg.connect(url, autocommit=True) as database:
            async with self._product(other, url) as parley:
                visit = Visit(other, parley, database, _chat_id(AFTER_ANOTHER))
                await visit.add_task("yeast")
                # Words that this provider will not say again.
                await visit.say("Cheers")
            async with self._product(server, url) as parley:
                for name, scenario in SCENARIOS.items():
                    if name != BEFORE_ANOTHER:
                        number = USED_NUMBERS if name == AFTER_ANOTHER else 0
                        visit = Visit(server, parley, database, _chat_id(name), number=number)
                        outcomes[name] = await try_scenario(scenario, visit, LIMIT_SECONDS)
            async with self._product(other, url) as parley:
                # The conversation that the provider has answered with a call.
                chat_id = _chat_id("two turns after it")
                visit = Visit(other, parley, database, chat_id, number=USED_NUMBERS)
                scenario = SCENARIOS[BEFORE_ANOTHER]
                outcomes[BEFORE_ANOTHER] = await try_scenario(scenario, visit, LIMIT_SECONDS)
        return outcomes

    @asynccontextmanager
    async def _product(self, server: Server, database_url: str) -> AsyncGenerator[Parley]:
        self.model_switchboard.app = server
        environment = {
            "DATABASE_URL": database_url,
            "OPENAI_API_KEY": "sk-test",
            "OPENAI_BASE_URL": self.model_switchboard.base_url + server.provider.path,
            "OPENAI_MODEL": "a-model",
            "OPENAI_TITLE_MODEL": TITLE_MODEL,
            "JWT_SECRET": JWT_SECRET,
            "CRON_SECRET": CRON_SECRET,
            "MESSAGES_PER_MINUTE": "0",
            "MESSAGES_PER_DAY": "0",
            "ANONYMOUS_PER_DAY": "0",
            "TOKENS_PER_DAY": "0",
            "BYTES_PER_DAY": "0",
            "HISTORY_MESSAGES": str(HISTORY_MESSAGES),
        }
        variables = environment | dict(server.provider.variables)
        async with running_product(self.switchboard, self.monkeypatch, variables) as parley:
            yield parley


def _chat_id(scenario: str) -> str:
    return id_of(f"conversation {scenario}")
