"""Results of tools as later requests tell them: whole, or by their beginnings."""

import json

# A longer result of an old answer is told by its beginning. In characters of its JSON text.
MAX_OLD_CHARS = 2000
BEGINNING_CHARS = 1000
NOTE = "This result is old, so only its beginning is here. Call the tool again to see all of it."


def old_result(result: str) -> str:
    """Return the result of a call in an old answer, as JSON text: the same in each request.

    Args:
        result: JSON text.
    """
    if len(result) <= MAX_OLD_CHARS:
        return result
    told = {"beginning": result[:BEGINNING_CHARS], "chars": len(result), "note": NOTE}
    return json.dumps(told, ensure_ascii=False, separators=(",", ":"))
