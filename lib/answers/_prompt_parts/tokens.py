"""An estimate of the tokens of a prompt, without a tokenizer."""

import json
from collections.abc import Sequence
from itertools import takewhile
from typing import Any

from lib.conversations.message import Message
from lib.conversations.parts import Text
from lib.conversations.steps import Step, steps_of
from lib.files.kinds import SEEN_TYPES
from lib.files.limits import MAX_TEXT_CHARS
from lib.model.cost import CHARS_PER_TOKEN, FILE_CHARS


def estimate_prompt_tokens(messages: Sequence[Message]) -> int:
    """Estimate the tokens of a request that tells these messages.

    The provider's own count for the newest answer that has one, and the characters since. That
    count has all that the answer's request began with, also the instructions and the tools. So it
    is too high if the window has moved since: ask with the messages that the answer was made of,
    and the answer. Without any count the characters alone are estimated, without instructions and
    tools.

    Args:
        messages: of one window, oldest first.
    """
    newest_first = messages[::-1]
    since = list(takewhile(lambda message: _counted(message) is None, newest_first))
    counted = _counted(newest_first[len(since)]) if len(since) < len(messages) else None
    return (counted or 0) + _tokens(sum(map(_chars_of, since)))


def _counted(answer: Message) -> int | None:
    """Return the tokens of an answer's last request and of all steps of the answer.

    An answer's count of prompt tokens is the sum of its requests, one for each step: each has what
    the first has, and the steps before. Its completion tokens have thoughts, which seldom go back.
    """
    if answer.role != "assistant" or not answer.prompt_tokens:
        return None
    steps = [*steps_of(answer.step_columns)] or [Step()]
    written = sum(map(_written_chars, steps))
    grown = [_tokens(_written_chars(step) + _result_chars(step)) for step in steps]
    repeated = sum(tokens * later for later, tokens in enumerate(reversed(grown)))
    first_request = max(0, answer.prompt_tokens - repeated) // len(steps)
    completion = _tokens(written)
    if answer.completion_tokens is not None:
        completion = max(0, answer.completion_tokens - (answer.reasoning_tokens or 0))
    return first_request + completion + _tokens(sum(map(_result_chars, steps)))


def _chars_of(message: Message) -> int:
    if message.role == "assistant":
        steps = steps_of(message.step_columns)
        return sum(_written_chars(step) + _result_chars(step) for step in steps)
    parts = sum(len(json.dumps(part, ensure_ascii=False)) for part in _data_in(message))
    return len(message.content) + parts + sum(map(_file_chars, message.files or []))


def _data_in(message: Message) -> list[dict[str, Any]]:
    return [part for parts in message.steps or [] for part in parts if part["type"] == "data"]


def _file_chars(file: dict[str, Any]) -> int:
    if file["mediaType"] in SEEN_TYPES:
        return FILE_CHARS
    return min(file.get("size", 0), MAX_TEXT_CHARS)


def _written_chars(step: Step) -> int:
    texts = sum(len(part.text) for part in step.parts if isinstance(part, Text))
    return texts + sum(len(call.name) + len(call.arguments_text()) for call in step.calls)


def _result_chars(step: Step) -> int:
    return sum(len(call.result()) for call in step.calls)


def _tokens(chars: int) -> int:
    return -(-chars // CHARS_PER_TOKEN)
