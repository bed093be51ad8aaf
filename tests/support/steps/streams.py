"""Streams of running answers for `tests/queries`: each letter of a text is one part."""

import asyncio
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from lib.answers._batches import STORE_STREAM_BATCHES, BatchOutcome
from lib.answers.follow import MARK_STREAM_FOLLOWED, READ_STREAM, StoredParts
from lib.database.statements import Call
from lib.operations.clean_up import DELETE_OLD_FINISHED_STREAMS
from lib.turns.recover import FIND_LEFT_TURN, LIST_LAPSED_TURNS, LapsedTurn, LeftTurn
from lib.turns.stop import STOP_TURN, StoppedTurn
from tests.support.steps.turns import Begun, Turns, act_as


@dataclass(frozen=True, slots=True)
class Parts:
    """The new parts of an attempt's stream.

    Attributes:
        begun: the attempt.
        parts: a letter for each part.
        first_part: number of the first part.
        lease_seconds: of the lease, if it is prolonged; 0: it is not.
    """

    begun: Begun
    parts: str
    first_part: int = 0
    lease_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Streams:
    """The streams of the test's own turns."""

    turns: Turns

    def store_call(self, *batches: Parts) -> Call[BatchOutcome]:
        """Return the call of store_stream_batches."""
        return STORE_STREAM_BATCHES(
            conversation_ids=[batch.begun.conversation_id for batch in batches],
            user_ids=[batch.begun.user_id for batch in batches],
            turn_ids=[batch.begun.turn_id for batch in batches],
            lease_seconds=[batch.lease_seconds for batch in batches],
            first_parts=[batch.first_part for batch in batches],
            part_counts=[len(batch.parts) for batch in batches],
            parts=[batch.parts for batch in batches],
            now=self.turns.now,
        )

    async def store_all(self, *batches: Parts) -> dict[UUID, BatchOutcome]:
        """Run store_stream_batches, which waits for no lock; return the outcome of each."""
        async with asyncio.timeout(5):
            rows = await self.turns.database.run(self.store_call(*batches))
        assert len(rows) == len(batches)
        return {row.turn_id: row for row in rows}

    async def store(self, begun: Begun, parts: str, first_part: int = 0) -> BatchOutcome:
        """Run store_stream_batches for one attempt."""
        return (await self.store_all(Parts(begun, parts, first_part)))[begun.turn_id]

    async def read(
        self,
        *,
        user_id: str | None = None,
        turn_id: UUID | None = None,
        first_part: int = 0,
        conversation_id: UUID | None = None,
        retention_days: int = 0,
    ) -> list[StoredParts]:
        """Run read_stream."""
        conversation_id = conversation_id or self.turns.conversation_id
        _, rows = await self.turns.database.run(
            act_as(user_id, conversation_id),
            READ_STREAM(
                conversation_id=conversation_id,
                user_id=user_id,
                turn_id=turn_id,
                first_part=first_part,
                retention_days=retention_days,
                now=self.turns.now,
            ),
        )
        return rows

    async def mark_followed(self, begun: Begun, user_id: str | None = None) -> None:
        """Run mark_stream_followed for an attempt."""
        await self.turns.database.run(
            act_as(user_id, begun.conversation_id),
            MARK_STREAM_FOLLOWED(
                conversation_id=begun.conversation_id,
                user_id=user_id,
                turn_id=begun.turn_id,
                now=self.turns.now,
            ),
        )

    async def stop(self, user_id: str | None = None) -> list[StoppedTurn]:
        """Run stop_turn."""
        conversation_id = self.turns.conversation_id
        call = STOP_TURN(conversation_id=conversation_id, user_id=user_id)
        _, rows = await self.turns.database.run(act_as(user_id, conversation_id), call)
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
        """Run delete_old_finished_streams; return the conversations of the deleted streams."""
        now = self.turns.now
        call = DELETE_OLD_FINISHED_STREAMS(batch_size=batch_size, since=since, now=now)
        return [row.conversation_id for row in await self.turns.database.run(call)]
