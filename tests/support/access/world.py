"""What is stored while somebody tries to reach it: everything of everybody's is marked."""

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import reduce
from uuid import UUID, uuid4

import bcrypt
import httpx2
import psycopg

from lib.http.cursors import encode_cursor
from lib.streams import parts as ui_stream
from tests.support.access.callers import ANN, BOB, INA, NOBODY, Caller
from tests.support.access.catalog import snapshot_query
from tests.support.model_server import ScriptedModel
from tests.support.product import REQUEST_ID, Parley

OWNERS = (ANN, BOB, INA, NOBODY)
# The word that marks what Ann has deleted.
DELETED = "deletedsecret"
# Of a password that nobody knows; bcrypt, of the fewest rounds.
PASSWORD_HASH = bcrypt.hashpw(uuid4().bytes.hex().encode(), bcrypt.gensalt(4)).decode()
MARKS = (*OWNERS, DELETED, PASSWORD_HASH)
# What each conversation's second question is, so that it can be sent again by whoever likes to.
QUESTION = "What was that again?"
TOLD_APART_BY = {"date", "server-timing"}
# In a tenth of the time that TRUNCATE takes.
EMPTY = "DELETE FROM conversations; DELETE FROM quotas; DELETE FROM tasks; DELETE FROM users"
USERS = """
    INSERT INTO users (id, email, name, hashed_password, is_active)
    SELECT who, who || '@example.com', who, %(password)s, who <> %(ina)s
    FROM unnest(%(users)s::text[]) AS who;
    INSERT INTO tasks (user_id, title, description)
    SELECT who, who, who FROM unnest(%(users)s::text[]) AS who;
    INSERT INTO quotas (subject, user_id, minute_count, minute_ends_at, day_count, day_ends_at)
    SELECT 'user ' || who, who, 1, now() + interval '1 minute', 1, now() + interval '1 day'
    FROM unnest(%(users)s::text[]) AS who;
"""
# Turns of all, one after the other, so that the place of a cursor is within everybody's.
CONVERSATION = """
    INSERT INTO conversations (id, user_id, title, updated_at)
    VALUES (%(id)s, %(user)s, %(mark)s, now() - interval '1 minute' * %(age)s)
"""
TURN = """
    WITH question AS (
        INSERT INTO chat_messages (conversation_id, user_id, message_id, role, content)
        VALUES (%(id)s, %(user)s, 'question-' || %(n)s, 'user', %(question)s)
        RETURNING id
    )
    INSERT INTO chat_messages (
        conversation_id, user_id, message_id, role, content, reply_to, finish_reason, is_mistake
    )
    SELECT
        %(id)s, %(user)s, 'answer-' || %(n)s, 'assistant', %(mark)s || ' answered', id, 'stop', TRUE
    FROM question
"""
# What an answer says in its stream: of one that is stored, and of one whose function was killed.
FINISHED_STREAM = """
    INSERT INTO finished_streams (
        conversation_id, turn_id, user_id, answer_message_id, parts, ended_at
    )
    VALUES (%(id)s, %(turn)s, %(user)s, 'answer-2', %(parts)s || %(end)s, now())
"""
LEFT_TURN = """
    WITH left_turn AS (
        UPDATE conversations
        SET turn_id = %(turn)s, turn_message_id = 'question-2', turn_expires_at = now()
        WHERE id = %(id)s
        RETURNING id, turn_id, user_id
    )
    INSERT INTO stream_batches (conversation_id, turn_id, user_id, first_part, part_count, parts)
    SELECT id, turn_id, user_id, 0, 2, %(parts)s FROM left_turn
"""


@dataclass(frozen=True, slots=True)
class Thing:
    """A conversation that somebody asks for.

    Attributes:
        name: whose it is, or what became of it.
        owner: the word that marks it.
        is_there: it is stored.
        id: its id.
        left_id: id of another one of that owner's, whose answer a killed function has left behind.
    """

    name: str
    owner: str
    is_there: bool
    id: UUID
    left_id: UUID = field(default_factory=uuid4)


THINGS = [
    Thing("user A's", ANN, is_there=True, id=uuid4()),
    Thing("user B's", BOB, is_there=True, id=uuid4()),
    Thing("the inactive user's", INA, is_there=True, id=uuid4()),
    Thing("anonymous", NOBODY, is_there=True, id=uuid4()),
    Thing("missing", "missingsecret", is_there=False, id=uuid4()),
    Thing("deleted", DELETED, is_there=False, id=uuid4()),
]


@dataclass(frozen=True, slots=True)
class Seen:
    """What a caller got to see.

    Attributes:
        status: of the answer.
        whole: the answer but for what differs each time and for the id that was asked for.
        body: its text.
        marks: whose things showed, in the answer or in what the model was told.
        changes: something stored is not as before.
        harmed: whose things were changed or deleted.
    """

    status: int
    whole: tuple[object, ...]
    body: str
    marks: set[str]
    changes: bool
    harmed: set[str]

    @property
    def code(self) -> str | None:
        """The code of the problem, if it is one."""
        return json.loads(self.body)["code"] if self.status >= 400 else None


