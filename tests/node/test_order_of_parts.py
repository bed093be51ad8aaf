"""The parts of any answer: useChat of all versions holds those of history, in the same order.

Random answers are written by the product's own writer, and read by the SDK's own code.
"""

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from itertools import count
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lib.answers.part_writer import PartWriter
from lib.conversations.message import FinishReason, Message
from lib.conversations.parts import Data, File, Source, ToolCall
from lib.conversations.steps import stored_steps
from lib.streams import parts as ui_stream
from lib.streams.stream import Stream
from lib.turns._unfinished import UnfinishedAnswer
from tests.node.sdk import StreamReader, seen_by

pytestmark = pytest.mark.usefixtures("default_settings")

CONVERSATION = UUID(int=1)
NOW = datetime(2026, 1, 1, tzinfo=UTC)
CASES = 150

# One thing that happens while an answer is made; it may leave others for the end of its step.
type Happening = Callable[[PartWriter, Iterator[int]], Callable[[], None] | None]

pieces = st.lists(
    st.sampled_from(["a", " ", "\n\n", "## b", "👩‍👧", '"', ""]), min_size=1, max_size=3
)
plain_json = st.none() | st.integers(-9, 9) | st.just([{"a": "b"}]) | st.text("ab\n👩")


@st.composite
def texts(draw: st.DrawFn) -> Happening:
    """Return a text or a thought that comes in pieces."""
    drawn, is_text = draw(pieces), draw(st.booleans())

    def happen(writer: PartWriter, _numbers: Iterator[int]) -> None:
        for piece in drawn:
            (writer.add_text if is_text else writer.add_reasoning)(piece)

    return happen


@st.composite
def calls(draw: st.DrawFn) -> Happening:
    """Return a call, whose outcome comes when the model has ended its step."""
    arguments = draw(st.dictionaries(st.text("ab"), plain_json, max_size=2))
    error, output = draw(st.none() | st.text("ab")), draw(plain_json)
    shown = draw(st.lists(wholes(), max_size=2))
    progress = draw(st.lists(plain_json, max_size=2))

    def happen(writer: PartWriter, numbers: Iterator[int]) -> Callable[[], None]:
        call = ToolCall(id=f"call-{next(numbers)}", name="look_up", arguments={}, error="Not run.")
        writer.begin_call(call)
        writer.add_arguments(call.id, json.dumps(arguments)[:2])

        def run() -> None:
            call.arguments = arguments
            writer.end_arguments(call)
            for output_so_far in progress:
                writer.add_progress(call, output_so_far)
            for show in shown:
                show(writer, numbers)
            call.output, call.error = output, error
            writer.add_outcome(call)

        return run

    return happen


@st.composite
def wholes(draw: st.DrawFn) -> Happening:
    """Return a source, a file or data, some of which takes the place of earlier data."""
    kind, has_name, data = draw(st.integers(0, 3)), draw(st.booleans()), draw(plain_json)
    data_id, data_name = draw(st.sampled_from([None, "1", "2"])), draw(st.sampled_from("xy"))
    is_inline = draw(st.booleans())

    def happen(writer: PartWriter, numbers: Iterator[int]) -> None:
        source_id, title = f"source-{next(numbers)}", "A title" if has_name else None
        match kind:
            case 0:
                writer.add(Source(id=source_id, url="https://example.com/a", title=title))
            case 1:
                writer.add(Source(id=source_id, title=title, filename="a.pdf"))
            case 2:
                url = "data:image/png;base64,AAAA" if is_inline else "/api/files?id=1"
                writer.add(File(url=url, media_type="image/png", filename=title))
            case _:
                writer.add(Data(name=data_name, data=data, id=data_id))

    return happen


happenings_of_a_step = st.lists(st.one_of(texts(), calls(), wholes()), min_size=1, max_size=5)
# The last step may be cut before its first part.
steps = st.builds(
    list[list[Happening]].__add__,
    st.lists(happenings_of_a_step, min_size=1, max_size=3),
    st.sampled_from([[], [[]]]),
)
ends: st.SearchStrategy[FinishReason] = st.sampled_from(
    ["stop", "length", "tool_calls", "aborted", "timeout", "error", "interrupted"]
)


