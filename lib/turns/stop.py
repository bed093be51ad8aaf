"""Stopping a turn: asked for in the database, whichever process makes the answer."""

from dataclasses import dataclass
from uuid import UUID

from lib.database.statements import Statement


@dataclass(frozen=True, slots=True)
class StoppedTurn:
    """The row of stop_turn."""

    turn_id: UUID
    is_running: bool


STOP_TURN = Statement("turns/stop_turn", StoppedTurn)
