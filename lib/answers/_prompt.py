"""The prompt: instructions for the model and the conversation, for any provider."""

import json
from binascii import a2b_base64
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

from lib.answers._files.told import (
    Told,
    shares,
    told_by_name,
    told_text,
    told_whole,
)
from lib.answers._prompt_parts.blocks import page_data as page_data_block
from lib.answers._prompt_parts.blocks import user_instructions
from lib.answers._prompt_parts.changes import Changes, remark_on_replaced, styles_of
from lib.answers._prompt_parts.results import old_result
from lib.answers._states import steps_with_states
from lib.conversations.message import Message
from lib.conversations.parts import Data, File, Text, ToolCall
from lib.conversations.steps import SEPARATOR, Step
from lib.conversations.user_parts import page_data
from lib.files.kinds import SEEN_TYPES, unread_kind
from lib.files.limits import BEGINNING_CHARS, MAX_MESSAGE_BYTES, MAX_TEXT_CHARS, text_end
from lib.model.request import (
    AssistantMessage,
    PromptCall,
    PromptMessage,
    SystemMessage,
    UserMessage,
)
from lib.models import Model
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
    """Return the system prompt for an answer of this style.

    All of it is the operator's or Parley's: a style only chooses among instructions. `{date}` in
    SYSTEM_PROMPT is the day by UTC, so that the prompt stays the same for a day.
    """
    # Not str.format: other braces, of JSON or of code, are the operator's own.
    day = datetime.now(UTC).date().isoformat()
    lines = [settings().system_prompt.replace("{date}", day), _style_text(style)]
    return "\n".join(line for line in lines if line)


def _style_text(style: Style) -> str:
    lines = [
        (settings().personas or {}).get(style.persona or "", ""),
        TONES.get(style.tone or "", ""),
        BEHAVIORS.get(style.behavior or "", ""),
    ]
    return "\n".join(line for line in lines if line)


def prompt_messages(
    messages: list[Message],
    style: Style,
    steps: list[Step],
    replaced: Message | None = None,
    *,
    model: Model,
    instructions: Sequence[str] = (),
) -> tuple[PromptMessage, ...]:
    """Return a conversation as a prompt, in an order that every provider takes.

    One system message, and it comes first; then user and assistant in turn, beginning with the
    user; tool results directly after their calls, and the assistant before the user speaks again;
    nothing blank. Many chat templates of vLLM and llama.cpp, Bedrock, Gemma, Mistral and Anthropic
    refuse any other order, and a conversation keeps its messages: one refused is refused for good.

    So two questions become one message when the first has no answer, and the answers before the
    first question are left out: the window of HISTORY_MESSAGES may begin between the two.

    A question that the provider has refused is left out, with the steps that it had answered by
    then, and with what stood before it and had no whole answer yet (unanswered questions, results
    of tools, an answer that was withheld midway): the provider may have refused it for that.

    The files of the newest messages alone are sent whole; see `_first_with_files`. Of the others
    the model gets the name, and of texts the beginning. Long results of tools are told by their
    beginnings in old answers; see `_first_with_results`.

    Until the window moves, a request begins with the bytes of the one before (docs/providers.md),
    so what changes in between is told in a question; see `Changes`. A question without an answer
    stays the beginning of the next one's message. Only these requests differ in more than their
    end: after a question that the provider refused, an answer that was made again, or a mark that
    was taken back.

    Args:
        messages: the messages up to the question, oldest first.
        style: the style of the answer.
        steps: the steps that the answer has taken already.
        replaced: the earlier answer to the same question, which this one replaces; None: there is
            none.
        model: the model to ask, which gets back its own state.
        instructions: the user's own, which stand after the operator's; '' is none.
    """
    prompt = _Prompt()
    refused = {message.id for message in messages[:-1] if message.refusal is not None}
    first_with_files, first_with_results = (
        _first_with_files(messages),
        _first_with_results(messages),
    )
    styles = styles_of(messages, style)
    for place, message in enumerate(messages):
        if message.id in refused:
            prompt.drop_unsettled()
        if message.id in refused or message.reply_to in refused:
            continue
        if message.role == "system":
            prompt.changes.add_instruction(message.content)
        elif message.role == "user":
            kinds = model.files if place >= first_with_files else None
            content = _content(message, kinds)
            if message is messages[-1] and replaced is not None:
                # At the end, because later requests do not have it.
                content = (*content, *remark_on_replaced(replaced))
            prompt.add_question(message, content, styles[place])
        else:
            for step in steps_with_states(message, model):
                prompt.add_step(step, is_old=place < first_with_results)
            prompt.end_answer(message)
    for step in steps:
        prompt.add_step(step)
    first = [system_prompt(prompt.changes.first_style or style), *prompt.changes.first_instructions]
    first += [user_instructions(text) for text in instructions if text.strip()]
    text = "\n\n".join(text for text in first if text.strip())
    return (*([SystemMessage(text)] if text else []), *prompt.messages)


