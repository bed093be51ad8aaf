"""The estimate of a prompt's tokens: the provider's own count, and the characters since."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from lib.answers._prompt_parts.tokens import estimate_prompt_tokens
from lib.conversations.message import Message, Role
from lib.conversations.parts import ToolCall
from lib.conversations.steps import Step, stored_steps
from tests.support.made_steps import made_step

NOW = datetime(2026, 1, 1, tzinfo=UTC)
CAT = {"url": "https://example.app/cat.png", "mediaType": "image/png"}
CSV = {"url": "data:text/csv;base64,YSxi", "mediaType": "text/csv", "size": 2000}


def message(role: Role, content: str, **columns: Any) -> Message:
    """Return a stored message."""
    return Message(0, UUID(int=1), "m", role, content, NOW, NOW, **columns)


def answer(*steps: Step, **counts: int) -> Message:
    """Return an answer with these steps and counts of tokens."""
    stored = stored_steps([*steps])
    columns = {"tool_calls": stored.tool_calls, "steps": stored.steps}
    return message("assistant", stored.content, **columns, **counts)


def calling(output: str) -> Step:
    """Return a step that calls a tool with 8 characters, which says this."""
    return made_step("", [ToolCall(id="1", name="search", arguments={}, output=output)])


QUESTION = message("user", "x" * 400)
PLAIN = answer(made_step("y" * 400), prompt_tokens=1000, completion_tokens=70)
# Two requests: 1,000, then 1,000 and the call (2 tokens) with its result (100).
WITH_TOOL = answer(
    calling("r" * 398), made_step("y" * 40), prompt_tokens=2102, completion_tokens=15
)


@pytest.mark.parametrize(
    ("messages", "tokens"),
    [
        ([], 0),
        ([QUESTION], 100),
        ([message("user", "x" * 400, files=[CAT, CSV])], 100 + 1000 + 500),
        ([QUESTION, answer(made_step("y" * 40))], 110),
        ([QUESTION, PLAIN], 1070),
        ([QUESTION, PLAIN, QUESTION], 1170),
        # Thoughts are not told again.
        (
            [answer(made_step("y"), prompt_tokens=9, completion_tokens=80, reasoning_tokens=60)],
            29,
        ),
        ([QUESTION, answer(made_step("y" * 40), prompt_tokens=1000)], 1010),
        ([QUESTION, WITH_TOOL], 1000 + 15 + 100),
        ([QUESTION, PLAIN, QUESTION, WITH_TOOL, QUESTION], 1000 + 15 + 100 + 100),
        # The newest answer has no count, as one that was stored for a killed function.
        ([PLAIN, QUESTION, answer(made_step("y" * 40)), QUESTION], 1070 + 100 + 10 + 100),
    ],
)
def test_tokens_are_the_newest_answers_own_and_the_characters_since(
    messages: list[Message], tokens: int
) -> None:
    assert estimate_prompt_tokens(messages) == tokens
