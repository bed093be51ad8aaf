"""Streams of running answers as `tests/queries` keeps them: each letter of a text is a part."""

import asyncio
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from lib.answers._batches import STORE_STREAM_BATCHES, BatchOutcome
from lib.answers.follow import READ_STREAM, StoredParts
from lib.database.statements import Call
from lib.operations.clean_up import DELETE_OLD_FINISHED_STREAMS
from lib.turns.recover import FIND_LEFT_TURN, LIST_LAPSED_TURNS, LapsedTurn, LeftTurn
from lib.turns.stop import STOP_TURN, StoppedTurn
from tests.support.steps.turns import Begun, Turns, act_as


@dataclass(frozen=True, slots=True)
class Said:
    """What an attempt has said since the last time.

    Attributes:
        begun: which.
        parts: a letter for each part.
        first_part: number of the first of them.
    """

    begun: Begun
    parts: str
    first_part: int = 0


@dataclass(frozen=True, slots=True)
class Streams:
    """The streams of the test's own turns."""

    turns: Turns

    def storing(self, *said: Said) -> Call[BatchOutcome]:
        """Return the call of store_stream_batches."""
        return STORE_STREAM_BATCHES(
            conversation_ids=[each.begun.conversation_id for each in said],
            user_ids=[each.begun.user_id for each in said],
            turn_ids=[each.begun.turn_id for each in said],
            first_parts=[each.first_part for each in said],
            part_counts=[len(each.parts) for each in said],
            parts=[each.parts for each in said],
        )

    async def store_all(self, *said: Said) -> dict[UUID, BatchOutcome]:
        """Run store_stream_batches, which waits for nobody; return how each attempt stands."""
        async with asyncio.timeout(5):
            rows = await self.turns.database.run(self.storing(*said))
        assert len(rows) == len(said)
        return {row.turn_id: row for row in rows}

    async def store(self, begun: Begun, parts: str, first_part: int = 0) -> BatchOutcome:
        """Run store_stream_batches for one attempt."""
        return (await self.store_all(Said(begun, parts, first_part)))[begun.turn_id]

    async def read(
        self,
        *,
        user_id: str | None = None,
        turn_id: UUID | None = None,
        first_part: int = 0,
        conversation_id: UUID | None = None,
    ) -> list[StoredParts]:
        """Run read_stream."""
        wanted = conversation_id or self.turns.conversation_id
        _, rows = await self.turns.database.run(
            act_as(user_id, wanted),
            READ_STREAM(
                conversation_id=wanted,
                user_id=user_id,
                turn_id=turn_id,
                first_part=first_part,
                now=self.turns.now,
            ),
        )
        return rows

    async def stop(self, user_id: str | None = None) -> list[StoppedTurn]:
        """Run stop_turn."""
        wanted = self.turns.conversation_id
        call = STOP_TURN(conversation_id=wanted, user_id=user_id, now=self.turns.now)
        _, rows = await self.turns.database.run(act_as(user_id, wanted), call)
        return rows

    async def find_left(
        self, begun: Begun, user_id: str | None = None, retention_days: int = 0
    ) -> list[LeftTurn]:
        """Run find_left_turn for an attempt."""
        _, rows = await self.turns.database.run(
            act_as(user_id, begun.conversation_id),
            FIND_LEFT_TURN(
                conversation_id=begun.conversation_id,
                user_id=user_id,
                turn_id=begun.turn_id,
                retention_days=retention_days,
                now=self.turns.now,
            ),
        )
        return rows

    async def list_lapsed(self, batch_size: int = 100) -> list[LapsedTurn]:
        """Run list_lapsed_turns."""
        call = LIST_LAPSED_TURNS(batch_size=batch_size, now=self.turns.now)
        return await self.turns.database.run(call)

    async def delete_old(self, batch_size: int = 100, since: datetime | None = None) -> list[UUID]:
        """Run delete_old_finished_streams; return of which conversations they were."""
        now = self.turns.now
        call = DELETE_OLD_FINISHED_STREAMS(batch_size=batch_size, since=since, now=now)
        return [row.conversation_id for row in await self.turns.database.run(call)]
