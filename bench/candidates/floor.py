"""The floor: the statements of Parley's own steps, sent by bare psycopg.

What the steps are is not written down here a second time, but heard from Parley: it takes one turn
and reads one history, and whatever it sends, the floor sends from then on, in a pipeline as Parley
does, with other ids. There is no pool, but a connection for each that works at once; nothing is
checked, nothing is shielded, no row becomes an object, and nothing is counted.
"""

from typing import Any, override
from uuid import uuid4

import psycopg

from bench.candidates import parley
from bench.workload import Place, conversation_id
from lib.database import client
from lib.database.acting import TIMEOUT_MS
from lib.database.client import Calls, Database, Opening
from lib.identity.callers import Caller
from lib.settings import settings
from lib.turns.quota import subjects_of

type Step = list[tuple[bytes, dict[str, Any]]]
type Rows = list[list[tuple[Any, ...]]]
type Connection = psycopg.AsyncConnection[tuple[Any, ...]]

CONVERSATION = 0


def open_candidate(place: Place) -> "Floor":
    """Make the candidate; nothing is opened."""
    return Floor(place, parley.open_candidate(place))


class OverheardDatabase(Database):
    """Parley's database, with what was sent to it."""

    def __init__(self) -> None:
        """Open it as the functions do."""
        super().__init__(settings())
        self.steps: list[Step] = []

    @override
    async def _step(self, opening: Opening, calls: Calls, caller: Caller | None) -> client.Rows:
        sent = (opening(TIMEOUT_MS), *calls)
        self.steps.append([(call.statement.sql.encode(), call.bound()) for call in sent])
        return await super()._step(opening, calls, caller)


class Floor:
    """The candidate."""

    def __init__(self, place: Place, overheard: parley.Parley) -> None:
        """Take where to send statements, and whom to hear them from."""
        self._place = place
        self._parley = overheard
        self._idle: list[Connection] = []
        self._steps: list[Step] = []

    async def prepare(self) -> None:
        """Do what Parley does."""
        await self._parley.prepare()

    async def turn(self, conversation: int) -> int:
        """Send both steps of a turn."""
        begin, finish, _ = self._steps or await self._overhear(conversation)
        own = self._whose(conversation) | {
            "turn_id": uuid4(),
            "message_id": str(uuid4()),
            "answer_message_id": str(uuid4()),
        }
        connection = await self._connection()
        rows = await send(connection, begin, own)
        messages = max(rows, key=len)
        await send(connection, finish, own | {"question_id": messages[-1][0]})
        self._idle.append(connection)
        return len(messages)

    async def history(self, conversation: int) -> int:
        """Send the step of a history."""
        *_, history = self._steps or await self._overhear(conversation)
        connection = await self._connection()
        rows = await send(connection, history, self._whose(conversation))
        self._idle.append(connection)
        return len(max(rows, key=len))

    async def close(self) -> None:
        """Close all connections."""
        for connection in self._idle:
            await connection.close()

    async def _connection(self) -> Connection:
        if self._idle:
            return self._idle.pop()
        return await psycopg.AsyncConnection.connect(
            self._place.url, autocommit=True, prepare_threshold=None
        )

    @staticmethod
    def _whose(conversation: int) -> dict[str, Any]:
        caller = parley.caller_of(conversation)
        return {
            "conversation_id": conversation_id(conversation),
            "user_id": caller.user_id,
            "quota_subjects": [subject.name for subject in subjects_of(caller)],
        }

    async def _overhear(self, conversation: int) -> list[Step]:
        database = OverheardDatabase()
        speaker = parley.Parley(database)
        await speaker.turn(conversation)
        await speaker.history(conversation)
        await speaker.close()
        self._steps = database.steps
        return self._steps


async def send(connection: Connection, step: Step, own: dict[str, Any]) -> Rows:
    """Send a step with ids of its own, and return the rows of each statement.

    What Parley left out, such as an answer to replace, is left out here too.
    """
    async with connection.pipeline():
        cursors = [
            await connection.execute(
                sql,
                {
                    name: heard if heard is None else own.get(name, heard)
                    for name, heard in parameters.items()
                },
            )
            for sql, parameters in step
        ]
    has_rows = (cursor.pgresult is not None and cursor.pgresult.nfields for cursor in cursors)
    return [
        await cursor.fetchall() if has else []
        for cursor, has in zip(cursors, has_rows, strict=True)
    ]
