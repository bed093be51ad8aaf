"""Figures: what is counted, and what is made of it."""

import math
from collections.abc import Iterator

import pytest

from lib.operations.report import quantile
from lib.runtime import counting as figures
from lib.runtime.counting import Counters, Figure
from tests.support.product import forget_process


@pytest.fixture(autouse=True)
def _process(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Have a process whose settings are in order."""
    monkeypatch.setenv("DATABASE_URL", "postgresql://parley@/parley")
    forget_process()
    yield
    forget_process()


BOUNDS = (0.1, 0.2, 0.4)


@pytest.mark.parametrize(
    ("counts", "share", "expected"),
    [
        ({0.1: 10}, 0.5, 0.05),
        ({0.1: 10}, 1.0, 0.1),
        ({0.2: 10}, 0.5, 0.15),
        ({0.1: 50, 0.4: 50}, 0.5, 0.1),
        ({0.1: 50, 0.4: 50}, 0.75, 0.3),
        ({math.inf: 10}, 0.5, 0.4),
        ({0.1: 90, math.inf: 10}, 0.99, 0.4),
    ],
)
def test_a_quantile_is_as_prometheus_computes_it(
    counts: dict[float, int], share: float, expected: float
) -> None:
    assert quantile(BOUNDS, counts, share) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("seconds", "bound"), [(0.0, 0.1), (0.1, 0.1), (0.11, 0.2), (0.4, 0.4), (0.41, math.inf)]
)
def test_a_value_falls_into_the_bucket_whose_bound_it_does_not_exceed(
    seconds: float, bound: float
) -> None:
    figures.observe(Figure("tried_seconds", "", bounds=BOUNDS), seconds)

    assert figures.counters().take() == {("tried_seconds", "none", "", bound): (1, seconds)}


def test_what_is_put_back_is_added_to_what_was_counted_meanwhile() -> None:
    counted = Counters()
    key = ("tried", "none", "", math.inf)
    counted.add(key, 1, 0.5)
    taken = counted.take()
    counted.add(key, 2, 0.25)

    counted.put_back(taken)

    assert counted.take() == {key: (3, 0.75)}
    assert counted.take() == {}
