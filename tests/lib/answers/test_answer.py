"""The life cycle of an answer: its states, its cuts, and the parts of its stream."""

import asyncio
import gc
import weakref
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import get_args
from uuid import uuid4

import pytest

from lib.answers.answer import NEXT_STATES, Answer, AnswerCutError, AnswerState, CutReason
from lib.conversations.message import Message
from lib.conversations.steps import ToolCall
from lib.identity.callers import Caller
from lib.problems import AnswerStopped, ModelFailed
from lib.settings import settings
from lib.streams import parts as ui_stream
from lib.turns.request import ChatRequest
from lib.turns.turn import Turn
from tests.support.made_steps import made_step

NOW = datetime(2026, 1, 1, tzinfo=UTC)
QUESTION = Message(
    id=1,
    conversation_id=uuid4(),
    message_id="message-1",
    role="user",
    content="Hello!",
    created_at=NOW,
    updated_at=NOW,
)
TURN = Turn(
    id=uuid4(),
    held_id=None,
    verdict="taken",
    caller=Caller(user_id="ann"),
    conversation_id=QUESTION.conversation_id,
    title=None,
    question=QUESTION,
    messages=[QUESTION],
    answer=None,
    quota=None,
    may_ask_title=True,
    quota_subjects=(),
    tool_runs=[],
    model="test-model",
    instructions=None,
    user_instructions=None,
)
LAST_PARTS = ui_stream.part({"type": "finish"}) + ui_stream.DONE


