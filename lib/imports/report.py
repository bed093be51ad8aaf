"""The report of an import: what is new, what was there already, and what is left out, and why."""

from collections import Counter
from typing import Any, cast, get_args

from lib.imports.drafts import Kind, Reason

OUTCOMES = ("new", "already_there")
REASONS: dict[Reason, str] = {
    "conversation_full": "The conversation has as many messages as one may have.",
    "empty": "There is no text in it.",
    "expired": "It is older than messages are kept here.",
    "hidden": "It is a message of the system or of a tool, or a hidden one.",
    "id_taken": "Its id belongs to somebody else.",
    "in_the_future": "Its time is in the future.",
    "later_messages": "The conversation here has gone on, and messages are added at the end only.",
    "no_messages": "None of its messages can be taken.",
    "no_time": "It has no time.",
    "not_imported": "An import does not bring this over.",
    "not_storable": "It has characters that cannot be stored: NUL, or half of a surrogate pair.",
    "other_version": "It is another version of a message, which was not shown any more.",
    "question_left_out": "It answers a message that is left out.",
    "too_long": "It is longer than a message may be.",
    "turn_in_progress": "The conversation is in use at this moment. Send the same again.",
    "unreadable": "It has not the form that this import expects.",
}
assert REASONS.keys() == {*get_args(Reason)}


def report_of(
    outcomes: Counter[tuple[str, str]], left_out: Counter[tuple[Kind, Reason]]
) -> dict[str, Any]:
    """Return the report, as clients see it.

    Args:
        outcomes: how many of a kind ('conversation' or 'message') had an outcome in the database.
        left_out: how many of a kind were left out before.
    """
    for (kind, outcome), count in outcomes.items():
        if outcome not in OUTCOMES:
            left_out[cast("Kind", kind), cast("Reason", outcome)] += count
    return {
        "conversations": _counts("conversation", outcomes, left_out),
        "messages": _counts("message", outcomes, left_out),
        "left_out": [
            {"kind": kind, "reason": reason, "count": count, "detail": REASONS[reason]}
            for (kind, reason), count in sorted(left_out.items())
        ],
    }


def _counts(
    kind: Kind, outcomes: Counter[tuple[str, str]], left_out: Counter[tuple[Kind, Reason]]
) -> dict[str, int]:
    return {outcome: outcomes[kind, outcome] for outcome in OUTCOMES} | {
        "left_out": sum(count for (each, _), count in left_out.items() if each == kind)
    }
