"""The prompt: instructions for the model and the conversation, in the provider's form."""

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
    """Return the system prompt for an answer of this style."""
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
        messages: the messages up to the question, oldest first.
        style: the style of the answer.
        steps: the steps that the answer has taken already.
        replaced: the earlier answer to the same question, which this one replaces; None: there is
            none.
    """
    prompt: list[dict[str, Any]] = [{"role": "system", "content": system_prompt(style)}]
    remark = ""
    for message in messages:
        if message is messages[-1] and replaced is not None:
            remark += _remark(replaced)
        if message.role == "user":
            prompt.append({"role": "user", "content": _content(message, remark)})
            remark = ""
        elif message.role == "system":
            prompt.append({"role": "system", "content": message.content})
        else:
            for step in steps_of(message.content, message.tool_calls):
                prompt += _step(step)
            remark = _remark(message)
    for step in steps:
        prompt += _step(step)
    return prompt


def _content(message: Message, remark: str) -> str | list[dict[str, Any]]:
    text = remark + message.content
    if not message.files:
        return text
    images = [{"type": "image_url", "image_url": {"url": file["url"]}} for file in message.files]
    return [*([{"type": "text", "text": text}] if text else []), *images]


def _step(step: Step) -> list[dict[str, Any]]:
    """Return a step: a message of the assistant, then the result of each of its calls."""
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
    """Return the user's remark on an answer that is marked as a mistake; '' if it is not.

    It goes into the user's next message, because the note is in the user's own words, and because
    many models want user and assistant to take turns.
    """
    if not answer.is_mistake:
        return ""
    note = f": {answer.mistake_note}" if answer.mistake_note else ""
    return f"[I marked your last answer as a mistake{note}]\n\n"
