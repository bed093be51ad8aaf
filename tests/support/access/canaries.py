"""Canaries: a word of its own in each field that a client or a model can fill, to look for later.

The columns come from the catalog. A column that no request of `Canaries.talk` fills gets its word
by SQL, so that a column added later is looked after too.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import httpx2
import psycopg
from psycopg.sql import SQL, Identifier
from pydantic import BaseModel

from lib.streams import parts as ui_stream
from lib.tools import ToolContext
from tests.support.access.catalog import columns_of, tables
from tests.support.analyses import analysis_reply, until_answers_done
from tests.support.images import data_url
from tests.support.model_server import Called, Reply, ScriptedModel, calling
from tests.support.product import Parley, headers_of, sdk_body

# The beginnings of the words, by the age of their messages.
OLD, YOUNG = "ancient", "recent"
TYPES_OF_TEXTS = {"text", "character varying", "character"}
# JSON has a structure, which requests fill.
TYPES_OF_WORDS = TYPES_OF_TEXTS | {"json", "jsonb"}
TYPES_OF_TIMES = {"timestamp with time zone", "date"}
# Columns without words, or with words that no retention period takes away; each with the reason.
WITHOUT_WORDS = {
    "account_attempts.subject": "a keyed hash",
    "chat_files.media_type": "a closed set",
    "chat_files.user_id": "the owner's id",
    "chat_messages.behavior": "a closed set",
    "chat_messages.finish_reason": "a closed set",
    "chat_messages.refusal": "a closed set",
    "chat_messages.role": "a closed set",
    "chat_messages.tone": "a closed set",
    "chat_messages.user_id": "the owner's id",
    "conversations.instructions": "they live with the conversation, until their user removes them",
    "conversations.model": "a name of MODELS",
    "conversations.status": "a closed set",
    "conversations.user_id": "the owner's id",
    "finished_streams.answer_message_id": "made by the server",
    "finished_streams.user_id": "the owner's id",
    "known_networks.subject": "a keyed hash",
    "known_networks.user_id": "the owner's id",
    "message_files.user_id": "the owner's id",
    "metric_counters.function": "a name in the code",
    "metric_counters.label": "a name in the code",
    "metric_counters.metric": "a name in the code",
    "quotas.subject": "a keyed hash",
    "schema_migrations.name": "a name in the code",
    "stream_batches.user_id": "the owner's id",
    "tasks.description": "a task lives until its user deletes it",
    "tasks.title": "a task lives until its user deletes it",
    "tasks.user_id": "the owner's id",
    "tool_runs.user_id": "the owner's id",
    "user_settings.instructions": "settings live until their user deletes the account",
    "user_settings.user_id": "the owner's id",
    "users.email": "an account lives until its user deletes it",
    "users.hashed_password": "an account lives until its user deletes it",
    "users.id": "an account lives until its user deletes it",
    "users.name": "an account lives until its user deletes it",
}
# The rows of a table that get the words, where not all may have them.
ROWS_OF = {"chat_messages": SQL("role = 'assistant'")}
LEFT_TURN = """
    UPDATE conversations
    SET turn_id = %(turn)s, turn_message_id = %(question)s, turn_expires_at = now()
    WHERE id = %(id)s;
    INSERT INTO stream_batches (conversation_id, turn_id, user_id, first_part, part_count, parts)
    SELECT id, turn_id, user_id, 0, 2, %(parts)s FROM conversations WHERE id = %(id)s
