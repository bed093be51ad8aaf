"""The steps of an answer: ask the model, run the tools that it calls, and ask it again.

Imported with the first message, because it imports `lib.model` and with it `openai`, which is slow.
"""

import time
from contextlib import aclosing, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cache
from typing import assert_never

from lib.answers._files.kept import KeptFiles
from lib.answers._files.made import MadeFiles
from lib.answers._hosted.calls import HostedCalls
from lib.answers._hosted.sources import Sources
from lib.answers._models import marks_of, model_of
from lib.answers._prompt import prompt_messages
from lib.answers._prompt_parts.blocks import earlier_conversation
from lib.answers._states import provider_state
from lib.answers._summaries.tasks import fill_gap, make_room
from lib.answers._summaries.window import fitting, share_in_budget, tokens_of
from lib.answers._tools.calls import MAX_ARGUMENTS_CHARS, CallAssembler
from lib.answers._tools.runs import ToolRuns
from lib.answers.answer import Answer, AnswerCutError, CutReason
from lib.conversations.message import FinishReason, Message
from lib.conversations.parts import ToolCall
from lib.conversations.steps import Step, stored_steps
from lib.database.client import Database
from lib.files.kinds import unread_kind
from lib.model.client import (
    is_nearly_too_long,
    is_question_mostly,
    may_another_answer,
    stream_answer,
)
from lib.model.cost import Spending, estimated_prompt_tokens
from lib.model.reply import (
    CallPiece,
    FilePiece,
    HostedCallPiece,
    ModelFinishReason,
    ReasoningPiece,
    Reply,
    SourcePiece,
)
from lib.model.request import (
    AnswerSchema,
    ModelRequest,
    PromptMessage,
    ToolDefinition,
    with_instruction,
)
from lib.problems import (
    AnswerInterrupted,
    AnswerNotStored,
    ConversationTooLong,
    ModelFailed,
    ModelTimeout,
    Problem,
)
from lib.runtime.counting import note_first_token
from lib.runtime.log import log
from lib.settings import settings
from lib.texts import ObjectText
from lib.tools import Tool, tools
from lib.turns.finish import MAX_INTEGER
from lib.turns.turn import Turn

# Why an answer may have ended while its model had only thought, and is an answer all the same.
CUT_REASONS: frozenset[FinishReason | None] = frozenset({"length", "timeout", "aborted"})
# Where a conversation is too long, so much of it stays before the question: at first, and then.
SHARES = (0.5, 0.0)
# Of one answer, because of MAX_PROMPT_TOKENS.
MAX_BUDGET_SUMMARIES = 2
TOO_MANY_STEPS = "Not run: this answer has taken as many steps as it may."


@dataclass(frozen=True, slots=True)
class ModelAnswer:
    """The model's answer, before it is stored.

    Attributes:
        message: the answer to store; None: the model sent nothing to store.
        failure: the problem that ended the answer; None: no problem did.
        cut_reason: why the answer was cut; None: it was not.
    """

    message: Message | None
    failure: Problem | None
    cut_reason: CutReason | None

    @property
    def refusal(self) -> str | None:
        """The code of the problem for which the provider refused the question; None: none."""
        failure = self.failure
        return failure.code if failure is not None and failure.is_for_message_alone else None

    @property
    def has_provider_failed(self) -> bool:
        """The provider itself failed, rather than refuse the question; its user owes nothing."""
        return isinstance(self.failure, ModelFailed) and self.refusal is None


async def ask_model(
    database: Database, answer: Answer, files: KeptFiles, cut_at: float, spending: Spending
) -> ModelAnswer:
    """Ask the model for an answer, and write its text and tool calls to the stream as they come.

    Args:
        database: the database that the tools work on.
        answer: the answer in the making.
        files: stores its files.
        cut_at: the deadline of the answer, on the clock of `time.monotonic()`, in seconds.
        spending: gets the cost of each request.

    Raises:
        AnswerNotStored: when the turn is another attempt's by now.
    """
    steps = _Steps(database, answer, files, spending)
    finish_reason: FinishReason | None = None
    failure: Problem | None = None
    cut_reason: CutReason | None = None
    try:
        async with answer.limited(cut_at):
            finish_reason = await steps.take_all()
    except AnswerCutError as cut:
        cut_reason = cut.reason
        has_begun = answer.has_begun or steps.has_thought
        finish_reason, failure = _end_of(cut_reason, has_begun=has_begun)
    except ModelFailed as problem:
        finish_reason, failure = "error", problem
    steps.close(is_failed=failure is not None)
    return ModelAnswer(steps.message(finish_reason), failure, cut_reason)


