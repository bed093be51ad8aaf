"""Providers of the zoo as faults: each of them may answer any question of a run."""

import asyncio
from dataclasses import dataclass
from typing import Any, override

from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send

from tests.support.model_server import Reply, ScriptedModel
from tests.zoo.asked import Answer, Asked, Call
from tests.zoo.refusals import Refusal, no_parameter, no_system, seal_of_thought
from tests.zoo.server import Provider, call_id_of, events_of, send_events
from tests.zoo.streams import (
    Event,
    begins_with_nothing,
    calls_whole,
    cites,
    draws_always,
    ends_with,
    ends_without_done,
    ends_without_reason,
    keeps_alive,
    names_ids_again,
    repeats_calls,
    thinks,
    thinks_in_blocks,
    thinks_in_details,
    thinks_in_lists,
    thinks_in_tags,
)

PLAIN = Provider(name="Plain")
QUOTA = Refusal(
    message="You exceeded your current quota, please check your plan and billing details.",
    status=429,
    type="insufficient_quota",
    code="insufficient_quota",
)


def garbles(events: list[Event], _asked: Asked, _answer: Answer) -> list[Event]:
    """Send events that are no JSON, or no object, among the others."""
    return [*events[:2], b"data: {garbled\n\n", b"data: [1]\n\n", *events[2:]]


def used_up(_asked: Asked) -> Refusal:
    """Refuse every request, because the operator's quota is used up."""
    return QUOTA


# Each is an answer like any other, but for those that pass.
PROVIDERS = {
    "provider sends no [DONE]": Provider(name="", streams=(ends_without_done,)),
    "provider sends no finish reason": Provider(name="", streams=(ends_without_reason,)),
    "provider sends a garbled event": Provider(name="", streams=(garbles,)),
    "provider repeats its calls": Provider(name="", streams=(repeats_calls,)),
    "provider sends ids in every piece": Provider(name="", streams=(names_ids_again,)),
    "provider sends calls whole, and Azure's chunks": Provider(
        name="", streams=(calls_whole, begins_with_nothing)
    ),
    "provider keeps the connection alive": Provider(name="", streams=(keeps_alive,)),
    "provider sends content in lists": Provider(name="", streams=(thinks_in_lists,)),
    "provider thinks in tags": Provider(name="", streams=(thinks_in_tags,)),
    "provider thinks in a field": Provider(name="", streams=(thinks("reasoning_content"),)),
    "provider thinks in details": Provider(name="", streams=(thinks_in_details,)),
    "provider thinks in blocks": Provider(name="", streams=(thinks_in_blocks(seal_of_thought),)),
    "provider cites": Provider(name="", streams=(cites,)),
    "provider draws": Provider(name="", streams=(draws_always,)),
    "provider refuses stream_options": Provider(
        name="",
        refusals=(
            no_parameter(
                "stream_options", "Unrecognized request argument supplied: stream_options"
            ),
        ),
    ),
    "provider refuses the system role": Provider(
        name="", refusals=(no_system("System role not supported"),)
    ),
    "provider ends for an error": Provider(name="", streams=(ends_with("error"),)),
    "provider's quota is used up": Provider(name="", refusals=(used_up,)),
}
# The first answer to a question fails, the next one is as any other.
PASSING = {"provider ends for an error", "provider's quota is used up"}


@dataclass(slots=True, kw_only=True)
class ProviderReply(Reply):
    """A reply of a provider.

    Attributes:
        question: the question, which is the title of a task.
        provider: refuses and streams as it does.
        calls: the reply is a call of `add_task`.
    """

    question: str
    provider: Provider
    calls: bool


class ProviderModel(ScriptedModel):
    """Plays the providers, and all faults that are not a provider's."""

    @override
    async def _answer(
        self, reply: Reply, body: dict[str, Any], scope: Scope, receive: Receive, send: Send
    ) -> None:
        if not isinstance(reply, ProviderReply):
            await super()._answer(reply, body, scope, receive, send)
            return
        asked = Asked(body, "", is_chat=True, issued={})
        for judge in reply.provider.refusals:
            if refusal := judge(asked):
                content = reply.provider.form(refusal)
                await JSONResponse(content, refusal.status)(scope, receive, send)
                return
        thought = f"Hmm, {reply.question}."
        if reply.calls:
            call = Call(reply.question, call_id_of(reply.question))
            answer = Answer(thought=thought, call=call)
        else:
            answer = Answer("".join(reply.pieces), thought)
        events = events_of(reply.provider, asked, answer)
        await send_events(events, asyncio.Event(), send, reply.seconds_between)
