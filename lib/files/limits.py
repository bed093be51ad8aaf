"""How much of the files of a conversation a request to the model has.

The database sends no more of them than that (`sql/functions/told_files.sql`), and the prompt
decides by the same numbers (`lib/answers/_prompt.py`).
"""

from typing import Any

from lib.files.kinds import SEEN_TYPES

# Of one message: its files together. Of one request: images and documents, before base64 makes them
# a third longer; providers refuse a request of more than 20 to 50 MB (Gemini 20, Anthropic 32,
# OpenAI 50).
MAX_MESSAGE_BYTES = 14_000_000
# Of the texts of one message, about 25,000 tokens; of one request, twice as many.
MAX_TEXT_CHARS = 100_000
# Of a text that is told by its beginning.
BEGINNING_CHARS = 1000
# UTF-8, UTF-16 and UTF-32 have at most so many for a character.
BYTES_A_CHAR = 4


def text_end(chars: int) -> int:
    """Return how many bytes of a text hold so many characters, and show whether there are more."""
    return BYTES_A_CHAR * (chars + 1)


def told_limits(max_seen: int) -> dict[str, Any]:
    """Return the parameters of told_files.

    Args:
        max_seen: images and documents that a request may have.
    """
    return {
        "seen_types": [*SEEN_TYPES],
        "max_seen": max_seen,
        "max_bytes": MAX_MESSAGE_BYTES,
        # A byte counts as a character, whose number only the reader of the text knows.
        "max_text_bytes": MAX_TEXT_CHARS,
        "max_text_end": text_end(MAX_TEXT_CHARS),
        "max_beginning_end": text_end(BEGINNING_CHARS),
    }