"""


class Query(BaseModel):
    """The arguments of `look_up`."""

    words: str


async def look_up(query: Query, context: ToolContext) -> object:
    """Look something up."""
    await context.begin()
    return {"found": query.words.replace("argument", "result")}


@dataclass(slots=True)
class Canaries:
    """The conversations of one caller, and the words in them.

    Attributes:
        user: the user; None: a guest, without tools and files.
        used: a conversation that is used again and again.
        named: another one, which its user has named.
        renamed: another one, which its user names later.
        left: another one, with an attempt that died.
        failed: another one, whose question has no answer, but a tool run.
        unused: a conversation that is never used again.
    """

    parley: Parley
    model: ScriptedModel
    database: psycopg.Connection
    user: str | None
    used: str = field(default_factory=lambda: str(uuid4()))
    named: str = field(default_factory=lambda: str(uuid4()))
    renamed: str = field(default_factory=lambda: str(uuid4()))
    left: str = field(default_factory=lambda: str(uuid4()))
    failed: str = field(default_factory=lambda: str(uuid4()))
    unused: str = field(default_factory=lambda: str(uuid4()))

    @property
    def conversations(self) -> list[str]:
        """The ids of all conversations; the one that was left behind last, as reading ends it."""
        return [self.used, self.named, self.renamed, self.failed, self.unused, self.left]

    async def talk(self) -> None:
        """Fill every field with an old word."""
        for number, chat_id in enumerate(self.conversations):
            await self._exchange(OLD, chat_id, f"{number}")
        await self.rename(self.named, f"{OLD}name")
        await self._fail()
        self._leave_behind()
        plant(self.database)

    async def talk_again(self) -> None:
        """Send a message with young words in each conversation but the unused ones."""
        for number, chat_id in enumerate((self.used, self.named, self.renamed)):
            await self._exchange(YOUNG, chat_id, f"again{number}")
        await self.rename(self.renamed, f"{YOUNG}name")

    async def rename(self, chat_id: str, title: str) -> None:
        """Rename a conversation."""
        await self._patch("/api/conversations", {"title": title}, id=chat_id)

    async def read(self) -> dict[str, str]:
        """Send each request that shows stored data; return the answers by their request.

        The streams come last: the reader of an answer that was left behind has it stored.
        """
        paths = [f"/api/history?conversation_id={each}" for each in self.conversations]
        paths += [f"{path}&include=all" for path in paths]
        paths += [f"/api/conversations?id={each}" for each in self.conversations]
        if self.user is not None:
            paths += [
                "/api/conversations?status=all",
                *(f"/api/conversations?status=all&q={word}" for word in self._searched()),
                "/api/messages?is_mistake=true",
                "/api/messages?is_mistake=true&format=jsonl",
                "/api/messages?usage=true&from=2000-01-01",
                "/api/conversations?export=true",
                "/api/tasks",
            ]
        paths += [f"/api/chat/{each}/stream" for each in self.conversations]
        return {f"GET {path}": (await self._request("GET", path)).text for path in paths}

    async def change(self) -> dict[str, str]:
        """Send requests that change something; return their answers, and the model's requests."""
        answers: dict[str, str] = {}
        for each in self.conversations:
            path = f"/api/conversations?id={each}"
            archived = await self._request("PATCH", path, {"status": "active"})
            answers[f"PATCH {path}"] = archived.text
            said = {"message": "Where were we?", "conversation_id": each}
            answered = await self._request("POST", "/api/chat", said)
            assert answered.status_code == 200, answered.text
            answers[f"POST {each}"] = answered.text
        await until_answers_done()
        prompts = self.model.requests, self.model.title_requests, self.model.analysis_requests
        return answers | {"prompts": str(prompts)}

    def _searched(self) -> Iterable[str]:
        """Return words to search for: in titles, in questions, and in answers."""
        return f"{OLD}name", f"{OLD}title", f"{OLD}question", f"{OLD}answer", OLD

    async def _exchange(self, age: str, chat_id: str, number: str) -> None:
        """Send a question, edit it, have it answered, and mark the answer as a mistake."""
        self.model.title_reply = Reply(pieces=(f"{age}title {number}",))
        context = {"context_type": f"{age}context"}
        self.model.analysis_reply = analysis_reply(context)
        answer = self.model.default = Reply(pieces=(f"{age}answer", " of the model"))
        if self.user is not None:
            call = Called(
                "look_up", {"words": f"{age}argument"}, f"call_{age}call{number}_" + "s" * 150
            )
            self.model.replies = [answer, calling(call), answer]
        for draft in ("draft", "question"):
            text = f"{age}{draft} of {number}"
            body = sdk_body(text, chat_id=chat_id, message_id=f"{age}id{number}")
            message = body["messages"][0]
            message["metadata"] = {f"{age}key": f"{age}value"}
            message["parts"].insert(0, {"type": "data-page", "data": {"text": f"{age}data"}})
            if self.user is not None:
                url = f"https://example.com/{age}path.png"
                image = {"type": "file", "mediaType": "image/png", "url": url}
                message["parts"].append(image | {"filename": f"{age}file.png"})
                notes = data_url("text/plain", f"{age}words of {number}".encode())
                text_file = {"type": "file", "mediaType": "text/plain", "url": notes}
                message["parts"].append(text_file | {"filename": f"{age}notes.txt"})
            answered = await self._request("POST", "/api/chat", body)
            assert f"{age}answer" in answered.text, answered.text
            await until_answers_done()
        history = await self.parley.history(chat_id, user=self.user)
        mark = {"is_mistake": True, "mistake_note": f"{age}note"}
        answer_id = history["messages"][-1]["id"]
        await self._patch("/api/messages", mark, id=answer_id, conversation_id=chat_id)

    async def _fail(self) -> None:
        """Ask a question whose answer fails after a tool has run."""
        if self.user is not None:
            call = Called("look_up", {"words": f"{OLD}argument"}, f"call_{OLD}call")
            self.model.replies = [calling(call), Reply(status=500)]
            body = sdk_body(f"{OLD}question", chat_id=self.failed, message_id=f"{OLD}failedid")
            await self._request("POST", "/api/chat", body)

    def _leave_behind(self) -> None:
        """Make the last answer one whose function was killed while it was made."""
        [(conversation_id, question, answer_id)] = self.database.execute(
            """
            SELECT question.conversation_id, question.message_id, answer.id
            FROM chat_messages AS answer
            INNER JOIN chat_messages AS question ON answer.reply_to = question.id
            WHERE answer.conversation_id = %s AND answer.superseded_at IS NULL
            """,
            [self.left],
        ).fetchall()
        self.database.execute("DELETE FROM chat_messages WHERE id = %s", [answer_id])
        parts = ui_stream.start("said", self.left) + ui_stream.text_delta(0, f"{OLD}part")
        values = {"id": conversation_id, "question": question, "parts": parts.decode()}
        psycopg.ClientCursor(self.database).execute(LEFT_TURN, values | {"turn": uuid4()})

    async def _patch(self, path: str, body: object, **query: str) -> None:
        response = await self.parley.client.patch(
            path, params=query, json=body, headers=headers_of(self.user)
        )
        assert response.status_code == 200, response.text

    async def _request(self, method: str, path: str, body: object = None) -> httpx2.Response:
        return await self.parley.client.request(
            method, path, json=body, headers=headers_of(self.user)
        )


