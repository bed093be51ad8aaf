"""Two models of two dialects in one conversation, back and forth, with tools and thoughts."""

import json
from dataclasses import dataclass

import psycopg
import pytest
from starlette.types import Receive, Scope, Send

from tests.support.model_server import TITLE_MODEL
from tests.support.product import Parley, id_of
from tests.support.serving import Switchboard
from tests.zoo.providers import PROVIDERS
from tests.zoo.scenarios import Visit
from tests.zoo.server import Provider, Server

RESPONSES = next(each for each in PROVIDERS if each.name == "OpenAI, Responses")
# Those that have tools and need no setting. GLM is left out for its time: its streams end late.
CHATS = [
    each
    for each in PROVIDERS
    if each.is_chat and each.has_tools and not each.variables and each.name != "GLM"
]


@dataclass(frozen=True, slots=True)
class Both:
    """Serves two providers, each at its path.

    Attributes:
        servers: the providers by the names of their models.
    """

    servers: dict[str, Server]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        if scope["type"] == "http":
            paths = {
                server.provider.path.partition("?")[0]: server for server in self.servers.values()
            }
            [server] = [each for path, each in paths.items() if scope["path"].startswith(path)]
            await server(scope, receive, send)


@pytest.fixture
def chat(request: pytest.FixtureRequest) -> Provider:
    """Return the provider of Chat Completions."""
    return request.param


@pytest.fixture
def both(chat: Provider) -> Both:
    """Return the servers of both."""
    return Both({"Chat": Server(chat), "Responses": Server(RESPONSES)})


@pytest.fixture
def environment(
    environment: dict[str, str], both: Both, model_switchboard: Switchboard
) -> dict[str, str]:
    """Return an environment with both models."""
    model_switchboard.app = both
    entries = [
        {
            "name": name,
            "model": "a-model",
            "base_url": model_switchboard.base_url + server.provider.path,
            "api": "chat" if server.provider.is_chat else "responses",
        }
        for name, server in both.servers.items()
    ]
    first = entries[0]["base_url"]
    return environment | {
        "OPENAI_BASE_URL": first,
        "OPENAI_TITLE_MODEL": TITLE_MODEL,
        "MODELS": json.dumps(entries),
    }


@pytest.mark.parametrize("chat", CHATS, ids=lambda chat: chat.name, indirect=True)
async def test_two_models_of_two_dialects_take_turns_with_tools_and_thoughts(
    parley: Parley, database: psycopg.Connection, both: Both
) -> None:
    servers = both.servers
    visit = Visit(servers["Chat"], parley, database, id_of("both"))
    for round_number in range(2):
        for name in ("Chat", "Responses", "Responses", "Chat"):
            visit.server = servers[name]
            await visit.say(f"Hello {round_number} from {name} {visit.number}", model=name)
            await visit.add_task(f"milk {visit.number}", model=name)

    answers = [each for each in await visit.history() if each["role"] == "assistant"]
    assert [each["metadata"]["model"] for each in answers] == 2 * (
        ["Chat"] * 2 + ["Responses"] * 4 + ["Chat"] * 2
    )
    # What each has sent for itself alone comes back to it, and to no other.
    assert {name: server.missed for name, server in servers.items()} == {
        "Chat": [],
        "Responses": [],
    }
