"""The prices of a model, and the cost of tokens at them.

Providers state prices in a currency per million tokens. One of these is a millionth of the currency
per token, so a cost in millionths is a number of tokens times its price. The currency is the
operator's own: Parley names none.
"""

from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from typing import cast

# In any currency per million tokens; with all tokens that a row can count, the cost fits a bigint.
MAX_PRICE = 1_000_000
NAMES = ("input", "output", "cached_input")
FORM = 'like {"input": 0.25, "output": 2, "cached_input": 0.025}'


@dataclass(frozen=True, slots=True)
class Prices:
    """The prices of one model, in the currency per million tokens.

    Attributes:
        input: of a token that the model reads.
        output: of a token that it writes, thoughts among them.
        cached_input: of a token that the provider reads from its cache.
    """

    input: float
    output: float
    cached_input: float

    def cost(self, prompt_tokens: int, cached_tokens: int, completion_tokens: int) -> int:
        """Return the cost of tokens in millionths of the currency; a half is rounded up.

        Args:
            prompt_tokens: all tokens that the model has read.
            cached_tokens: those of them that came from the provider's cache; of more than there
                are, only so many count.
            completion_tokens: the tokens that it has written.
        """
        cached = min(cached_tokens, prompt_tokens)
        exact = (
            (prompt_tokens - cached) * _decimal(self.input)
            + cached * _decimal(self.cached_input)
            + completion_tokens * _decimal(self.output)
        )
        return int(exact.to_integral_value(ROUND_HALF_UP))


def read_prices(value: object) -> Prices:
    """Read the JSON object of prices: `input` and `output`, and `cached_input` if it is another.

    Without `cached_input`, tokens from the cache cost as much as others.

    Raises:
        ValueError: when it is no such object; says what it must be, so that the name of the setting
            can stand in front of it.
    """
    fields = cast("dict[str, object]", value) if isinstance(value, dict) else {}
    names = set(fields)
    if not {"input", "output"} <= names or not names <= set(NAMES):
        message = f"must be {FORM}, in the currency per million tokens; cached_input may be missing"
        raise ValueError(message)
    prices = {name: _price(name, price) for name, price in fields.items()}
    return Prices(prices["input"], prices["output"], prices.get("cached_input", prices["input"]))


def _price(name: str, value: object) -> float:
    # NaN is in no range.
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= MAX_PRICE:
        return float(value)
    message = f"must be {FORM}: its {name} must be a number from 0 to {MAX_PRICE}"
    raise ValueError(message)


def _decimal(price: float) -> Decimal:
    """Return a price as it was written: the float of 0.1 is a little more."""
    return Decimal(repr(price))
