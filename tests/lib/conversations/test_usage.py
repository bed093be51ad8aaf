"""The cost of usage: each row at the prices of its model, and their total."""

from datetime import date
from typing import Any

from lib.conversations.usage import Usage, priced, total_of
from lib.prices import Prices

PRICES = {"small": Prices(input=0.25, output=2, cached_input=0.025)}
DAY = date(2026, 12, 2)


def usage(model: str | None, **counts: Any) -> Usage:
    """Return a row with these counts, and none of the others."""
    names = ("messages", "prompt_tokens", "cached_tokens", "completion_tokens", "reasoning_tokens")
    return Usage(**dict.fromkeys(names, 0) | counts, model=model, model_name=None, day=DAY)


def test_a_row_costs_the_prices_of_its_model_and_cached_tokens_their_own() -> None:
    counts = {"prompt_tokens": 1_000_000, "cached_tokens": 400_000, "completion_tokens": 1_000}

    # Thoughts are among the tokens that the model writes.
    assert priced(usage("small", **counts, reasoning_tokens=900), PRICES).cost == 162_000
    assert priced(usage("another", **counts), PRICES).cost is None
    assert priced(usage(None, **counts), PRICES).cost is None


def test_the_total_has_the_costs_that_are_known_and_the_tokens_without_one() -> None:
    rows = [
        usage("small", messages=2, prompt_tokens=1_000, cached_tokens=1_000, completion_tokens=50),
        usage("small", messages=1, completion_tokens=25, reasoning_tokens=5),
        usage(None, prompt_tokens=30, completion_tokens=4),
    ]

    total = total_of([priced(row, PRICES) for row in rows])

    assert (total.messages, total.prompt_tokens, total.completion_tokens) == (3, 1_030, 79)
    assert (total.cached_tokens, total.reasoning_tokens) == (1_000, 5)
    assert (total.cost, total.unpriced_tokens) == (25 + 100 + 50, 34)


def test_a_total_without_any_price_is_unknown_and_not_nothing() -> None:
    assert total_of([priced(usage("small", prompt_tokens=5), {})]).cost is None
