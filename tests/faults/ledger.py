"""What the clients were told, and the audit: does the database hold exactly that?"""

from collections import Counter
from dataclasses import dataclass, field

import psycopg


@dataclass(slots=True)
class Said:
    """One message of a client, and what it was told about it.

    Attributes:
        message_id: the client's own.
        text: what was said.
        is_acknowledged: some answer began or was replayed, so the message must be stored.
        answers: (id, text) of each answer that was reported finished: all the same.
    """

    message_id: str
    text: str
    is_acknowledged: bool = False
    answers: set[tuple[str, str]] = field(default_factory=set[tuple[str, str]])


@dataclass(slots=True)
class Thread:
    """One conversation of a client; in `said`, in the order in which it was said."""

    owner: str | None
    chat_id: str
    conversation_id: str = ""
    said: list[Said] = field(default_factory=list[Said])


def audit(url: str, threads: list[Thread], injected: Counter[str]) -> list[str]:
    """Compare the database with what the clients were told.

    Args:
        url: the database, directly.
        threads: all conversations.
        injected: how often each fault was injected, for the report.

    Returns:
        What is wrong, a line each; empty: nothing is.
    """
    wrong: list[str] = []
    with psycopg.connect(url, autocommit=True) as database:
        for thread in threads:
            wrong += _audit_thread(database, thread)
        locked = database.execute(
            "SELECT count(*) FROM conversations WHERE turn_expires_at > now()"
        ).fetchone()
        if locked != (0,):
            wrong.append(f"conversations are locked beyond their lease: {locked}")
        count = database.execute("SELECT count(*) FROM conversations").fetchone()
        if count != (len(threads),):
            wrong.append(f"{count} conversations are stored, {len(threads)} were begun")
    injected["turns audited"] = sum(len(thread.said) for thread in threads)
    return wrong


def _audit_thread(database: psycopg.Connection, thread: Thread) -> list[str]:
    name = f"conversation {thread.chat_id} of {thread.owner}"
    rows = database.execute(
        """
        SELECT
            chat_messages.id, chat_messages.message_id, chat_messages.role,
            chat_messages.content, chat_messages.reply_to, chat_messages.finish_reason,
            chat_messages.user_id, conversations.user_id
        FROM conversations
        LEFT JOIN chat_messages ON chat_messages.conversation_id = conversations.id
        WHERE conversations.id = %s AND chat_messages.superseded_at IS NULL
        ORDER BY chat_messages.id
        """,
        [thread.conversation_id],
    ).fetchall()
    wrong = [f"{name}: stored under {row[6:]}" for row in rows if row[6:] != (thread.owner,) * 2]
    questions = [row for row in rows if row[2] == "user"]
    if [row[1] for row in questions] != [said.message_id for said in thread.said]:
        wrong.append(f"{name}: said {thread.said}, stored {questions}")
    answers = [row for row in rows if row[2] == "assistant"]
    for question, said in zip(questions, thread.said, strict=False):
        found = [row for row in answers if row[4] == question[0]]
        if question[3] != said.text:
            wrong.append(f"{name}: said {said.text!r}, stored {question[3]!r}")
        if len(said.answers) > 1:
            wrong.append(f"{name}: {said.text!r} was told several answers: {said.answers}")
        if said.answers and [(row[1], row[3]) for row in found] != [*said.answers]:
            wrong.append(f"{name}: {said.text!r} was told {said.answers}, stored is {found}")
        if len(found) > 1:
            wrong.append(f"{name}: {said.text!r} has several answers: {found}")
        if any(row[5] == "stop" and not row[3].startswith(f"[{said.text}]") for row in found):
            wrong.append(f"{name}: {said.text!r} has the answer to something else: {found}")
    order = [row[0] if row[2] == "user" else row[4] for row in rows]
    if order != sorted(order):
        wrong.append(f"{name}: out of order: {rows}")
    return wrong
