"""Steps of answers, as tests make them."""

from collections.abc import Sequence
from typing import Any

from lib.conversations.parts import Text, ToolCall
from lib.conversations.steps import Step


def made_step(
    text: str = "", calls: Sequence[ToolCall] = (), state: dict[str, Any] | None = None
) -> Step:
    """Return a step with a text, unless it is empty, and then tool calls."""
    return Step([*([Text(text)] if text else []), *calls], state)
