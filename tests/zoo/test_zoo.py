"""Each provider of the zoo, led through all scenarios; `python -m tests.zoo` prints the table."""

import pytest

from tests.support.databases import Databases
from tests.support.serving import Switchboard
from tests.zoo.providers import PROVIDERS
from tests.zoo.scenarios import NOT_MEANT
from tests.zoo.server import Provider
from tests.zoo.visits import Zoo


@pytest.mark.parametrize("provider", PROVIDERS, ids=lambda provider: provider.name)
async def test_every_scenario_works_with_a_provider_as_it_really_is(
    provider: Provider,
    databases: Databases,
    switchboard: Switchboard,
    model_switchboard: Switchboard,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    zoo = Zoo(databases, switchboard, model_switchboard, monkeypatch)

    outcomes = await zoo.visit(provider)

    assert {name: why for name, why in outcomes.items() if why not in {"ok", NOT_MEANT}} == {}