def _end_of(reason: CutReason, *, has_begun: bool) -> tuple[FinishReason, Problem | None]:
    """Return the finish reason of an answer that was cut, and the problem that its readers get.

    Raises:
        AnswerNotStored: when the turn is another attempt's by now.
    """
    match reason:
        case "lost":
            raise AnswerNotStored from None
        case "interrupted":
            return "interrupted", AnswerInterrupted()
        case "timeout" if not has_begun:
            return "error", ModelTimeout()
        case "timeout" | "aborted":
            return reason, None
        case _:
            assert_never(reason)


@dataclass(slots=True)
class _Tokens:
    """The tokens of all replies; None: the provider did not count them."""

    prompt: int | None = None
    completion: int | None = None
    reasoning: int | None = None
    cached: int | None = None

    def add(self, reply: Reply) -> None:
        """Add the tokens of a reply."""
        if reply.prompt_tokens is not None:
            self.prompt = min((self.prompt or 0) + reply.prompt_tokens, MAX_INTEGER)
        if reply.completion_tokens is not None:
            self.completion = min((self.completion or 0) + reply.completion_tokens, MAX_INTEGER)
        if reply.reasoning_tokens is not None:
            self.reasoning = min((self.reasoning or 0) + reply.reasoning_tokens, MAX_INTEGER)
        if reply.cached_tokens is not None:
            self.cached = min((self.cached or 0) + reply.cached_tokens, MAX_INTEGER)


