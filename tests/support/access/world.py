"""A database with data of every owner, each row marked with its owner's word."""

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
from tests.support.access.callers import ANN, BOB, INA, KEY, KEYED, NOBODY, Caller
from tests.support.access.catalog import snapshot_query
from tests.support.model_server import ScriptedModel
from tests.support.product import REQUEST_ID, Parley

OWNERS = (ANN, BOB, INA, NOBODY, KEYED)
# The word that marks the things that Ann has deleted.
DELETED = "deletedsecret"
# The bcrypt hash of a random password, with the fewest rounds.
PASSWORD_HASH = bcrypt.hashpw(uuid4().bytes.hex().encode(), bcrypt.gensalt(4)).decode()
MARKS = (*OWNERS, DELETED, PASSWORD_HASH)
# The second question of each conversation: any caller knows it, and can send it again.
QUESTION = "What was that again?"
DIFFERENT_EACH_TIME = {"date", "server-timing"}
# Takes a tenth of the time of TRUNCATE.
EMPTY = """
    DELETE FROM conversations; DELETE FROM quotas; DELETE FROM account_attempts; DELETE FROM tasks;
    DELETE FROM users; DELETE FROM deleted_users
"""
USERS = """
    INSERT INTO users (id, email, name, hashed_password, is_active)
    SELECT who, who || '@example.com', who, %(password)s, who <> %(ina)s
    FROM unnest(%(users)s::text[]) AS who;
    INSERT INTO tasks (user_id, title, description)
    SELECT who, who, who FROM unnest(%(users)s::text[]) AS who;
    INSERT INTO quotas (subject, minute_count, minute_ends_at, day_count, day_ends_at)
    SELECT 'user ' || who, 1, now() + interval '1 minute', 1, now() + interval '1 day'
    FROM unnest(%(users)s::text[]) AS who;
"""
# The owners' turns alternate, so that a cursor of one points between the turns of the others.
CONVERSATION = """
    INSERT INTO conversations (id, user_id, key_hash, title, updated_at)
    VALUES (
        %(id)s, %(user)s, sha256(%(key)s::text::bytea), %(mark)s,
        now() - interval '1 minute' * %(age)s
    )
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
# The stream of an answer that is stored, and of one whose function was killed.
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
    """A conversation that a caller asks for.

    Attributes:
        name: its owner, or its state, for messages of the test.
        owner: the word that marks it.
        is_there: it is stored.
        id: its id.
        left_id: id of another conversation of the owner, with a killed function's answer.
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
    Thing("anonymous with a key", KEYED, is_there=True, id=uuid4()),
    Thing("missing", "missingsecret", is_there=False, id=uuid4()),
    Thing("deleted", DELETED, is_there=False, id=uuid4()),
]


@dataclass(frozen=True, slots=True)
class Seen:
    """The effects of a request.

    Attributes:
        status: HTTP status of the response.
        masked: the response without the headers that differ each time and the ids in the request.
        body: text of the response.
        marks: owners whose things showed, in the response or in a request to the model.
        changes: some stored row is not as before.
        harmed: owners whose rows were changed or deleted.
    """

    status: int
    masked: tuple[object, ...]
    body: str
    marks: set[str]
    changes: bool
    harmed: set[str]

    @property
    def code(self) -> str | None:
        """The code of the problem; None: the response is none."""
        return json.loads(self.body)["code"] if self.status >= 400 else None


class World:
    """A product with data of every owner."""

    def __init__(self, parley: Parley, database: psycopg.Connection, model: ScriptedModel) -> None:
        """Take a product, its database and its model."""
        self._parley, self._database, self._model = parley, database, model
        self._look = snapshot_query(database)
        self._cursors: dict[str, str] = {}
        self._before: set[str] = set()

    async def build(self, owner: Caller) -> None:
        """Store everything again; as Ann, delete the things that count as deleted."""
        self._database.execute(EMPTY)
        users = {"users": [ANN, BOB, INA], "ina": INA, "password": PASSWORD_HASH}
        psycopg.ClientCursor(self._database).execute(USERS, users)
        stored = [
            {
                "id": (stored_id := (thing.left_id, uuid4(), thing.id)[age]),
                "user": ANN if mark == DELETED else None if mark in {NOBODY, KEYED} else mark,
                "key": KEY if mark == KEYED else None,
                "mark": mark,
                "age": age,
                # New each time, because followers of an answer are kept by it.
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
                [row | {"n": "1", "question": f"{row['mark']} asks"} for row in stored]
                + [row | {"n": "2", "question": QUESTION} for row in stored],
            )
            cursor.executemany(FINISHED_STREAM, [row for row in stored if row["age"] != 0])
            cursor.executemany(LEFT_TURN, [row for row in stored if row["age"] == 0])
        for row in stored:
            if row["mark"] == DELETED:
                path = f"/api/conversations?id={row['id']}"
                response = await self._parley.client.delete(path, headers=owner.headers())
                assert response.status_code == 204
        self._cursors = self._cursors_of_ann()
        self._before = self.snapshot()

    async def ask(self, caller: Caller, method: str, path: str, body: object, thing: Thing) -> Seen:
        """Send a request about a thing, and return its effects."""
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
        """Return all stored rows of all tables, each as a text, but for the counts of guesses."""
        rows = self._database.execute(self._look, prepare=True)
        return {row for (row,) in rows.fetchall() if not row.startswith('quotas ("guesses ')}

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
        return reduce(lambda masked, id_: masked.replace(id_, "ID"), ids, text)

    headers = [
        (name, mask(value))
        for name, value in response.headers.multi_items()
        if name not in DIFFERENT_EACH_TIME
    ]
    return response.status_code, sorted(headers), mask(re.sub(REQUEST_ID, "", response.text))