@pytest.fixture(autouse=True)
def settings_without_a_database(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Set the one variable that Parley needs, because a failure is counted for its function."""
    monkeypatch.setenv("DATABASE_URL", "postgresql://nobody@127.0.0.1:1/nothing")
    settings.cache_clear()
    yield
    settings.cache_clear()


@pytest.fixture
async def answer() -> Answer:
    """Return an answer that has no parts yet."""
    return Answer(TURN, ChatRequest(text="Hello!", wants_stream=True))


def types(answer: Answer) -> list[str]:
    """Return the types of the parts of an answer's stream, without `[DONE]`."""
    parts = b"".join(answer.stream.parts).removesuffix(ui_stream.DONE)
    return [part["type"] for part in ui_stream.contents(parts)]


def test_each_state_of_an_answer_has_its_next_states() -> None:
    assert set(NEXT_STATES) == set(get_args(AnswerState))


async def test_an_answer_streams_from_its_first_part_with_content_on(answer: Answer) -> None:
    answer.parts.begin_step()
    assert (answer.state, answer.has_begun, answer.stream.parts) == ("preparing", False, [])

    answer.parts.add_text("Hello")

    assert (answer.state, answer.has_begun, answer.is_over) == ("streaming", True, False)
    assert types(answer) == ["start", "start-step", "text-start", "text-delta"]


async def test_an_answer_that_ends_has_its_message_and_its_last_parts(answer: Answer) -> None:
    answer.parts.begin_step()
    answer.parts.add_text("Hello")
    stored = replace(QUESTION, id=2, role="assistant")

    answer.end(stored, LAST_PARTS)

    assert (answer.state, answer.has_begun, answer.is_over) == ("ended", True, True)
    assert await answer.stored is stored
    assert answer.stream.is_over
    assert types(answer)[-1] == "finish"


async def test_an_answer_that_fails_before_its_first_part_has_not_begun(answer: Answer) -> None:
    answer.parts.begin_step()

    answer.fail(ModelFailed())

    assert (answer.state, answer.has_begun, answer.is_over) == ("failed", False, True)
    with pytest.raises(ModelFailed):
        await answer.wait_for_first_part()
    assert types(answer) == ["error"]


async def test_an_answer_that_fails_after_its_first_part_is_broken(answer: Answer) -> None:
    answer.parts.begin_step()
    answer.parts.add_text("Hello")

    answer.fail(ModelFailed())

    assert (answer.state, answer.has_begun, answer.is_over) == ("broken", True, True)
    await answer.wait_for_first_part()
    with pytest.raises(ModelFailed):
        await answer.stored
    assert types(answer)[-1] == "error"


async def test_an_answer_stopped_without_text_ends_its_stream_in_an_abort(answer: Answer) -> None:
    answer.stop()

    assert (answer.state, answer.has_begun, answer.is_over) == ("stopped", True, True)
    await answer.wait_for_first_part()
    with pytest.raises(AnswerStopped):
        await answer.stored
    assert types(answer) == ["start", "abort"]


async def test_an_answer_that_is_over_cannot_end_again(answer: Answer) -> None:
    answer.parts.begin_step()
    answer.parts.add_text("Hello")
    answer.fail(ModelFailed())
    parts = list(answer.stream.parts)

    with pytest.raises(RuntimeError, match="from broken to ended"):
        answer.end(QUESTION, LAST_PARTS)
    with pytest.raises(RuntimeError, match="from broken to broken"):
        answer.fail(ModelFailed())

    assert answer.stream.parts == parts


@pytest.mark.parametrize("reason", get_args(CutReason))
async def test_a_cut_ends_the_wait_for_the_model_with_its_reason(
    answer: Answer, reason: CutReason
) -> None:
    async def cut() -> None:
        answer.cut(reason)
        answer.cut("lost")

    cutting = asyncio.create_task(cut())
    with pytest.raises(AnswerCutError) as cut_error:
        async with answer.limited(asyncio.get_running_loop().time() + 60):
            await asyncio.sleep(60)

    await cutting
    assert cut_error.value.reason == reason
    assert answer.state == "preparing"


async def test_a_cut_before_the_wait_for_the_model_ends_it_at_once(answer: Answer) -> None:
    answer.cut("aborted")

    with pytest.raises(AnswerCutError) as cut_error:
        async with answer.limited(asyncio.get_running_loop().time() + 60):
            await asyncio.sleep(60)

    assert cut_error.value.reason == "aborted"


async def test_an_answer_is_cut_at_its_deadline(answer: Answer) -> None:
    with pytest.raises(AnswerCutError) as cut_error:
        async with answer.limited(asyncio.get_running_loop().time() + 0.01):
            await asyncio.sleep(60)

    assert cut_error.value.reason == "timeout"


async def test_a_cut_after_the_models_end_changes_nothing(answer: Answer) -> None:
    async with answer.limited(asyncio.get_running_loop().time() + 60):
        answer.parts.begin_step()
        answer.parts.add_text("Hello")

    answer.cut("aborted")

    assert answer.state == "streaming"


async def test_the_parts_of_two_steps_are_numbered_and_opened_once(answer: Answer) -> None:
    call = ToolCall(id="call-1", name="add_task", arguments={"title": "Milk"}, output={})
    parts = answer.parts
    parts.add_step(made_step("Earlier.", [call]))
    parts.begin_step()
    parts.add_text("Let me ")
    parts.add_text("see.")
    parts.begin_call(ToolCall(id="call-2", name="add_task", arguments={}))
    parts.add_arguments("call-2", '{"title"')
    parts.end_arguments(call)
    parts.add_outcome(call)
    parts.end_step()
    parts.begin_step()
    parts.add_text("Done")
    parts.end_step()

    contents = list(ui_stream.contents(b"".join(answer.stream.parts)))

    assert [part["type"] for part in contents] == [
        "start",
        "start-step", "text-start", "text-delta", "text-end",
        "tool-input-start", "tool-input-available", "tool-output-available", "finish-step",
        "start-step", "text-start", "text-delta", "text-delta", "text-end",
        "tool-input-start", "tool-input-delta", "tool-input-available", "tool-output-available",
        "finish-step",
        "start-step", "text-start", "text-delta", "text-end", "finish-step",
    ]  # fmt: skip
    text_ids = [part["id"] for part in contents if part["type"] == "text-start"]
    assert text_ids == ["0", "1", "2"]
    assert contents[0]["messageId"] == answer.message_id


@pytest.mark.parametrize("is_ended", [False, True], ids=["prepared", "ended"])
async def test_an_answer_is_freed_without_the_garbage_collector(*, is_ended: bool) -> None:
    answer = Answer(TURN, ChatRequest(text="Hello!", wants_stream=True))
    if is_ended:
        answer.parts.begin_step()
        answer.parts.add_text("Hi")
        answer.end(QUESTION, LAST_PARTS)
        await asyncio.sleep(0)
    reference = weakref.ref(answer)
    gc.disable()
    try:
        del answer
        assert reference() is None
    finally:
        gc.enable()
