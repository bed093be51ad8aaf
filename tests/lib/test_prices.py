"""The prices of a model: a strict form, and costs that are exact to the millionth."""

import json

import pytest

from lib.prices import Prices, read_prices

PRICES = Prices(input=0.25, output=2, cached_input=0.025)


@pytest.mark.parametrize(
    ("tokens", "cost"),
    [
        ((0, 0, 0), 0),
        ((1_000_000, 0, 0), 250_000),
        ((1_000_000, 1_000_000, 0), 25_000),
        ((1_000_000, 400_000, 1_000), 150_000 + 10_000 + 2_000),
        # A half millionth: it would be lost by rounding to even.
        ((2, 0, 0), 1),
        # Providers have counted more cached tokens than tokens.
        ((100, 200, 0), 3),
    ],
)
def test_tokens_cost_their_prices(tokens: tuple[int, int, int], cost: int) -> None:
    assert PRICES.cost(*tokens) == cost


def test_a_cost_is_exact_where_binary_numbers_are_not() -> None:
    # As floats, 0.1 * 3 + 0.2 and 1.1 * 9_007_199_254_740_993 are both something else.
    assert Prices(0.1, 0.2, 0.1).cost(25, 0, 10) == 5
    assert Prices(1.1, 0, 0).cost(9_007_199_254_740_990, 0, 0) == 9_907_919_180_215_089


def test_tokens_from_the_cache_cost_as_much_as_others_where_no_price_is_told() -> None:
    assert read_prices({"input": 3, "output": 15}) == Prices(3, 15, 3)
    assert read_prices(json.loads('{"input": 3, "output": 15, "cached_input": 0}')) == Prices(
        3, 15, 0
    )


@pytest.mark.parametrize(
    "text",
    [
        *("null", "[]", "3", '"free"', "{}", '{"input": 1}', '{"output": 1}'),
        '{"input": 1, "output": 1, "cache": 1}',
        '{"input": "1", "output": 1}',
        '{"input": true, "output": 1}',
        '{"input": null, "output": 1}',
        '{"input": -1, "output": 1}',
        '{"input": 1, "output": NaN}',
        '{"input": 1, "output": Infinity}',
        '{"input": 1, "output": 1, "cached_input": 1000001}',
    ],
)
def test_prices_of_another_form_are_refused_with_the_form(text: str) -> None:
    with pytest.raises(ValueError, match=r'^must be like \{"input": 0.25, '):
        read_prices(json.loads(text))
