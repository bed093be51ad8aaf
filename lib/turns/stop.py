"""Stopping a turn: a request in the database, because any process may be making the answer."""

from dataclasses import dataclass
from uuid import UUID

from lib.database.client import Database
from lib.database.statements import Statement
from lib.identity.callers import Caller


@dataclass(frozen=True, slots=True)
class StoppedTurn:
    """The row of stop_turn.

    Attributes:
        turn_id: token of the attempt that holds the turn.
    """

    turn_id: UUID


STOP_TURN = Statement("turns/stop_turn", StoppedTurn)


async def stop_turn(
    database: Database, caller: Caller, conversation_id: UUID
) -> StoppedTurn | None:
    """Ask the attempt that holds a conversation's turn to stop.

    One round trip. The attempt reads it when it next stores parts, within a second.

    Returns:
        The turn that was asked to stop; None: no attempt holds the turn, or the conversation is
        not the caller's.

    Raises:
        Problem: see `Database.run_as`.
    """
    rows = await database.run_as(
        caller,
        caller.reachable(conversation_id),
        STOP_TURN(conversation_id=conversation_id, user_id=caller.user_id),
    )
    return rows[0] if rows else None
