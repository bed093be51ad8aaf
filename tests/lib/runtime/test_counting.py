"""Metrics: how a process counts, and which quantiles the buckets give."""

import math
from collections.abc import Iterator

import pytest

from lib.operations.report import quantile
from lib.runtime.counting import Counters, Metric, counters, observe
from tests.support.product import forget_process


@pytest.fixture(autouse=True)
def _process(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Run in a process whose settings are valid."""
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
def test_a_quantile_is_computed_as_prometheus_does(
    counts: dict[float, int], share: float, expected: float
) -> None:
    assert quantile(BOUNDS, counts, share) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("seconds", "bound"), [(0.0, 0.1), (0.1, 0.1), (0.11, 0.2), (0.4, 0.4), (0.41, math.inf)]
)
def test_a_duration_is_counted_in_the_lowest_bucket_that_can_hold_it(
    seconds: float, bound: float
) -> None:
    observe(Metric("tried_seconds", "", bounds=BOUNDS), seconds)

    assert counters().take() == {("tried_seconds", "none", "", bound): (1, seconds)}


def test_counts_that_are_put_back_are_added_to_the_counts_made_meanwhile() -> None:
    counted = Counters()
    key = ("tried", "none", "", math.inf)
    counted.add(key, 1, 0.5)
    taken = counted.take()
    counted.add(key, 2, 0.25)

    counted.put_back(taken)

    assert counted.take() == {key: (3, 0.75)}
    assert counted.take() == {}