def columns_of_types(database: psycopg.Connection, types: set[str]) -> dict[str, list[str]]:
    """Return the columns of these types by their table."""
    return {
        table: [column.name for column in columns_of(database, table) if column.type in types]
        for table in tables(database)
    }


def plant(database: psycopg.Connection) -> None:
    """Put an old word into each column with words that has none so far."""
    for table, columns in columns_of_types(database, TYPES_OF_TEXTS).items():
        for column in columns:
            name = f"{table}.{column}"
            if name in WITHOUT_WORDS or _has_word(database, table, column):
                continue
            word = f"{OLD}{column.replace('_', '')}"
            rows = ROWS_OF.get(table, SQL("TRUE"))
            # With the row's place, because a column may be a key.
            planted = SQL(
                "UPDATE {table} SET {column} = %s || translate(ctid::text, '(,)', 'xyz') "
                "WHERE {rows}"
            ).format(table=Identifier(table), column=Identifier(column), rows=rows)
            database.execute(planted, [word])


def without_canary(database: psycopg.Connection) -> set[str]:
    """Return the columns that could hold words, and hold no old one."""
    return {
        f"{table}.{column}"
        for table, columns in columns_of_types(database, TYPES_OF_WORDS).items()
        for column in columns
        if not _has_word(database, table, column)
    }


def _has_word(database: psycopg.Connection, table: str, column: str) -> bool:
    look = SQL("SELECT count(*) > 0 FROM {table} WHERE strpos({column}::text, %s) > 0").format(
        table=Identifier(table), column=Identifier(column)
    )
    return database.execute(look, [OLD]).fetchone() == (True,)


def let_days_pass(database: psycopg.Connection, days: int) -> None:
    """Move every stored time into the past."""
    for table, columns in columns_of_types(database, TYPES_OF_TIMES).items():
        for column in columns:
            moved = SQL("UPDATE {table} SET {column} = {column} - make_interval(days => %s)")
            names = {"table": Identifier(table), "column": Identifier(column)}
            database.execute(moved.format(**names), [days])


def old_words(text: str) -> set[str]:
    """Return the old words in a text."""
    return set(re.findall(rf"{OLD}\w*", text))


def leaks(shown: dict[str, str], allowed: Iterable[str] = ()) -> dict[str, list[str]]:
    """Return the old words that are shown, by the question."""
    found = {name: sorted(old_words(text) - {*allowed}) for name, text in shown.items()}
    return {name: words for name, words in found.items() if words}


def stored_rows(database: psycopg.Connection) -> dict[str, str]:
    """Return all rows of each table as a text."""
    rows: dict[str, Any] = {}
    for table in tables(database):
        name = Identifier(table)
        every = SQL("SELECT row_to_json({table})::text FROM {table}").format(table=name)
        rows[table] = "\n".join(row for (row,) in database.execute(every).fetchall())
    return rows
