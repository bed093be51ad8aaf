"""The steps of an answer: ask the model, run the tools that it calls, and ask it again.

Imported with the first message: it imports `lib.model`, and that `openai`, which takes long.
"""

import time
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, cast

from lib.answers._prompt import provider_messages
from lib.answers._tool_calls import HeardCalls
from lib.answers._tool_runs import NOT_RUN, ToolRuns
from lib.answers.answer import Answer
from lib.conversations.message import FinishReason, Message
from lib.conversations.steps import Step, ToolCall, stored_steps
from lib.database.client import Database
from lib.model.client import stream_answer
from lib.model.reply import CallPiece, Reply
from lib.problems import AnswerInterrupted, AnswerNotStored, ModelFailed, ModelTimeout, Problem
from lib.runtime.counting import note_first_token
from lib.settings import settings
from lib.tools import Tool, tools

# Of Postgres.
MAX_INTEGER = 2**31 - 1
TOO_MANY_STEPS = "Not run: this answer has taken as many steps as it may."


async def ask(
    database: Database, answer: "Answer", cut_at: float
) -> tuple[Message | None, Problem | None]:
    """Ask the model and pass on what it says and does.

    Args:
        database: where the tools work.
        answer: where it is passed on.
        cut_at: when it is cut, on the clock of `time.monotonic()`, in seconds.

    Returns:
        What came, to be stored (None: nothing), and the failure that ended it (None: none did).

    Raises:
        AnswerNotStored: the turn was lost.
    """
    asking = _Asking(database, answer)
    failure: Problem | None = None
    finish_reason: str | None = None
    try:
        async with answer.limited(cut_at):
            await asking.take_all_steps()
            finish_reason = asking.reply.finish_reason
    except TimeoutError:
        finish_reason = answer.cut_reason
        if answer.cut_reason == "lost":
            raise AnswerNotStored from None
        if answer.cut_reason == "interrupted":
            failure = AnswerInterrupted()
        elif answer.cut_reason == "timeout" and not answer.has_begun:
            finish_reason, failure = "error", ModelTimeout()
    except ModelFailed as problem:
        finish_reason, failure = "error", problem
    if asking.is_in_step:
        asking.leave_step(is_failed=failure is not None)
    asking.keep_carried_text(is_failed=failure is not None)
    if not any(step.text or step.calls for step in asking.steps):
        return None, failure
    return asking.draft(finish_reason), failure


@dataclass(slots=True)
class _Tokens:
    """The tokens of all steps; None: the provider did not say."""

    prompt: int | None = None
    completion: int | None = None

    def add(self, reply: Reply) -> None:
        """Add those of a step."""
        if reply.prompt_tokens is not None:
            self.prompt = min((self.prompt or 0) + reply.prompt_tokens, MAX_INTEGER)
        if reply.completion_tokens is not None:
            self.completion = min((self.completion or 0) + reply.completion_tokens, MAX_INTEGER)