class _Prompt:
    """The messages of a prompt but for the instructions, kept in order while they are added.

    Attributes:
        messages: the messages.
        changes: what the questions tell beside their own words.
    """

    def __init__(self) -> None:
        """Begin without a message."""
        self.messages: list[PromptMessage] = []
        self.changes = Changes()
        self._settled = 0

    def add_question(self, question: Message, content: tuple[Told, ...], style: Style) -> None:
        """Add a question, after what it tells of changes; without content, nothing."""
        if content:
            self.add_user((*self.changes.before(question, style, _style_text(style)), *content))

    def add_user(self, content: tuple[Told, ...]) -> None:
        """Add the content of a user's message."""
        unanswered = 0
        match self._last():
            case AssistantMessage(calls=calls) if calls:
                self.messages.append(AssistantMessage(NO_ANSWER))
            case UserMessage(earlier):
                self.messages.pop()
                content, unanswered = (*earlier, *content), len(earlier)
            case _:
                pass
        self.messages.append(UserMessage(content, unanswered))

    def end_answer(self, answer: Message) -> None:
        """Note that the steps of an answer are added.

        If it is whole, the provider has taken all that was added until now.
        """
        if not self.messages:
            return
        self.changes.add_answer(answer)
        match self._last():
            case AssistantMessage(calls=()) if answer.finish_reason != "content_filter":
                self._settled = len(self.messages)
                self.changes.settle()
            case _:
                pass

    def drop_unsettled(self) -> None:
        """Remove what was added since, because it may be what the provider refuses."""
        del self.messages[self._settled :]
        self.changes.restore()

    def add_step(self, step: Step, *, is_old: bool = False) -> None:
        """Add a step of an answer; of an old one, long results by their beginnings."""
        text, calls = _text_of(step), _prompt_calls(step.calls, is_old=is_old)
        last = self._last()
        if last is None or not (text or calls):
            return
        if isinstance(last, AssistantMessage) and not last.calls:
            # Two texts become one message, which is no longer the provider's own.
            self.messages.pop()
            text = "\n\n".join(each for each in (last.text, text) if each)
            self.messages.append(AssistantMessage(text, calls))
        else:
            self.messages.append(AssistantMessage(text, calls, step.state))

    def _last(self) -> PromptMessage | None:
        return self.messages[-1] if self.messages else None


def _first_with_results(messages: list[Message]) -> int:
    """Return the place of the first message whose results of tools are told whole.

    The place moves when the window does, and never in between: a window that has just moved has so
    many messages before its question as are old here (sql/functions/list_turn_messages.sql). Once
    more it moves in the first window of a conversation, when that is half full.
    """
    told = [place for place, message in enumerate(messages) if message.role != "system"]
    old_count = settings().history_messages // 2
    return told[old_count] if len(told) > old_count else 0


# Images and documents, their bytes, and characters of texts.
type Weight = tuple[int, int, int]


