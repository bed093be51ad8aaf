"""Fixtures for answers that are followed and stopped from another process."""

import pytest

import lib.chat.post
import lib.chat.stream


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
