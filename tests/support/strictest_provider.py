"""The order of messages that the strictest providers demand, all their rules at once.

Many chat templates of vLLM and llama.cpp, Bedrock, Gemma, Mistral and Anthropic each refuse some of
these with a 400.
"""

from itertools import pairwise
from typing import Any

# Which roles may follow a role; None: the beginning or the end of the request.
NEXT_ROLES: dict[str | None, set[str | None]] = {
    None: {"system", "user"},
    "system": {"user"},
    "user": {"assistant", None},
    "assistant": {"user", "tool"},
    "tool": {"tool", "assistant", None},
}


def fault_in(messages: list[dict[str, Any]]) -> str | None:
    """Return why the strictest provider refuses a request; None: it accepts it."""
    roles = [None, *(message["role"] for message in messages), None]
    for position, (role, next_role) in enumerate(pairwise(roles)):
        if next_role not in NEXT_ROLES[role]:
            return f"{next_role} after {role} at {position}"
    waiting: list[str] = []
    for message in messages:
        if waiting and message["role"] != "tool":
            return f"no result of {waiting[0]}"
        if message["role"] == "tool" and (not waiting or message["tool_call_id"] != waiting.pop(0)):
            return f"result of {message['tool_call_id']} without its call, or out of order"
        waiting += [call["id"] for call in message.get("tool_calls", [])]
        if fault := _fault_in_content(message):
            return fault
    return f"no result of {waiting[0]}" if waiting else None


def _fault_in_content(message: dict[str, Any]) -> str | None:
    content = message["content"]
    if content is None:
        return None if message.get("tool_calls") else "no content"
    if isinstance(content, str):
        return None if content.strip() else f"blank {message['role']}"
    texts = [part["text"] for part in content if part["type"] == "text"]
    return None if content and all(text.strip() for text in texts) else "blank part"