class World:
    """A product with everybody's data in it."""

    def __init__(self, parley: Parley, database: psycopg.Connection, model: ScriptedModel) -> None:
        """Take a product, and a way to look into its database and at its model."""
        self._parley, self._database, self._model = parley, database, model
        self._look = snapshot_query(database)
        self._cursors: dict[str, str] = {}
        self._before: set[str] = set()

    async def build(self, owner: Caller) -> None:
        """Store everything anew; as Ann, delete what is to be deleted."""
        self._database.execute(EMPTY)
        users = {"users": [ANN, BOB, INA], "ina": INA, "password": PASSWORD_HASH}
        psycopg.ClientCursor(self._database).execute(USERS, users)
        stored = [
            {
                "id": (stored_id := (thing.left_id, uuid4(), thing.id)[age]),
                "user": ANN if mark == DELETED else None if mark == NOBODY else mark,
                "mark": mark,
                "age": age,
                # Anew each time: who follows an answer knows it by that.
                "turn": uuid4(),
                "parts": (
                    ui_stream.start("said", stored_id) + ui_stream.text_delta(0, mark)
                ).decode(),
                "end": ui_stream.DONE.decode(),
            }
            for age in (2, 1, 0)
            for thing in THINGS
            if (mark := thing.owner) in MARKS
        ]
        with self._database.cursor() as cursor:
            cursor.executemany(CONVERSATION, stored)
            cursor.executemany(
                TURN,
                [each | {"n": "1", "question": f"{each['mark']} asks"} for each in stored]
                + [each | {"n": "2", "question": QUESTION} for each in stored],
            )
            cursor.executemany(FINISHED_STREAM, [each for each in stored if each["age"] != 0])
            cursor.executemany(LEFT_TURN, [each for each in stored if each["age"] == 0])
        for each in stored:
            if each["mark"] == DELETED:
                path = f"/api/conversations?id={each['id']}"
                response = await self._parley.client.delete(path, headers=owner.headers())
                assert response.status_code == 204
        self._cursors = self._cursors_of_ann()
        self._before = self.snapshot()

    async def ask(self, caller: Caller, method: str, path: str, body: object, thing: Thing) -> Seen:
        """Send a request about a thing, and look at what it showed and did."""
        ids = {"id": str(thing.id), "left": str(thing.left_id)}
        names = ids | {"owner": thing.owner, **self._cursors}
        self._model.requests.clear()
        response = await self._parley.client.request(
            method,
            _filled(path, names),
            json=json.loads(_filled(json.dumps(body), names)),
            headers=caller.headers(),
        )
        after = self.snapshot()
        shown = f"{response.text} {list(response.headers.items())} {self._model.requests}"
        return Seen(
            response.status_code,
            _masked(response, ids.values()),
            response.text,
            {mark for mark in MARKS if mark in shown},
            changes=after != self._before,
            harmed={mark for mark in OWNERS for row in self._before - after if mark in row},
        )

    def snapshot(self) -> set[str]:
        """Return all that is stored, a row of any table as a text."""
        found = self._database.execute(self._look, prepare=True)
        return {row for (row,) in found.fetchall()}

    def _cursors_of_ann(self) -> dict[str, str]:
        [(row_id,)] = self._database.execute(
            "SELECT max(id) FROM chat_messages WHERE user_id = %s AND conversation_id = %s"
            " AND message_id = 'question-2'",
            [ANN, THINGS[0].id],
        ).fetchall()
        [(updated_at, newest)] = self._database.execute(
            "SELECT updated_at, id FROM conversations WHERE user_id = %s"
            " ORDER BY updated_at DESC LIMIT 1",
            [ANN],
        ).fetchall()
        [(task_id,)] = self._database.execute(
            "SELECT id FROM tasks WHERE user_id = %s", [ANN]
        ).fetchall()
        return {
            "place_in_anns_history": encode_cursor(row_id),
            "place_in_anns_list": encode_cursor(updated_at, newest),
            "anns_task": str(task_id),
        }


def _filled(text: str, names: dict[str, str]) -> str:
    for name, value in names.items():
        text = text.replace(f"{{{name}}}", value)
    return text


def _masked(response: httpx2.Response, ids: Iterable[str]) -> tuple[object, ...]:
    def mask(text: str) -> str:
        return reduce(lambda masked, each: masked.replace(each, "ID"), ids, text)

    headers = [
        (name, mask(value))
        for name, value in response.headers.multi_items()
        if name not in TOLD_APART_BY
    ]
    return response.status_code, sorted(headers), mask(re.sub(REQUEST_ID, "", response.text))
