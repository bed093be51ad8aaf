"""Plain English: sentences whose subject is a noun of the product, not who or what."""

import pytest

from tests.support.product import ROOT
from tests.support.prose import prose_files, riddles_per_1000_words

# In 1,000 words. Starlette, psycopg_pool and procrastinate have 0 to 0.6.
LIMITS = {"lib": 3.0, "api": 3.0, "sql": 3.0, "README.md": 5.0, "docs": 5.0}


@pytest.mark.parametrize(("place", "limit"), LIMITS.items())
def test_prose_seldom_says_who_or_what_where_a_noun_could_stand(place: str, limit: float) -> None:
    rate = riddles_per_1000_words(prose_files(ROOT / place))

    assert rate <= limit, f"python -m tests.support.prose {place} lists each place"
