"""A request begins with the bytes of the one before: a property of any conversation.

Providers keep beginnings in caches, and bill a beginning that they have at a tenth to a fiftieth.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any, Literal
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import lib.settings
from lib.answers._prompt import prompt_messages
from lib.answers._prompt_parts.results import MAX_OLD_CHARS
from lib.answers._states import provider_state
from lib.conversations.message import FinishReason, Message
from lib.conversations.parts import ToolCall
from lib.conversations.steps import Step, stored_steps
from lib.model._chat.request import chat_messages
from lib.model._responses.request import input_items
from lib.model.request import PromptMessage
from lib.turns.request import Style
from tests.support.made_steps import made_step
from tests.support.model_server import Called
from tests.support.models import a_model
from tests.support.responses_model import called, said, thought

type Items = list[dict[str, Any]]
START = datetime(2026, 1, 1, tzinfo=UTC)
CAT = {"url": "https://example.app/cat.png", "mediaType": "image/png"}
PERSONAS = {"Guide": "You guide hikers.", "Cook": "You cook."}


@dataclass(frozen=True, slots=True)
class TurnMade:
    """A turn of a conversation, and what the user and the operator do before the next."""

    kind: Literal["question", "edit", "regenerate"]
    style: Style
    steps: list[Step]
    # None: the answer is not stored, because it failed.
    finish_reason: FinishReason | None
    is_refused: bool
    has_image: bool
    # The answer that is marked, by its number from the newest; None: none is.
    marked: int | None
    note: str | None
    adds_instruction: bool


@dataclass(frozen=True, slots=True)
class Sent:
    """A request, and what it may have in common with the one before it."""

    items: Items
    window: int
    # Whether results of tools that are long stand in the older half, by their number.
    shortened: int
    # The request differs from the next one in its last question alone, or in what was refused.
    is_open: bool = False
    is_dropped: bool = False

    @property
    def text(self) -> str:
        """The bytes that a provider gets, but for the end of the list."""
        return json.dumps(self.items, ensure_ascii=False).removesuffix("]")


@dataclass(slots=True)
class Conversation:
    """A conversation as it is stored, and the requests that were made of it."""

    history_messages: int
    messages: list[Message] = field(default_factory=list[Message])
    seconds: int = 0
    next_id: int = 1

    def take(self, turn: TurnMade, *, is_responses: bool) -> Iterator[Sent]:
        """Answer a message, and yield the requests."""
        question, replaced = self._question(turn)
        window = self._window(question)
        for count in range(len(turn.steps)):
            prompt = prompt_messages(
                window, turn.style, turn.steps[:count], replaced, model=a_model()
            )
            is_last = count == len(turn.steps) - 1
            is_unstored = turn.finish_reason is None
            yield Sent(
                to_items(prompt, is_responses=is_responses),
                next(each.id for each in window if each.role != "system"),
                self._long_results(window),
                is_open=is_last and (is_unstored or replaced is not None),
                # Another answer that fails leaves the one that there was, in its own style.
                is_dropped=is_last and (turn.is_refused or (is_unstored and replaced is not None)),
            )
        self._end(turn, question, replaced)

    def _question(self, turn: TurnMade) -> tuple[Message, Message | None]:
        """Store the question, and return it with the answer that is to be replaced."""
        asked = [each for each in self.messages if each.role == "user"]
        answers = [each for each in self.messages if each.role == "assistant"]
        if turn.kind == "regenerate" and answers and answers[-1] is self.messages[-1]:
            return next(each for each in asked if each.id == answers[-1].reply_to), answers[-1]
        if turn.kind == "edit" and asked:
            self._supersede(asked[-1].id)
        style = turn.style
        question = self._store("user", f"Question {self.next_id}?", asked_in=style)
        question.files = [CAT] if turn.has_image else None
        return question, None

    def _end(self, turn: TurnMade, question: Message, replaced: Message | None) -> None:
        """Store the answer, and do what happens before the next turn."""
        if turn.is_refused and replaced is None:
            question.refusal = "file_refused"
        elif turn.finish_reason is not None:
            if replaced is not None:
                self._supersede(replaced.id)
            stored = stored_steps(turn.steps)
            answer = self._store("assistant", stored.content, asked_in=turn.style)
            answer.reply_to, answer.finish_reason = question.id, turn.finish_reason
            answer.tool_calls, answer.steps = stored.tool_calls, stored.steps
            answer.model_name = "scripted-1"
            answer.provider_state = provider_state(turn.steps, a_model())
        answers = [each for each in reversed(self.messages) if each.role == "assistant"]
        if turn.marked is not None and turn.marked < len(answers):
            answer = answers[turn.marked]
            self.seconds += 1
            if not answer.is_mistake:
                answer.updated_at = START + timedelta(seconds=self.seconds)
                answer.is_mistake, answer.mistake_note = True, turn.note
        if turn.adds_instruction:
            self._store("system", f"Instruction {self.next_id}.", asked_in=Style())

    def _store(self, role: Any, content: str, *, asked_in: Style) -> Message:
        self.seconds += 1
        now = START + timedelta(seconds=self.seconds)
        message = Message(self.next_id, UUID(int=1), "m", role, content, now, now)
        message.persona, message.tone = asked_in.persona, asked_in.tone
        self.next_id += 1
        self.messages.append(message)
        return message

    def _supersede(self, first_id: int) -> None:
        self.messages = [
            each for each in self.messages if each.id < first_id or each.role == "system"
        ]

    def _window(self, question: Message) -> list[Message]:
        """Return the messages of a turn as list_turn_messages does."""
        past = [each for each in self.messages if each.id <= question.id]
        told = [each for each in past if each.role != "system"]
        block = (self.history_messages + 1) // 2
        moves = max(0, -((self.history_messages - len(told)) // block))
        first = told[block * moves].id
        return [each for each in past if each.role == "system" or each.id >= first]

    def _long_results(self, window: list[Message]) -> int:
        told = [each for each in window if each.role != "system"]
        half = self.history_messages // 2
        old = told[:half] if len(told) > half else []
        results = [call for each in old for call in each.tool_calls or []]
        return sum(len(str(call.get("output"))) > MAX_OLD_CHARS for call in results)


def to_items(prompt: tuple[PromptMessage, ...], *, is_responses: bool) -> Items:
    """Return a prompt as the API gets it."""
    return input_items(prompt) if is_responses else chat_messages(prompt)


def check(before: Sent, after: Sent) -> None:
    """Check that a request begins with the bytes of the one before it."""
    if before.window != after.window or before.shortened != after.shortened or before.is_dropped:
        return
    if not before.is_open:
        assert after.text.startswith(before.text)
        return
    last = max(place for place, each in enumerate(before.items) if each.get("role") == "user")
    assert after.items[:last] == before.items[:last]
    # A question without an answer is joined to the next one; a remark on the answer that was made
    # again stands behind the question.
    first, second = before.items[last]["content"], after.items[last]["content"]
    if type(first) is type(second):
        shorter = min(len(first), len(second))
        assert first[:shorter] == second[:shorter]


styles = st.builds(
    Style,
    persona=st.sampled_from([None, "Guide", "Cook"]),
    tone=st.sampled_from([None, "casual"]),
)


@st.composite
def steps(draw: st.DrawFn) -> list[Step]:
    """Return the steps of an answer: some with calls, and a text."""
    made: list[Step] = []
    for _ in range(draw(st.integers(0, 2))):
        output = "x" * draw(st.sampled_from([10, 10, 10, 3000]))
        call = ToolCall(
            id=str(draw(st.uuids())), name="search", arguments={"of": "milk"}, output=output
        )
        step = made_step(draw(st.sampled_from(["", "One moment."])), [call])
        if draw(st.booleans()):
            call.state = {"id": f"call_{call.id}"}
            items = [thought(), *([said(step.text)] if step.text else [])]
            items.append(called(Called(call.name, call.arguments_text(), call.state["id"])))
            step.state = {"items": [item.sent for item in items]}
        made.append(step)
    ends_with_calls = made and draw(st.sampled_from([False, False, True]))
    return made if ends_with_calls else [*made, made_step("It is so.")]


turns = st.builds(
    TurnMade,
    kind=st.sampled_from(["question", "question", "question", "question", "edit", "regenerate"]),
    style=styles,
    steps=steps(),
    finish_reason=st.sampled_from(["stop", "stop", "stop", "aborted", "content_filter", None]),
    is_refused=st.sampled_from([False] * 9 + [True]),
    has_image=st.sampled_from([False, False, True]),
    marked=st.sampled_from([None, None, 0, 0, 1, 2]),
    note=st.sampled_from([None, "It is 4."]),
    adds_instruction=st.sampled_from([False, False, False, True]),
)


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """Set the variables that a prompt needs."""
    monkeypatch.setenv("DATABASE_URL", "postgresql://nobody@127.0.0.1:1/nothing")
    monkeypatch.setenv("PERSONAS", json.dumps(PERSONAS))
    yield monkeypatch
    lib.settings.settings.cache_clear()


@pytest.mark.parametrize("history_messages", [4, 7, 20])
@pytest.mark.parametrize("is_responses", [False, True], ids=["chat", "responses"])
def test_a_request_begins_with_the_bytes_of_the_one_before_unless_the_window_moves(
    environment: pytest.MonkeyPatch, history_messages: int, *, is_responses: bool
) -> None:
    environment.setenv("HISTORY_MESSAGES", str(history_messages))
    lib.settings.settings.cache_clear()

    @settings(max_examples=60)
    @given(st.lists(turns, min_size=2, max_size=14))
    def holds(taken: list[TurnMade]) -> None:
        conversation, before = Conversation(history_messages), None
        for turn in taken:
            requests = [*conversation.take(turn, is_responses=is_responses)]
            # An edit and another answer ask from an earlier place.
            if before is not None and turn.kind == "question":
                check(before, requests[0])
            for first, second in pairwise(requests):
                check(replace(first, is_open=False), second)
            before = requests[-1]

    holds()
