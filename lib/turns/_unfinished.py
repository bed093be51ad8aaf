"""The unfinished answer of an attempt that died, read from the stored parts of its stream."""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any, Literal
from uuid import UUID, uuid4

from lib.conversations.message import Message
from lib.conversations.parts import Data, File, Reasoning, Source, Text, ToolCall
from lib.conversations.steps import (
    CUT,
    HOSTED_CUT,
    UNKNOWN,
    Step,
    add_part,
    steps_of,
    stored_steps,
)
from lib.conversations.ui_parts import part_of, whole_part
from lib.files.file import NewFile
from lib.streams import parts as ui_stream
from lib.turns.finish import shown_files
from lib.turns.tool_runs import ToolRun

# Why an unfinished answer is stored: its attempt died, or its user asked it to stop.
RecoveryReason = Literal["interrupted", "aborted"]


class UnfinishedAnswer:
    """The answer of a dead attempt, read from the stored parts of its stream.

    Attributes:
        added_parts: parts that the stream lacks: the ends of its texts and thoughts, the outcomes
            of its tool calls, and its beginning if only its tool runs are left.
    """

    def __init__(self, parts: bytes, conversation_id: UUID) -> None:
        """Read the parts of an answer in this conversation."""
        self.added_parts = b""
        self._conversation_id = conversation_id
        self._message_id = str(uuid4())
        self._steps: list[Step] = []
        # The stream ends with the beginning of a step.
        self._has_bare_step = False
        # The texts and thoughts, and the pieces of each.
        self._blocks: dict[str, tuple[Text | Reasoning, list[str]]] = {}
        self._open_blocks: dict[str, Text | Reasoning] = {}
        self._calls: dict[str, ToolCall] = {}
        # A dict because a set has no order: outcomes come in the order of their calls.
        self._open_calls: dict[str, ToolCall] = {}
        for part in ui_stream.contents(parts):
            self._read(part)
        for block, pieces in self._blocks.values():
            block.text = "".join(pieces)
        _cite(self._steps)

    def add_runs(self, runs: list[ToolRun]) -> None:
        """Add the outcomes of the stored tool runs, then end all that is still open."""
        for block_id, block in self._open_blocks.items():
            if isinstance(block, Text):
                self.added_parts += ui_stream.text_end(int(block_id), block)
            else:
                self.added_parts += ui_stream.reasoning_end(int(block_id))
        if runs and not self._steps:
            self.added_parts += ui_stream.start(self._message_id, self._conversation_id)
            self.added_parts += ui_stream.START_STEP
            self._steps.append(Step())
        for run in runs:
            outcome = run.to_call()
            call = self._calls.get(outcome.id)
            if call is None:
                # The function died before it stored the parts of this call.
                self._steps[-1].parts.append(outcome)
                self.added_parts += ui_stream.tool_input_start(outcome)
                self._add_outcome(outcome)
                self._add_shown(run)
            elif outcome.id in self._open_calls:
                call.arguments = outcome.arguments
                call.output, call.error = outcome.output, outcome.error
                self._add_shown(run)
        for call in self._open_calls.values():
            self._add_outcome(call)
        if self._has_bare_step and not self._steps[-1].parts:
            # No page shows the beginning of a step before its first part.
            self._steps.pop()

    @property
    def files(self) -> list[NewFile]:
        """The files that the answer shows, each once; their bytes are stored already."""
        return shown_files(self._steps)

    @property
    def is_empty(self) -> bool:
        """The attempt has left no text and no tool call."""
        return all(step.is_only_thought for step in self._steps)

    def message(self, question_id: int, finish_reason: RecoveryReason) -> Message:
        """Return the answer as a message, with the id that its stream began with."""
        now = datetime.now(UTC)
        columns = stored_steps(self._steps)
        return Message(
            id=0,
            conversation_id=self._conversation_id,
            message_id=self._message_id,
            role="assistant",
            content=columns.content,
            reply_to=question_id,
            finish_reason=finish_reason,
            tool_calls=columns.tool_calls,
            steps=columns.steps,
            created_at=now,
            updated_at=now,
        )

    def _read(self, part: dict[str, Any]) -> None:
        self._has_bare_step = part["type"] == "start-step"
        match part["type"]:
            case "start":
                self._message_id = part["messageId"]
            case "start-step":
                self._steps.append(Step())
            case "text-start":
                self._begin_block(part["id"], Text(""))
            case "reasoning-start":
                self._begin_block(part["id"], Reasoning(""))
            case "text-delta" | "reasoning-delta":
                _, pieces = self._blocks[part["id"]]
                pieces.append(part["delta"])
            case "text-end" | "reasoning-end":
                del self._open_blocks[part["id"]]
            case str(name) if name.startswith("tool-"):
                self._read_call(part)
            case _:
                if (whole := part_of(part)) is not None:
                    add_part(self._steps, whole)

    def _read_call(self, part: dict[str, Any]) -> None:
        match part["type"]:
            case "tool-input-start":
                is_hosted = part.get("providerExecuted", False)
                self._begin_call(part["toolCallId"], part["toolName"], is_hosted=is_hosted)
            case "tool-input-available":
                call = self._calls[part["toolCallId"]]
                call.arguments = part["input"]
                call.error = HOSTED_CUT if call.is_provider_executed else UNKNOWN
            case "tool-output-available" if not part.get("preliminary"):
                self._end_call(part["toolCallId"], output=part["output"])
            case "tool-output-error":
                self._end_call(part["toolCallId"], error=part["errorText"])
            case _:
                # Pieces of arguments, which come whole at their end, and progress.
                pass

    def _begin_block(self, block_id: str, block: Text | Reasoning) -> None:
        self._steps[-1].parts.append(block)
        self._blocks[block_id] = (block, [])
        self._open_blocks[block_id] = block

    def _begin_call(self, call_id: str, name: str, *, is_hosted: bool) -> None:
        error = HOSTED_CUT if is_hosted else CUT
        call = ToolCall(
            id=call_id, name=name, arguments={}, error=error, is_provider_executed=is_hosted
        )
        self._calls[call_id] = self._open_calls[call_id] = call
        self._steps[-1].parts.append(call)

    def _end_call(self, call_id: str, *, output: object = None, error: str | None = None) -> None:
        call = self._calls[call_id]
        call.output, call.error = output, error
        self._open_calls.pop(call_id, None)

    def _add_shown(self, run: ToolRun) -> None:
        """Add the parts that a tool has shown, but for those that the stream has."""
        there = [
            whole_part(part)
            for part in self._steps[-1].parts
            if isinstance(part, Source | File | Data)
        ]
        for part in run.shown():
            if whole_part(part) not in there:
                add_part(self._steps, part)
                self.added_parts += ui_stream.part(whole_part(part))

    def _add_outcome(self, call: ToolCall) -> None:
        self.added_parts += ui_stream.tool_input(call) + ui_stream.tool_output(call)


def _cite(steps: list[Step]) -> None:
    """Give the texts of steps the citations that history has of them."""
    stored = steps_of(stored_steps(steps))
    for text, cited in zip(_texts(steps), _texts(stored), strict=True):
        text.citations = cited.citations


def _texts(steps: Iterable[Step]) -> Iterator[Text]:
    return (part for step in steps for part in step.parts if isinstance(part, Text))
