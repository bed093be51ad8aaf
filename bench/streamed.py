"""Turns whose answers are streamed, by chat functions in processes of their own.

In one round each of TOGETHER functions makes one answer, alone in its process; in another, one
function makes as many at once, and stores the parts of all of them together. A model says 13 words
a second for 8 seconds. Each function has one connection, whose statements are known to it by the
time it is measured.
"""

import asyncio
import itertools
from collections.abc import AsyncGenerator, Sequence
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass

from bench.asking import Heard, hear
from bench.model import PacedModel
from bench.serving import start_chat
from bench.workload import Place, conversation_id, question
from tests.support.product import token_of
from tests.support.runtime import RunningFunction

TOGETHER = 10
WORDS_PER_SECOND, SECONDS = 13, 8
WORDS = WORDS_PER_SECOND * SECONDS
# Quick answers of each function, before it is measured.
WARM_UP, QUICK_SECONDS = 8, 2


class AnswerIncomplete(Exception):
    """A stream did not come to its end."""


@dataclass(frozen=True, slots=True)
class StreamingFunctions:
    """Functions that answer.

    Attributes:
        place: Parley's database.
        conversations: which are written in, in turn.
        model: whom they ask.
        alone: each makes one answer at a time.
        shared: makes many.
    """

    place: Place
    conversations: "itertools.cycle[int]"
    model: PacedModel
    alone: Sequence[RunningFunction]
    shared: RunningFunction

    async def warm_up(self) -> None:
        """Have each function answer some times, quickly."""
        self.model.seconds_between = QUICK_SECONDS / WORDS
        for _ in range(WARM_UP):
            await self._answer([*self.alone, self.shared])
        self.model.seconds_between = 1 / WORDS_PER_SECOND

    async def answer_alone(self) -> None:
        """Take TOGETHER turns, each in a process of its own."""
        await self._answer(self.alone)

    async def answer_together(self) -> None:
        """Take TOGETHER turns in one process."""
        await self._answer([self.shared] * TOGETHER)

    async def _answer(self, functions: Sequence[RunningFunction]) -> None:
        async with asyncio.TaskGroup() as asking:
            tasks = [asking.create_task(self._hear(function)) for function in functions]
        if not all(task.result().is_whole for task in tasks):
            raise AnswerIncomplete

    async def _hear(self, function: RunningFunction) -> Heard:
        number = next(self.conversations)
        return await hear(
            function.base_url,
            conversation_id(number),
            60,
            token=token_of(self.place.user_of(number)),
            message=question(),
        )


@asynccontextmanager
async def streaming_functions(
    place: Place, conversations: Sequence[int]
) -> AsyncGenerator[StreamingFunctions]:
    """Start the functions, and stop them in the end."""
    model = await PacedModel.start()
    model.tokens = WORDS
    with ExitStack() as stack:
        started = [
            stack.enter_context(start_chat(place.url, model.port, connections=1))
            for _ in range(TOGETHER + 1)
        ]
        shared, *alone = started
        functions = StreamingFunctions(place, itertools.cycle(conversations), model, alone, shared)
        await functions.warm_up()
        yield functions
