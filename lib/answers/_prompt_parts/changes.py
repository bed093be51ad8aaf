"""What changes in the course of a conversation, and in which question the model is told of it.

A request should begin with the bytes of the one before: providers bill those at a tenth to a
fiftieth. So the system message has only what held at the first question of the window. The rest is
told in the first question after it, and stands there in every later request: instructions that the
application has added, another style, and marks of the user on answers that were mistakes.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from lib.answers._prompt_parts.blocks import added_instructions, changed_style
from lib.conversations.message import Message
from lib.turns.request import Style

# Of a marked answer, which tell it from the others.
QUOTED_CHARS = 60


@dataclass(frozen=True, slots=True)
class _Told:
    """What the questions so far have told.

    Attributes:
        first_style: style of the first question; None: there is no question yet.
        first_instructions: how many instructions came before it.
        style: style of the last question.
        instructions: how many instructions are told.
        marked: marked answers of which no question tells yet.
        last_answer: the newest answer.
    """

    first_style: Style | None = None
    first_instructions: int = 0
    style: Style | None = None
    instructions: int = 0
    marked: tuple[Message, ...] = ()
    last_answer: Message | None = None


class Changes:
    """The changes of one conversation, in order."""

    def __init__(self) -> None:
        """Begin before the first message."""
        self._instructions: list[str] = []
        self._told = _Told()
        self._settled = self._told

    @property
    def first_style(self) -> Style | None:
        """The style of the first question; None: no question is told."""
        return self._told.first_style

    @property
    def first_instructions(self) -> list[str]:
        """The application's instructions before the first question."""
        return self._instructions[: self._told.first_instructions]

    def add_instruction(self, text: str) -> None:
        """Add an instruction of the application."""
        if text.strip():
            self._instructions.append(text)

    def add_answer(self, answer: Message) -> None:
        """Add an answer that is told."""
        marked = (*self._told.marked, answer) if answer.is_mistake else self._told.marked
        self._told = replace(self._told, marked=marked, last_answer=answer)

    def before(self, question: Message, style: Style, style_text: str) -> list[str]:
        """Return what a question tells of changes, before its own words; from now on it is told.

        Args:
            question: the question.
            style: the style of its answer.
            style_text: the instructions of that style.
        """
        told, count = self._told, len(self._instructions)
        if told.first_style is None:
            told = replace(told, first_style=style, style=style)
            told = replace(told, first_instructions=count, instructions=count)
        texts = list(map(added_instructions, self._instructions[told.instructions :]))
        if style != told.style:
            texts.append(changed_style(style_text))
        # A mark that came later would change a question that was told without it.
        due = tuple(each for each in told.marked if each.updated_at <= question.created_at)
        texts += [_remark(each, is_last=each is told.last_answer) for each in due]
        marked = tuple(each for each in told.marked if each not in due)
        self._told = replace(told, style=style, instructions=count, marked=marked)
        return texts

    def settle(self) -> None:
        """Note that all questions so far stay."""
        self._settled = self._told

    def restore(self) -> None:
        """Forget what was told since `settle`: those questions are left out."""
        self._told = self._settled


def remark_on_replaced(answer: Message) -> Iterator[str]:
    """Yield the user's remark on the answer that is made again, if it is marked as a mistake."""
    if answer.is_mistake:
        yield _remark(answer, is_last=True)


def styles_of(messages: list[Message], newest: Style) -> dict[int, Style]:
    """Return the style of each question, by its place.

    It is the one in which the question was answered; of a question without an answer, and of one
    whose answer does not tell, the one that it asks for.

    Args:
        messages: the messages up to the newest question.
        newest: style of the answer to make.
    """
    answers = {each.reply_to: each for each in messages if each.role == "assistant"}
    styles = {
        place: _style_of(each, answers.get(each.id))
        for place, each in enumerate(messages)
        if each.role == "user"
    }
    return styles | {len(messages) - 1: newest}


def _style_of(question: Message, answer: Message | None) -> Style:
    if answer is None:
        return _own_style(question)
    style = _own_style(answer)
    # Stored for a dead attempt, whose stream does not tell its style.
    is_recovered = answer.finish_reason in ("interrupted", "aborted") and answer.model_name is None
    return _own_style(question) if is_recovered and style == Style() else style


def _own_style(message: Message) -> Style:
    return Style(persona=message.persona, tone=message.tone, behavior=message.behavior)  # pyright: ignore[reportArgumentType]


def _remark(answer: Message, *, is_last: bool) -> str:
    """Return the user's remark on an answer that is marked as a mistake.

    In the user's own words, so it stands in the user's message.
    """
    which = "your last answer"
    if not is_last:
        quoted = " ".join(answer.content.split())
        more = "…" if len(quoted) > QUOTED_CHARS else ""
        begins = f', which begins "{quoted[:QUOTED_CHARS]}{more}",' if quoted else ""
        which = f"an earlier answer of yours{begins}"
    note = f": {answer.mistake_note}" if answer.mistake_note else ""
    return f"[I marked {which} as a mistake{note}]"
