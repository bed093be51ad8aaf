"""Fixtures: tools of a test's own, and answers that are followed from another process."""

from collections.abc import AsyncGenerator, Callable, Iterator
from typing import Any

import pytest

import lib.chat.post
import lib.chat.stream
import lib.tools
from lib.tools import tool, tools
from tests.support.model_server import ScriptedModel
from tests.support.responses_model import ResponsesModel
from tests.support.serving import Switchboard
from tests.support.small_model import SmallModel

# The decorator `tool`.
type Offer = Callable[..., Any]


@pytest.fixture
def offer() -> Iterator[Offer]:
    """Return a function that offers one more tool while the test runs."""
    before = dict(tools())
    tools.cache_clear()

    yield tool

    lib.tools._tools.clear()
    lib.tools._tools.update(before)
    tools.cache_clear()


@pytest.fixture
def small(model: ScriptedModel) -> SmallModel:
    """Return a model with a context of 4,000 tokens."""
    small = SmallModel()
    model.choose = small
    return small


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide the running answers from requests, as if another process made them."""
    monkeypatch.setattr(lib.chat.post, "running_answers", {})
    monkeypatch.setattr(lib.chat.stream, "running_answers", {})


@pytest.fixture(params=["in the same process", "in another process"])
def anywhere(request: pytest.FixtureRequest) -> None:
    """Run the test twice: with requests to the process that answers, and to another one."""
    if request.param == "in another process":
        request.getfixturevalue("elsewhere")


@pytest.fixture
async def responses(model_switchboard: Switchboard) -> AsyncGenerator[ResponsesModel]:
    """Return a model that speaks Responses only; no request of a test may break its rules."""
    scripted = ResponsesModel()
    scripted.base_url = f"{model_switchboard.base_url}/v1"
    model_switchboard.app = scripted
    yield scripted
    model_switchboard.app = None
    assert scripted.faults == []
