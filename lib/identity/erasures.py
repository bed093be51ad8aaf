"""Erasures in the log, which outlives a restore: `python -m dev.replay_erasures` repeats them.

A backup brings back the data that was erased after it was made. A list of erasures in the database
would be restored to the same moment, so the list is in the log, with keyed hashes in place of ids.
"""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Literal

from lib.identity.clients import hashed
from lib.runtime.log import log

type Erased = Literal["user", "conversation", "task"]

# 128 bits: no two ids of one database have the same hash.
HASH_CHARS = 32
# Tells the secrets of a line from other secrets, and nothing about them.
KEY_CHARS = 8


def log_erasure(what: Erased, ids: Iterable[object]) -> None:
    """Log that rows were erased at their user's wish; call it after the deletion.

    Args:
        what: the table that the rows were in, in the singular.
        ids: their ids; none: nothing is logged.
    """
    hashes = [erasure_hash(what, each) for each in ids]
    if hashes:
        log(
            "erased",
            what=what,
            hashes=hashes,
            key=erasure_key(),
            erased_at=datetime.now(UTC).isoformat(),
        )


def erasure_hash(what: Erased, row_id: object) -> str:
    """Return the keyed hash that stands for a row's id in the log."""
    return _tail(hashed(f"erased {what}", str(row_id)), HASH_CHARS)


def erasure_key() -> str:
    """Return a name for the secrets that make the hashes: it changes when they do."""
    return _tail(hashed("key of erasures", ""), KEY_CHARS)


def _tail(text: str, chars: int) -> str:
    return text[-chars:]
