"""Pinned facts: what the user said with a number or a name, word for word.

Those that a summary lacks: a good model keeps them, and then nothing is pinned; a small one does
not. Bounded, because a summary is told with each request.
"""

import re
from collections.abc import Iterable

HEADER = "In the user's own words:"
MARK = "- "
MAX_SENTENCE_CHARS = 160
# Of all pinned sentences together. The middle goes first: a user's name comes early, the newest
# wishes late.
MAX_CHARS = 1200
SENTENCE = re.compile(r"(?<=[.!?…。！？])\s+|\n+")  # noqa: RUF001 (the marks of other scripts)
# A number, or a word with a capital letter that does not begin the sentence.
TOKEN = re.compile(r"\d+(?:[.,:/-]\d+)*|(?<=[^\W\d_][\s,;:(\"“'-])[^\W\d_a-zß-öø-ÿ]\w{2,}")


def with_pins(summary: str, memory: str | None, texts: Iterable[str]) -> str:
    """Return a summary with the facts that it lacks.

    Args:
        summary: what the model wrote.
        memory: the summary before it, whose pins are kept.
        texts: of the user's messages since, oldest first.
    """
    told = summary.partition(HEADER)[0].strip()
    lowered = told.lower()
    candidates = [*_pins_in(memory or ""), *(each for text in texts for each in _facts_in(text))]
    pins = [
        each
        for each in dict.fromkeys(candidates)
        if any(token.lower() not in lowered for token in TOKEN.findall(each))
    ]
    while sum(map(len, pins)) > MAX_CHARS:
        pins.pop(len(pins) // 2)
    return "\n".join([told, "", HEADER, *(f"{MARK}{pin}" for pin in pins)]) if pins else told


def _pins_in(memory: str) -> list[str]:
    _, _, pinned = memory.partition(HEADER)
    return [line.removeprefix(MARK) for line in pinned.splitlines() if line.startswith(MARK)]


def _facts_in(text: str) -> list[str]:
    sentences = (" ".join(each.split()) for each in SENTENCE.split(text))
    return [each for each in sentences if len(each) <= MAX_SENTENCE_CHARS and TOKEN.search(each)]
