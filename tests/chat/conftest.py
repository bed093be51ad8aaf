"""Fixtures for answers that are followed and stopped from elsewhere."""

import pytest

import lib.chat.post
import lib.chat.stream


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have requests come to another process than the one that answers, as far as they can tell."""
    monkeypatch.setattr(lib.chat.post, "running_answers", {})
    monkeypatch.setattr(lib.chat.stream, "running_answers", {})


@pytest.fixture(params=["in the same process", "in another process"])
def anywhere(request: pytest.FixtureRequest) -> None:
    """Run the test twice: requests come to the process that answers, and to another one."""
    if request.param == "in another process":
        request.getfixturevalue("elsewhere")
