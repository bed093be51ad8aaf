"""What the model is told: how to answer, and what was said, in the provider's form."""

from typing import Any

from lib.conversations.message import Message
from lib.conversations.steps import Step, steps_of
from lib.settings import settings
from lib.turns.request import Style

TONES = {
    "casual": "Answer in a casual tone, as a friend would, in plain words.",
    "technical": "Answer in a technical tone, precise, with the exact terms of the field.",
}
BEHAVIORS = {
    "normal": "",
    "cautious": "Be cautious: say what you are not sure of, and ask before you assume.",
}


def system_prompt(style: Style) -> str:
    """Return the system prompt for an answer of that style."""
    lines = [
        settings().system_prompt,
        f'Take on the persona named "{style.persona}".' if style.persona else "",
        TONES.get(style.tone or "", ""),
        BEHAVIORS.get(style.behavior or "", ""),
    ]
    return "\n".join(line for line in lines if line)


def provider_messages(
    messages: list[Message], style: Style, steps: list[Step], replaced: Message | None = None
) -> list[dict[str, Any]]:
    """Return a conversation in the provider's form, the system prompt first.

    Args:
        messages: what was said up to the question, oldest first.
        style: how the answer is to be.
        steps: those of the answer that are done already.
        replaced: the answer to the same question that this one is to replace.
    """
    said: list[dict[str, Any]] = [{"role": "system", "content": system_prompt(style)}]
    remark = ""
    for message in messages:
        if message is messages[-1] and replaced is not None:
            remark += _remark(replaced)
        if message.role == "user":
            said.append({"role": "user", "content": _content(message, remark)})
            remark = ""
        elif message.role == "system":
            said.append({"role": "system", "content": message.content})
        else:
            for step in steps_of(message.content, message.tool_calls):
                said += _step(step)
            remark = _remark(message)
    for step in steps:
        said += _step(step)
    return said


def _content(message: Message, remark: str) -> str | list[dict[str, Any]]:
    text = remark + message.content
    if not message.files:
        return text
    images = [{"type": "image_url", "image_url": {"url": file["url"]}} for file in message.files]
    return [*([{"type": "text", "text": text}] if text else []), *images]


def _step(step: Step) -> list[dict[str, Any]]:
    """Return a step: the assistant's message, and the result of each of its calls after it."""
    if not step.calls:
        return [{"role": "assistant", "content": step.text}] if step.text else []
    calls = [
        {
            "id": call.id,
            "type": "function",
            "function": {"name": call.name, "arguments": call.arguments_text()},
        }
        for call in step.calls
    ]
    results = [
        {"role": "tool", "tool_call_id": call.id, "content": call.result()} for call in step.calls
    ]
    return [{"role": "assistant", "content": step.text or None, "tool_calls": calls}, *results]


def _remark(answer: Message) -> str:
    """Return what the user said of an answer that is marked as a mistake, for the next message.

    In the user's message, not in one of the system's: the note is the user's own words. Nor in one
    of its own: many models want user and assistant to take turns.
    """
    if not answer.is_mistake:
        return ""
    note = f": {answer.mistake_note}" if answer.mistake_note else ""
    return f"[I marked your last answer as a mistake{note}]\n\n"
