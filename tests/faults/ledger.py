"""The ledger of messages and answers that clients got, and the audit of the database against it."""

from collections import Counter
from dataclasses import dataclass, field

import psycopg


@dataclass(slots=True)
class SentMessage:
    """One message of a client, and the answers that the client got to it.

    Attributes:
        message_id: the client's id of the message.
        text: the message's text.
        is_acknowledged: an answer began or was replayed, so the message must be stored.
        answers: (id, text) of each answer that was reported as finished: all must be the same.
    """

    message_id: str
    text: str
    is_acknowledged: bool = False
    answers: set[tuple[str, str]] = field(default_factory=set[tuple[str, str]])


@dataclass(slots=True)
class Thread:
    """One conversation of a client, with its messages in their order."""

    owner: str | None
    chat_id: str
    conversation_id: str = ""
    messages: list[SentMessage] = field(default_factory=list[SentMessage])


def audit(url: str, threads: list[Thread], injected: Counter[str]) -> list[str]:
    """Compare the database with the ledgers of the clients.

    Args:
        url: the database, directly.
        threads: all conversations.
        injected: how often each fault was injected, for the report.

    Returns:
        A line for each error.
    """
    errors: list[str] = []
    with psycopg.connect(url, autocommit=True) as database:
        for thread in threads:
            errors += _audit_thread(database, thread)
        locked = database.execute(
            "SELECT count(*) FROM conversations WHERE turn_expires_at > now()"
        ).fetchone()
        if locked != (0,):
            errors.append(f"conversations are locked beyond their lease: {locked}")
        count = database.execute("SELECT count(*) FROM conversations").fetchone()
        if count != (len(threads),):
            errors.append(f"{count} conversations are stored, {len(threads)} were begun")
    injected["turns audited"] = sum(len(thread.messages) for thread in threads)
    return errors


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
    errors = [f"{name}: stored under {row[6:]}" for row in rows if row[6:] != (thread.owner,) * 2]
    questions = [row for row in rows if row[2] == "user"]
    if [row[1] for row in questions] != [message.message_id for message in thread.messages]:
        errors.append(f"{name}: said {thread.messages}, stored {questions}")
    answers = [row for row in rows if row[2] == "assistant"]
    for question, message in zip(questions, thread.messages, strict=False):
        stored = [row for row in answers if row[4] == question[0]]
        if question[3] != message.text:
            errors.append(f"{name}: said {message.text!r}, stored {question[3]!r}")
        if len(message.answers) > 1:
            errors.append(f"{name}: {message.text!r} was told several answers: {message.answers}")
        if message.answers and [(row[1], row[3]) for row in stored] != [*message.answers]:
            errors.append(
                f"{name}: {message.text!r} was told {message.answers}, stored is {stored}"
            )
        if len(stored) > 1:
            errors.append(f"{name}: {message.text!r} has several answers: {stored}")
        if any(row[5] == "stop" and not row[3].startswith(f"[{message.text}]") for row in stored):
            errors.append(f"{name}: {message.text!r} has the answer to something else: {stored}")
    order = [row[0] if row[2] == "user" else row[4] for row in rows]
    if order != sorted(order):
        errors.append(f"{name}: out of order: {rows}")
    return errors