@dataclass(slots=True)
class _Asking:
    """One answer as it is being asked for."""

    database: Database
    answer: "Answer"
    steps: list[Step] = field(default_factory=list[Step])
    reply: Reply = field(default_factory=Reply)
    is_in_step: bool = False
    _tokens: _Tokens = field(default_factory=_Tokens)
    # What the model says after a call belongs to the next step: the page shows a step's text first.
    _carried_text: str = ""
    _told: set[str] = field(default_factory=set[str])
    _runs: ToolRuns = field(init=False)
    _heard: HeardCalls = field(init=False)

    def __post_init__(self) -> None:
        self._runs = ToolRuns(self.database, self.answer.turn)
        self._heard = HeardCalls(self.answer, self._runs)
        earlier = self._runs.earlier_calls()
        if earlier:
            self.steps.append(Step(calls=earlier))
            self.answer.tell_step(self.steps[0])

    async def take_all_steps(self) -> None:
        """Ask, and run what is called, until the model calls nothing or may ask for no more.

        Raises:
            ModelFailed: see `stream_answer`.
            AnswerNotStored: the turn was lost.
        """
        most = settings().max_tool_steps
        for number in range(1, most + 1):
            step = await self._take_step(is_first=number == 1, is_last=number == most)
            if not step.calls:
                break
            for call in step.calls:
                if number == most:
                    call.error = TOO_MANY_STEPS
                # Another error is set already where it must not be run.
                elif call.error == NOT_RUN:
                    await self._runs.run(call)
                self._tell_outcome(call)
            self._end_step()
        else:
            self.reply.finish_reason = "tool_calls"
        if self.is_in_step:
            self._end_step()

    def leave_step(self, *, is_failed: bool) -> None:
        """Leave a step that was cut, so that the page shows what history will.

        After a failure nothing is ended: the stream ends with that.
        """
        step = self.steps[-1]
        step.calls += self._heard.end(None)
        for call in step.calls:
            self._tell_outcome(call)
        if not is_failed:
            self._end_step()

    def keep_carried_text(self, *, is_failed: bool) -> None:
        """Make a step of what was to begin the next one, where there was none."""
        if self._carried_text:
            self.steps.append(Step(self._carried_text))
            self.answer.begin_step()
            self.answer.say(self._carried_text)
            if not is_failed:
                self._end_step()

    def draft(self, finish_reason: str | None) -> Message:
        """Return the answer as far as it is known before it is stored."""
        now = datetime.now(UTC)
        turn, style = self.answer.turn, self.answer.said.style
        content, tool_calls = stored_steps(self.steps)
        return Message(
            id=0,
            conversation_id=turn.conversation_id,
            message_id=self.answer.message_id,
            role="assistant",
            content=content,
            reply_to=turn.question.id,
            finish_reason=cast("FinishReason | None", finish_reason),
            model_name=self.reply.model_name,
            prompt_tokens=self._tokens.prompt,
            completion_tokens=self._tokens.completion,
            tool_calls=tool_calls,
            persona=style.persona,
            tone=style.tone,
            behavior=style.behavior,
            created_at=now,
            updated_at=now,
        )

    def _tell_outcome(self, call: ToolCall) -> None:
        if call.id not in self._told:
            self._told.add(call.id)
            self.answer.tell_outcome(call)

    def _end_step(self) -> None:
        self.is_in_step = False
        self.answer.end_step()

    async def _take_step(self, *, is_first: bool, is_last: bool) -> Step:
        turn = self.answer.turn
        said = provider_messages(
            turn.messages, self.answer.said.style, self.steps, replaced=turn.answer
        )
        step = Step()
        self.steps.append(step)
        self.is_in_step = True
        self.answer.begin_step()
        # Not again in a later attempt: what it was to have done, it has done.
        is_forced = is_first and not turn.tool_runs
        forced = tools().get(self.answer.said.tool_choice or "") if is_forced else None
        try:
            if forced is not None:
                await self._listen(step, said, _options(forced), is_silent=True)
            else:
                await self._listen(step, said, self._options(is_last=is_last))
            if forced is not None and not self._heard:
                await self._listen_for_arguments(forced, said)
        finally:
            self._tokens.add(self.reply)
        step.calls = self._heard.end(self.reply.finish_reason)
        if not step.text and not step.calls:
            raise ModelFailed
        return step

    def _options(self, *, is_last: bool) -> dict[str, Any]:
        """Return what is asked of the provider beside the text: tools, for who is signed in."""
        if self.answer.turn.caller.user_id is None or not tools():
            return {}
        options: dict[str, Any] = {"tools": [each.definition() for each in tools().values()]}
        # The last time it may ask, it must say something.
        return options | ({"tool_choice": "none"} if is_last else {})

    async def _listen(
        self,
        step: Step,
        said: list[dict[str, Any]],
        options: dict[str, Any],
        *,
        is_silent: bool = False,
    ) -> None:
        """Pass on the pieces of the model's answer as they come, and keep them.

        With `is_silent` no text: a model that was told to call a tool has nothing to say. If it
        does say something, it is not listened to any longer.
        """
        asked_at = time.monotonic()
        self.reply = Reply()
        pieces = [self._carried_text] if self._carried_text else []
        self._carried_text = ""
        for piece in pieces:
            self.answer.say(piece)
        is_first_piece = not self.answer.has_begun
        try:
            stream = stream_answer(settings().openai_model, said, self.reply, options)
            async with aclosing(stream) as stream:
                async for piece in stream:
                    if is_first_piece:
                        note_first_token(time.monotonic() - asked_at)
                        is_first_piece = False
                    if isinstance(piece, CallPiece):
                        self._heard.hear(piece)
                    elif self._heard:
                        self._carried_text += piece
                    elif is_silent and piece.strip():
                        # It was told to call a tool, and does something else.
                        break
                    elif not is_silent:
                        pieces.append(piece)
                        self.answer.say(piece)
        finally:
            step.text = "".join(pieces)

    async def _listen_for_arguments(self, forced: Tool, said: list[dict[str, Any]]) -> None:
        """Have the model write a call's arguments as its answer, by JSON schema.

        For providers that do not know tool_choice, or ignore it (llama.cpp with some models).
        """
        self._tokens.add(self.reply)
        definition = forced.definition()["function"]
        asked = {
            "role": "system",
            "content": f"{definition['description']} Answer with its arguments alone, as JSON.",
        }
        schema = {"name": forced.name, "schema": definition["parameters"]}
        options = {"response_format": {"type": "json_schema", "json_schema": schema}}
        self.reply = Reply()
        stream = stream_answer(settings().openai_model, [*said, asked], self.reply, options)
        async with aclosing(stream) as pieces:
            async for piece in pieces:
                if isinstance(piece, str):
                    self._heard.hear(CallPiece(0, "", forced.name, piece))


def _options(forced: Tool) -> dict[str, Any]:
    """Return what has the model call one tool."""
    chosen = {"type": "function", "function": {"name": forced.name}}
    return {"tools": [forced.definition()], "tool_choice": chosen}
