"""Fixtures: settings, which the counters read."""

from collections.abc import Iterator

import pytest

from tests.support.product import forget_process


@pytest.fixture(autouse=True)
def settings_without_a_database(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Run in a process that has the one variable that Parley needs."""
    monkeypatch.setenv("DATABASE_URL", "postgresql://nobody@127.0.0.1:1/nothing")
    forget_process()
    yield
    forget_process()