def written(happenings: list[list[Happening]]) -> tuple[Stream, PartWriter]:
    """Return the stream of an answer, without its end, and its writer."""
    stream, numbers = Stream(), count()
    writer = PartWriter(stream, ui_stream.start("answer-1", CONVERSATION))
    for step in happenings:
        writer.begin_step()
        outcomes = [happen(writer, numbers) for happen in step]
        writer.end_block()
        for run in outcomes:
            if run is not None:
                run()
        if step is not happenings[-1]:
            writer.end_step()
    writer.take_back_step()
    writer.end_step()
    return stream, writer


def stored(writer: PartWriter, finish_reason: FinishReason) -> Message:
    """Return the answer as the database gives it back."""
    columns = stored_steps(writer.steps)
    return Message(
        id=1,
        conversation_id=CONVERSATION,
        message_id="answer-1",
        role="assistant",
        content=columns.content,
        tool_calls=json.loads(json.dumps(columns.tool_calls)),
        steps=json.loads(json.dumps(columns.steps)),
        finish_reason=finish_reason,
        created_at=NOW,
        updated_at=NOW,
    )


def history_of(message: Message) -> dict[str, Any]:
    """Return a message as the JSON of GET /api/history."""
    return json.loads(json.dumps(message.to_json(), default=str))


@pytest.fixture(scope="module")
def sdk() -> Iterator[StreamReader]:
    """Return a reader for all cases."""
    with StreamReader() as reader:
        yield reader


def each_case(*strategies: st.SearchStrategy[Any]) -> Callable[..., Any]:
    """Run a test with random answers, the same in each run."""

    def decorate(test: Callable[..., None]) -> Callable[..., None]:
        checks = (HealthCheck.function_scoped_fixture, HealthCheck.too_slow)
        limited = settings(max_examples=CASES, derandomize=True, suppress_health_check=checks)
        return limited(given(*strategies)(test))

    return decorate


def assert_reads(sdk: StreamReader, streams: list[bytes], answer: dict[str, Any]) -> None:
    """Check that each version reads each stream to the parts that history shows."""
    for version, results in sdk.read(streams, [answer]).items():
        for result in results:
            assert result["message"]["parts"] == seen_by(version, answer["parts"]), version
            assert result["message"]["id"] == answer["id"], version


def test_any_answer_has_the_same_parts_live_replayed_and_in_history(sdk: StreamReader) -> None:
    @each_case(steps, ends)
    def check(happenings: list[list[Happening]], finish_reason: FinishReason) -> None:
        stream, writer = written(happenings)
        message = stored(writer, finish_reason)
        end = (
            ui_stream.error("It broke.")
            if finish_reason in {"error", "interrupted"}
            else ui_stream.finish(message)
        )
        live = b"".join(stream.parts) + end + ui_stream.DONE

        if stream.parts:
            assert_reads(sdk, [live, ui_stream.complete_answer(message)], history_of(message))

    check()


def test_what_a_killed_function_has_left_of_any_answer_has_the_same_parts_for_all_readers(
    sdk: StreamReader,
) -> None:
    @each_case(steps, st.floats(0, 1))
    def check(happenings: list[list[Happening]], share: float) -> None:
        stream, _ = written(happenings)
        if not stream.parts:
            return
        left = b"".join(stream.parts[: 1 + int(share * (len(stream.parts) - 1))])
        unfinished = UnfinishedAnswer(left, CONVERSATION)
        unfinished.add_runs([])
        message = unfinished.message(1, "interrupted")
        end = ui_stream.error("It broke.") + ui_stream.DONE
        recovered = left + unfinished.added_parts + end

        if unfinished.is_empty:
            return
        assert_reads(sdk, [recovered, ui_stream.complete_answer(message)], history_of(message))

    check()
