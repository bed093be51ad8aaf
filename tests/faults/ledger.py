"""The ledger of messages and answers that clients got, and the audit of the database against it."""

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Any

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


@dataclass(slots=True)
class Script:
    """The words and the calls of the model.

    Attributes:
        texts: by question, each whole text that the model was to say.
        tasks: the questions to which it was to call `add_task`, with the question as the title.
    """

    texts: defaultdict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    tasks: set[str] = field(default_factory=set[str])


ANSWERS_WITHOUT_THEIR_FILE = """
    SELECT count(*)
    FROM chat_messages
    WHERE
        steps::text LIKE '%/api/files?id=%'
        AND NOT EXISTS (
            SELECT
            FROM message_files
            INNER JOIN chat_files ON message_files.file_id = chat_files.id
            WHERE
                message_files.chat_message_id = chat_messages.id
                AND length(chat_files.bytes) = chat_files.size
        )
"""


def audit(
    url: str, threads: list[Thread], injected: Counter[str], script: Script | None = None
) -> list[str]:
    """Compare the database with the ledgers of the clients, and with the model's words.

    Args:
        url: the database, directly.
        threads: all conversations.
        injected: how often each fault was injected, for the report.
        script: None: any words will do that begin with the question.

    Returns:
        A line for each error.
    """
    errors: list[str] = []
    with psycopg.connect(url, autocommit=True) as database:
        for thread in threads:
            errors += _audit_thread(database, thread, script)
        locked = database.execute(
            "SELECT count(*) FROM conversations WHERE turn_expires_at > now()"
        ).fetchone()
        if locked != (0,):
            errors.append(f"conversations are locked beyond their lease: {locked}")
        count = database.execute("SELECT count(*) FROM conversations").fetchone()
        if count != (len(threads),):
            errors.append(f"{count} conversations are stored, {len(threads)} were begun")
        lost = database.execute(ANSWERS_WITHOUT_THEIR_FILE).fetchone()
        if lost != (0,):
            errors.append(f"{lost} answers show a file that is not stored with them")
        drawn = database.execute("SELECT count(*) FROM message_files").fetchone()
        injected["pictures stored"] = drawn[0] if drawn else 0
    injected["turns audited"] = sum(len(thread.messages) for thread in threads)
    return errors


def _audit_thread(database: psycopg.Connection, thread: Thread, script: Script | None) -> list[str]:
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
        whole = [row for row in stored if row[5] == "stop"]
        if any(not row[3].lstrip().startswith(f"[{message.text}]") for row in whole):
            errors.append(f"{name}: {message.text!r} has the answer to something else: {stored}")
        if script is not None:
            errors += _audit_script(database, thread, message.text, whole, script)
    order = [row[0] if row[2] == "user" else row[4] for row in rows]
    if order != sorted(order):
        errors.append(f"{name}: out of order: {rows}")
    return errors


def _audit_script(
    database: psycopg.Connection,
    thread: Thread,
    question: str,
    whole: list[tuple[Any, ...]],
    script: Script,
) -> list[str]:
    """Check that whole answers have the model's words, and that each call had its effect once.

    Args:
        database: a connection.
        thread: the question's conversation.
        question: the text of the question.
        whole: the rows of its answers that ended well.
        script: the model's words and calls.
    """
    name = f"conversation {thread.chat_id}: {question!r}"
    errors: list[str] = []
    if any(row[3].strip() not in script.texts[question] for row in whole):
        errors.append(f"{name} has words that the model did not say: {whole}")
    rows = database.execute("SELECT user_id FROM tasks WHERE title = %s", [question]).fetchall()
    owners = [row[0] for row in rows]
    expected = [thread.owner] if question in script.tasks else []
    # An answer that was never completed may have run its tool, or not.
    if owners != expected and (whole or owners):
        errors.append(f"{name} has added tasks of {owners}, not of {expected}")
    return errors
