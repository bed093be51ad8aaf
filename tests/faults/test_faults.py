"""A short run of the fault program; the long one: `python -m tests.faults --turns 300`."""

from collections import Counter
from pathlib import Path

import psycopg
import pytest

from tests.faults.ledger import Script, SentMessage, Thread, audit
from tests.faults.run import run
from tests.support.model_server import Reply, ScriptedModel
from tests.support.product import CHAT_ID, Parley


async def test_after_random_faults_the_database_holds_the_messages_and_answers_that_clients_got(
    tmp_path: Path,
) -> None:
    result = await run(turns=20, seed=4, folder=tmp_path)

    assert result.errors == []
    assert result.injected["turns audited"] == 20
    assert len(result.injected) > 5


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE chat_messages SET content = 'x' WHERE role = 'user'",
        "UPDATE chat_messages SET content = 'x' WHERE role = 'assistant'",
        "UPDATE chat_messages SET user_id = NULL",
        "DELETE FROM chat_messages WHERE role = 'user'",
        "DELETE FROM chat_messages WHERE role = 'assistant'",
        "UPDATE conversations SET turn_expires_at = now() + interval '1 min'",
        "INSERT INTO conversations DEFAULT VALUES",
        "INSERT INTO chat_messages (conversation_id, role, content) "  # noqa: ISC004
        "SELECT id, 'user', 'again' FROM conversations",
    ],
)
async def test_the_audit_of_the_fault_program_finds_each_damage(
    parley: Parley, database_url: str, database: psycopg.Connection, damage: str
) -> None:
    response = await parley.send("turn 1", user="ann")
    answer = (await parley.history(user="ann"))["messages"][1]
    sent = SentMessage("message-1", "turn 1", answers={(answer["id"], answer["content"])})
    thread = Thread("ann", CHAT_ID, response.headers["x-conversation-id"], [sent])
    database.execute("UPDATE chat_messages SET finish_reason = 'length' WHERE role = 'assistant'")
    assert audit(database_url, [thread], Counter()) == []

    database.execute(damage)  # pyright: ignore[reportArgumentType, reportCallIssue]

    assert audit(database_url, [thread], Counter()) != []


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE chat_messages SET content = content || 'x' WHERE role = 'assistant'",
        "DELETE FROM tasks",
        "INSERT INTO tasks (user_id, title) VALUES ('ann', 'turn 1')",
        "UPDATE tasks SET user_id = 'bob'",
    ],
)
async def test_the_audit_finds_words_that_the_model_did_not_say_and_calls_without_their_one_effect(
    parley: Parley,
    model: ScriptedModel,
    database_url: str,
    database: psycopg.Connection,
    damage: str,
) -> None:
    model.default = Reply(pieces=("[turn 1] ", "said"))
    response = await parley.send("turn 1", user="ann")
    sent = SentMessage("message-1", "turn 1")
    thread = Thread("ann", CHAT_ID, response.headers["x-conversation-id"], [sent])
    database.execute("INSERT INTO users (id) VALUES ('bob')")
    database.execute("INSERT INTO tasks (user_id, title) VALUES ('ann', 'turn 1')")
    script = Script(tasks={"turn 1"})
    script.texts["turn 1"].add("[turn 1] said")
    assert audit(database_url, [thread], Counter(), script) == []

    database.execute(damage)  # pyright: ignore[reportArgumentType, reportCallIssue]

    assert audit(database_url, [thread], Counter(), script) != []
