"""A fixture for providers that a test makes up of the zoo's quirks."""

from collections.abc import Callable

import pytest

from tests.support.model_server import ScriptedModel
from tests.support.serving import Switchboard
from tests.zoo.server import Provider, Server

type Provide = Callable[[Provider], Server]


@pytest.fixture
def provide(model: ScriptedModel, model_switchboard: Switchboard) -> Provide:
    """Return the way to put a provider where the product asks for its model."""
    assert model.base_url.startswith(model_switchboard.base_url)

    def put(provider: Provider) -> Server:
        server = Server(provider)
        model_switchboard.app = server
        return server

    return put