class _Steps:
    """The steps of one answer: each has the parts of one reply, and the outcomes of its tool calls.

    The first step has the calls that earlier attempts have run, if they have run any.
    """

    def __init__(
        self, database: Database, answer: Answer, files: KeptFiles, spending: Spending
    ) -> None:
        """Take the answer, the database of its tools, and what gets its files and its cost."""
        self._database = database
        self._answer = answer
        self._spending = spending
        self._parts = answer.parts
        self._runs = ToolRuns(database, answer.turn, answer.parts, files)
        self._calls = CallAssembler(answer.parts, self._runs)
        self._sources = Sources(answer.parts)
        self._hosted_calls = HostedCalls(answer.parts, self._runs)
        self._files = MadeFiles(answer.parts, files)
        self._model = model_of(answer.turn, answer.request)
        self._reply = Reply()
        self._tokens = _Tokens()
        # The last request has got a piece of its reply.
        self._has_read = False
        self._budget_summaries = 0
        self._shown_outcomes = set[str]()
        if earlier_step := self._runs.earlier_step():
            self._parts.add_step(earlier_step)

    async def take_all(self) -> ModelFinishReason | None:
        """Take steps until the model calls no tool, or has taken MAX_TOOL_STEPS of them.

        Returns:
            Why the model ended its last reply.

        Raises:
            ModelFailed: see `stream_answer`.
            AnswerNotStored: when the turn is another attempt's by now.
        """
        max_steps = settings().max_tool_steps
        for number in range(1, max_steps + 1):
            is_last = number == max_steps
            calls = await self._take_step(is_first=number == 1, is_last=is_last)
            if is_last:
                for call in calls:
                    call.error = TOO_MANY_STEPS
            await self._runs.run_all(calls, self._show_outcome)
            self._parts.end_step()
            if not calls:
                return self._reply.finish_reason
        return "tool_calls"

    def close(self, *, is_failed: bool) -> None:
        """Complete the stream of an answer that was cut, so that it shows the same as history.

        After a failure no step is ended, because the stream ends with the error.
        """
        if self._parts.is_in_step:
            self._calls.end(None)
            for call in self._parts.steps[-1].calls:
                self._show_outcome(call)
        self._parts.take_back_step()
        if is_failed:
            self._parts.end_block()
        else:
            self._parts.end_step()

    @property
    def has_thought(self) -> bool:
        """The model has thought, or the provider has searched for it."""
        parts = (part for step in self._parts.steps for part in step.parts)
        return self._parts.has_thought or any(
            isinstance(part, ToolCall) and part.is_provider_executed for part in parts
        )

    def message(self, finish_reason: FinishReason | None) -> Message | None:
        """Return the answer as a message without a number; None: there is nothing to store.

        An answer that was cut while the model had only thought is stored without text, because the
        user has waited and paid for it.
        """
        steps = self._parts.steps
        is_cut_thought = self.has_thought and finish_reason in CUT_REASONS
        if not is_cut_thought and all(step.is_only_thought for step in steps):
            return None
        now = datetime.now(UTC)
        turn, style = self._answer.turn, self._answer.request.style
        columns = stored_steps(steps)
        return Message(
            id=0,
            conversation_id=turn.conversation_id,
            message_id=self._answer.message_id,
            role="assistant",
            content=columns.content,
            reply_to=turn.question.id,
            finish_reason=finish_reason,
            model_name=self._reply.model_name,
            model=self._model.name,
            requested_model=None if self._model.name == turn.model else turn.model,
            prompt_tokens=self._tokens.prompt,
            completion_tokens=self._tokens.completion,
            reasoning_tokens=self._tokens.reasoning,
            reasoning_seconds=self._parts.reasoning_seconds,
            cached_tokens=self._tokens.cached,
            tool_calls=columns.tool_calls,
            steps=columns.steps,
            provider_state=provider_state(steps, self._model),
            persona=style.persona,
            tone=style.tone,
            behavior=style.behavior,
            created_at=now,
            updated_at=now,
        )

    def _show_outcome(self, call: ToolCall) -> None:
        if call.id not in self._shown_outcomes:
            self._shown_outcomes.add(call.id)
            self._parts.add_outcome(call)

    async def _take_step(self, *, is_first: bool, is_last: bool) -> list[ToolCall]:
        """Ask the model once, and return the tools that it calls."""
        turn, request = self._answer.turn, self._answer.request
        earlier_steps = [*self._parts.steps]
        step = self._parts.begin_step()
        # Do not force the tool on a retry; the first attempt has already run it.
        is_forced = is_first and not turn.tool_runs
        forced = tools().get(request.tool_choice or "") if is_forced else None
        try:
            while True:
                try:
                    await self._ask_with_room(
                        earlier_steps, forced, is_first=is_first, is_last=is_last
                    )
                except ModelFailed as problem:
                    if not (is_first and self._lets_another_answer(problem)):
                        raise
                else:
                    break
        finally:
            self._tokens.add(self._reply)
            self._sources.end_reply()
            self._hosted_calls.end_reply()
        calls = self._calls.end(self._reply.finish_reason)
        self._parts.end_block()
        step.state = self._reply.state
        if step.is_only_thought and not self._is_cut_thought():
            raise ModelFailed
        return calls

    async def _ask_with_room(
        self, earlier_steps: list[Step], forced: Tool | None, *, is_first: bool, is_last: bool
    ) -> None:
        """Ask the model; where the conversation is too long for it, after a summary.

        At first the older half of the messages goes into the summary, then all before the question.
        Where there is no summary, the oldest messages are left out of the request.
        """
        answer, has_summaries = self._answer, settings().summaries == "on"
        if is_first and has_summaries and answer.past.has_gap:
            await fill_gap(self._database, answer, self._spending)
        messages = await self._within_budget(earlier_steps, is_first=is_first)
        for share in SHARES if has_summaries else ():
            if not answer.has_past:
                break
            request = self._request(messages, is_last=is_last, may_shorten=False)
            with suppress(ConversationTooLong):
                await self._ask(request, forced)
                return
            if self._has_read:
                raise ConversationTooLong
            has_room = not is_question_mostly(request) and await make_room(
                self._database, answer, share, self._spending
            )
            if not has_room:
                break
            messages = self._messages(earlier_steps)
        await self._ask(self._request(messages, is_last=is_last, may_shorten=True), forced)

    async def _within_budget(
        self, earlier_steps: list[Step], *, is_first: bool
    ) -> tuple[PromptMessage, ...]:
        """Return the messages of the request, within MAX_PROMPT_TOKENS as far as possible."""
        answer = self._answer
        messages = self._messages(earlier_steps)
        beside = self._tokens_beside(messages)
        if is_first:
            answer.beside_tokens = beside
        share = share_in_budget(answer.messages, answer.past, beside)
        if share >= 1 or not answer.has_past:
            return messages
        if settings().summaries == "off":
            answer.messages = fitting(answer.messages, beside)
        elif self._budget_summaries < MAX_BUDGET_SUMMARIES:
            self._budget_summaries += 1
            await make_room(self._database, answer, min(share, SHARES[0]), self._spending)
        return self._messages(earlier_steps)

    def _messages(self, earlier_steps: list[Step]) -> tuple[PromptMessage, ...]:
        turn = self._answer.turn
        return prompt_messages(
            self._answer.messages,
            self._answer.request.style,
            earlier_steps,
            turn.answer,
            model=self._model,
            instructions=instructions_of(turn),
        )

    def _tokens_beside(self, messages: tuple[PromptMessage, ...]) -> int:
        """Estimate the tokens of a request beside those of the conversation's messages."""
        request = ModelRequest(self._model, messages, self._tools(), before=self._before())
        own = sum(map(tokens_of, self._answer.messages))
        return max(0, estimated_prompt_tokens(request) - own)

    def _before(self) -> str | None:
        summary = self._answer.past.summary
        return earlier_conversation(summary) if summary else None

    def _request(
        self, messages: tuple[PromptMessage, ...], *, is_last: bool, may_shorten: bool
    ) -> ModelRequest:
        return ModelRequest(
            self._model,
            messages,
            self._tools(),
            # In the last step a call would not run, so the model must answer.
            may_call=not is_last,
            web_search=self._model.web_search,
            before=self._before(),
            may_shorten=may_shorten,
            **marks_of(self._answer.turn),
        )

    async def _ask(self, request: ModelRequest, forced: Tool | None) -> None:
        if forced is None:
            await self._read_reply(request)
        else:
            await self._force_call(request, forced)

    def _lets_another_answer(self, problem: ModelFailed) -> bool:
        """Have the stand-in of the model answer, if it has one and nothing has been said yet."""
        other = settings().stand_in_of(self._model)
        has_begun = self._answer.has_begun or self._parts.has_thought
        if other is None or has_begun or not may_another_answer(problem):
            return False
        request = self._answer.request
        lacks_tools = request.tool_choice is not None and not other.tools
        if lacks_tools or unread_kind(other.files, request.files or []) is not None:
            return False
        log("model_stood_in", model=self._model.name, stand_in=other.name, problem=problem.code)
        self._model = other
        return True

    def _is_cut_thought(self) -> bool:
        """Tell whether the reply is a thought alone that came to the limit of its length."""
        return self._parts.has_thought and self._reply.finish_reason == "length"

    def _tools(self) -> tuple[ToolDefinition, ...]:
        """Return the tools that the model may call: none for anonymous callers, or without any."""
        if self._answer.turn.caller.user_id is None or not self._model.tools:
            return ()
        return tuple(_definition(tool) for tool in tools().values())

    async def _force_call(self, request: ModelRequest, forced: Tool) -> None:
        """Have the model call one tool.

        The request has all tools all the same: providers' caches have them before the messages.

        Some providers do not know tool_choice, or ignore it (llama.cpp with some models). The model
        then writes the call's arguments as its answer, by JSON schema.
        """
        definition = _definition(forced)
        asked = request
        request = replace(asked, tools=asked.tools or (definition,), forced_tool=forced.name)
        await self._read_reply(request, drops_text=True)
        if self._calls:
            return
        self._tokens.add(self._reply)
        instruction = f"{definition.description} Answer with its arguments alone, as JSON."
        request = replace(
            asked,
            messages=with_instruction(asked.messages, instruction),
            tools=(),
            may_call=True,
            web_search=False,
            schema=AnswerSchema(forced.name, definition.parameters),
        )
        self._reply = Reply()
        text, arguments = "", ObjectText()
        async with aclosing(stream_answer(request, self._reply, self._spending)) as pieces:
            async for piece in pieces:
                if isinstance(piece, str):
                    text += piece
                    if more := arguments.add(piece):
                        self._calls.add(CallPiece(0, "", forced.name, more))
                if len(text) > 2 * MAX_ARGUMENTS_CHARS:
                    break
        if text and not self._calls:
            # Not arguments: the call says so.
            self._calls.add(CallPiece(0, "", forced.name, text))

    async def _read_reply(  # noqa: C901 (a branch for each kind of piece)
        self, request: ModelRequest, *, drops_text: bool = False
    ) -> None:
        """Read one reply of the model, and write its parts to the stream as they come.

        With `drops_text` the reading ends at the first text before a call, and so it does at a call
        of another tool than the one that the request forces: the model does not obey.
        """
        asked_at = time.monotonic()
        self._reply, self._has_read = Reply(), False
        parts, thoughts = self._parts, list[str]()
        has_text, is_first_piece = False, not self._answer.has_begun
        async with aclosing(stream_answer(request, self._reply, self._spending)) as stream:
            async for piece in stream:
                self._has_read = True
                if is_first_piece:
                    note_first_token(time.monotonic() - asked_at)
                    is_first_piece = False
                if isinstance(piece, CallPiece) and _is_of_another(piece, request.forced_tool):
                    break
                if isinstance(piece, ReasoningPiece):
                    thoughts.append(piece.text)
                    parts.add_reasoning(piece.text)
                elif isinstance(piece, FilePiece):
                    # A picture alone is an answer.
                    has_text = (not drops_text and await self._files.add(piece)) or has_text
                elif not isinstance(piece, str):
                    self._add_whole(piece, drops_sources=drops_text)
                elif self._calls:
                    # Many models end their calls with a line break.
                    if parts.is_in_text or piece.strip():
                        parts.add_text(piece)
                elif not drops_text:
                    has_text = has_text or bool(piece.strip())
                    parts.add_text(piece)
                elif piece.strip():
                    break
        self._files.log_left_out(self._reply)
        self._answer.is_nearly_too_long = is_nearly_too_long(request)
        is_only_thought = bool(thoughts) and not (self._calls or drops_text or has_text)
        if is_only_thought and self._reply.finish_reason != "length":
            # The model ended well, so this is what it has to say. Some servers take a whole answer
            # for a thought, because its end was never marked.
            parts.add_text("".join(thoughts))

    def _add_whole(
        self, piece: CallPiece | SourcePiece | HostedCallPiece, *, drops_sources: bool
    ) -> None:
        """Add a piece that is no text and no thought."""
        if isinstance(piece, CallPiece):
            self._calls.add(piece)
        elif isinstance(piece, HostedCallPiece):
            self._hosted_calls.add(piece)
        elif not drops_sources:
            self._sources.add(piece)


def _is_of_another(piece: CallPiece, forced_tool: str | None) -> bool:
    """Tell whether a piece names another tool than the forced one; it may have half of the name."""
    return forced_tool is not None and not (piece.name in forced_tool or forced_tool in piece.name)


def instructions_of(turn: Turn) -> list[str]:
    """Return what the user wants the model to know or to do: everywhere, then here."""
    return [text for text in (turn.user_instructions, turn.instructions) if text]


@cache
def _definition(tool: Tool) -> ToolDefinition:
    """Return a tool as the model is told it; its JSON schema is made once in a process."""
    return ToolDefinition(tool.name, tool.description, tool.parameters())
