"""Text made of the words of a chat: a few words often, most words seldom, as Zipf found.

The n-th most frequent of the words is drawn with a probability of about 1/n. An answer of 85 words
then has about 60 different ones, and a million messages have tens of thousands, as chats do. So a
full-text index has as much to store as in life. The same seed gives the same text.
"""

import random
from functools import cache
from pathlib import Path

WORD_COUNT = 40_000
FIRST_WORDS = Path(__file__).parents[1] / "lib" / "chat" / "words.txt"
SEED = 20
# Seldom enough for a search to find a handful of a user's messages.
SELDOM = 1500


@cache
def vocabulary() -> tuple[str, ...]:
    """Return WORD_COUNT words, the most frequent first; the later ones are compounds."""
    listed = FIRST_WORDS.read_text("utf-8").split()
    simple = [word for word in dict.fromkeys(listed) if word.isalpha()]
    compounds = (head + tail for tail in simple[100:] for head in simple)
    words = dict.fromkeys(simple)
    while len(words) < WORD_COUNT:
        words[next(compounds)] = None
    return tuple(words)


def seldom_word(number: int) -> str:
    """Return a word that is seldom; the number says which of some hundreds."""
    return vocabulary()[SELDOM + number % 500]


class Speaker:
    """Says words at random."""

    def __init__(self, seed: int = SEED) -> None:
        """Begin anew."""
        self._random = random.Random(seed)  # noqa: S311 (not a secret)

    def words(self, count: int) -> list[str]:
        """Return so many words."""
        # The logarithm of a rank by Zipf's law is spread evenly.
        every, chance = vocabulary(), self._random.random
        return [every[int(WORD_COUNT ** chance()) - 1] for _ in range(count)]

    def text(self, count: int) -> str:
        """Return a text of so many words."""
        return " ".join(self.words(count))
