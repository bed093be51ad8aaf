"""A model may be silent, while it thinks or is loaded, for as long as the function may run."""

import pytest

from lib.model import _provider
from tests.support.model_server import Reply, ScriptedModel
from tests.support.product import Parley, parts_of, problem_of, text_of

WHOLE = "Hello, how are you?"
SILENT_SECONDS = 1.5


@pytest.fixture
def quick_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the limit for connecting shorter than the silences of these tests."""
    monkeypatch.setattr(_provider, "CONNECT_TIMEOUT_SECONDS", SILENT_SECONDS / 3)


@pytest.mark.usefixtures("quick_connections")
@pytest.mark.parametrize(
    "reply",
    [Reply(seconds_before=SILENT_SECONDS), Reply(seconds_between=SILENT_SECONDS)],
    ids=["before the headers", "midway"],
)
async def test_a_model_that_is_silent_before_the_deadline_is_waited_for(
    parley: Parley, model: ScriptedModel, reply: Reply
) -> None:
    model.replies = [reply]

    response = await parley.send("Hello!")

    assert text_of(response) == WHOLE
    assert parts_of(response)[-1]["finishReason"] == "stop"


@pytest.mark.environment(MODEL_SILENCE_SECONDS="1")
async def test_a_model_that_is_silent_for_longer_than_the_setting_is_a_504(
    parley: Parley, model: ScriptedModel
) -> None:
    model.replies = [Reply(hangs_after=0)]

    problem_of(await parley.send("Hello!"), 504, "model_timeout")


@pytest.mark.environment(MODEL_SILENCE_SECONDS="1")
async def test_a_model_that_falls_silent_midway_for_longer_than_the_setting_leaves_its_text(
    parley: Parley, model: ScriptedModel
) -> None:
    model.replies = [Reply(hangs_after=2)]

    response = await parley.send("Hello!")

    assert parts_of(response)[-1]["type"] == "error"
    answer = (await parley.history())["messages"][-1]
    assert (answer["content"], answer["finish_reason"]) == ("Hello, how", "error")
