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
# Said by the assistant where its answer ended with the results of tools.
NO_ANSWER = "(No answer followed.)"


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
    """Return a conversation in the provider's form, in an order that every provider takes.

    One system message, and it comes first; then user and assistant in turn, beginning with the
    user; tool results directly after their calls, and the assistant before the user speaks again;
    nothing blank. Many chat templates of vLLM and llama.cpp, Bedrock, Gemma, Mistral and Anthropic
    refuse any other order, and a conversation keeps its messages: one refused is refused for good.

    So two questions become one message when the first has no answer, and the answers before the
    first question are left out: the window of HISTORY_MESSAGES may begin between the two.

    Args:
        messages: the messages up to the question, oldest first.
        style: the style of the answer.
        steps: the steps that the answer has taken already.
        replaced: the earlier answer to the same question, which this one replaces; None: there is
            none.
    """
    instructions = [message.content for message in messages if message.role == "system"]
    prompt = _Prompt([system_prompt(style), *instructions])
    remark = ""
    for message in messages:
        if message is messages[-1] and replaced is not None:
            remark += _remark(replaced)
        if message.role == "user":
            prompt.add_user(_content(message, remark))
            remark = ""
        elif message.role == "assistant":
            for step in steps_of(message.content, message.tool_calls):
                prompt.add_step(step)
            remark = _remark(message)
    for step in steps:
        prompt.add_step(step)
    return prompt.messages


class _Prompt:
    """The messages of a prompt, kept in order while they are added.

    Attributes:
        messages: in the provider's form.
    """

    def __init__(self, instructions: list[str]) -> None:
        """Begin with the instructions that are not blank, in one system message."""
        text = "\n\n".join(text for text in instructions if text.strip())
        self.messages: list[dict[str, Any]] = [{"role": "system", "content": text}] if text else []

    def add_user(self, content: list[dict[str, Any]]) -> None:
        """Add the parts of a user's message; without any, nothing."""
        if not content:
            return
        if self._last_role() == "tool":
            self.messages.append({"role": "assistant", "content": NO_ANSWER})
        if self._last_role() == "user":
            content = [*_parts_of(self.messages.pop()["content"]), *content]
        self.messages.append({"role": "user", "content": _joined(content)})

    def add_step(self, step: Step) -> None:
        """Add a step of an answer: a message of the assistant, and the results of its calls."""
        text = step.text if step.text.strip() else ""
        if self._last_role() in {"system", None} or not (text or step.calls):
            return
        if self._last_role() == "assistant":
            text = "\n\n".join(each for each in (self.messages.pop()["content"], text) if each)
        self.messages += _step(Step(text, step.calls))

    def _last_role(self) -> str | None:
        return self.messages[-1]["role"] if self.messages else None


def _content(message: Message, remark: str) -> list[dict[str, Any]]:
    text = remark + message.content
    images = [{"type": "image_url", "image_url": {"url": f["url"]}} for f in message.files or []]
    return [*([{"type": "text", "text": text}] if text.strip() else []), *images]


def _parts_of(content: str | list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


def _joined(content: list[dict[str, Any]]) -> str | list[dict[str, Any]]:
    """Return content as one text where it is nothing else: some providers take no list."""
    if all(part["type"] == "text" for part in content):
        return "\n\n".join(part["text"] for part in content)
    return content


def _step(step: Step) -> list[dict[str, Any]]:
    """Return a step: a message of the assistant, then the result of each of its calls."""
    if not step.calls:
        return [{"role": "assistant", "content": step.text}]
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