def _first_with_files(messages: list[Message]) -> int:
    """Return the place of the first message whose files are sent; those of all after it are, too.

    A request has at most MAX_PROMPT_IMAGES images and documents, MAX_MESSAGE_BYTES of them, and
    twice MAX_TEXT_CHARS of texts. It should begin with the bytes of the one before, so the place
    moves seldom. It is the first message of a block, as the window is made of them
    (sql/functions/list_turn_messages.sql): then a file that was left out stays out, also when the
    window moves. Within a block that has too many files of its own, half of them are left out at
    once.
    """
    told = [place for place, message in enumerate(messages) if message.role != "system"]
    weights = [_weight(messages[place]) for place in told]
    most = (settings().max_prompt_images, MAX_MESSAGE_BYTES, 2 * MAX_TEXT_CHARS)
    half = (most[0] // 2, most[1] // 2, most[2] // 2)
    blocks = range(0, len(told), (settings().history_messages + 1) // 2)
    first = next((start for start in blocks if _fit(weights[start:], most)), None)
    if first is None:
        first = blocks[-1]
        # Each message of the block again, as it came: so the place is the same in each request.
        for end in range(first + 1, len(told) + 1):
            if not _fit(weights[first:end], most):
                first = _start_of(half, weights, first, end)
                if first == end:  # the newest message alone has more than half
                    first = _start_of(most, weights, blocks[-1], end)
    return told[first] if first < len(told) else len(messages)


def _start_of(most: Weight, weights: list[Weight], first: int, end: int) -> int:
    """Return the first place from which there is at most so much before the end."""
    return next(start for start in range(first, end + 1) if _fit(weights[start:end], most))


def _fit(weights: list[Weight], most: Weight) -> bool:
    sums = map(sum, zip(*weights, strict=True))
    return all(total <= limit for total, limit in zip(sums, most, strict=False))


def _weight(message: Message) -> Weight:
    """Return how much the files of a message are: those of one message always fit by themselves."""
    if not message.files:
        return 0, 0, 0
    seen, file_bytes, chars = 0, 0, 0
    for file in message.files:
        if _is_text(file):
            chars += _size(file)
        else:
            seen += 1
            file_bytes += _size(file)
    return (
        min(seen, settings().max_prompt_images),
        min(file_bytes, MAX_MESSAGE_BYTES),
        min(chars, MAX_TEXT_CHARS),
    )


def _content(message: Message, kinds: tuple[str, ...] | None) -> tuple[Told, ...]:
    """Return what a user's message tells.

    Args:
        message: the message.
        kinds: the kinds of files that are sent whole, as `Model.files` has them; None: no file is.
    """
    text = message.content
    files = _told(message.files, kinds) if message.files else ()
    return (*_page_data(message), *([text] if text.strip() else []), *files)


def _page_data(message: Message) -> list[str]:
    """Return the data of the page as one text, a line for each; none if the message has none."""
    lines = [
        json.dumps(_present(data), ensure_ascii=False, separators=(",", ":"))
        for data in page_data(message.steps)
    ]
    escaped = "\n".join(lines).replace("<", "\\u003c").replace(">", "\\u003e")
    return [page_data_block(escaped)] if lines else []


def _present(data: Data) -> dict[str, Any]:
    named = {"name": data.name, "id": data.id, "data": data.data}
    return {name: value for name, value in named.items() if name != "id" or value is not None}


def _told(files: list[dict[str, Any]], kinds: tuple[str, ...] | None) -> Iterator[Told]:
    """Yield the files of a message, whole or by their beginnings."""
    texts = [_size(file) for file in files if _is_text(file) and "url" in file]
    limits = iter(shares(texts, MAX_TEXT_CHARS))
    for file in files:
        media_type, filename = file["mediaType"], file.get("filename")
        if _is_text(file) and "url" in file:
            limit = next(limits) if kinds is not None else BEGINNING_CHARS
            data = _beginning(file, text_end(limit))
            yield told_text(filename, data, _size(file), limit)
        elif kinds is not None and "url" in file and unread_kind(kinds, [file]) is None:
            yield told_whole(media_type, filename, file["url"])
        else:
            yield told_by_name(media_type, filename)


def _is_text(file: dict[str, Any]) -> bool:
    return file["mediaType"] not in SEEN_TYPES


def _size(file: dict[str, Any]) -> int:
    """Return the bytes of a stored file; 0 if it is elsewhere."""
    return file.get("size", 0)


def _beginning(file: dict[str, Any], count: int) -> bytes:
    """Return the first bytes of a stored text, at least so many if it has them."""
    return a2b_base64(file.get("url", "").partition(",")[2][: -(-count // 3) * 4])


def _text_of(step: Step) -> str:
    """Return the text of a step; its files, which do not go back, stand there by name."""
    told = [
        part.text if isinstance(part, Text) else told_by_name(part.media_type, part.filename)
        for part in step.parts
        if isinstance(part, Text | File)
    ]
    text = SEPARATOR.join(told)
    return text if text.strip() else ""


def _prompt_calls(calls: list[ToolCall], *, is_old: bool) -> tuple[PromptCall, ...]:
    return tuple(
        PromptCall(
            call.id,
            call.name,
            call.arguments_text(),
            old_result(call.result()) if is_old else call.result(),
            call.state,
        )
        for call in calls
    )
