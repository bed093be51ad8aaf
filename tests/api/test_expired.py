"""What has expired is gone for everybody, whether or not the clean-up has been there yet."""

import json
from datetime import timedelta
from typing import Any

import psycopg
import pytest

from tests.support.model_server import ScriptedModel
from tests.support.product import Parley, problem_of

OLD, HALF_OLD = "an expired conversation", "a conversation of which half has expired"


async def say(
    parley: Parley, database: psycopg.Connection, text: str, chat_id: str, days: float
) -> None:
    """Have something said and answered so many days ago, and the answer marked as a mistake."""
    said = await parley.say(text, user="ann", conversation_id=chat_id)
    assert said.status_code == 200, said.text
    answer, conversation_id = said.json()["message"]["id"], said.json()["conversation_id"]
    marked = await parley.client.patch(
        "/api/messages",
        params={"id": answer, "conversation_id": conversation_id},
        json={"is_mistake": True},
        headers={"authorization": said.request.headers["authorization"]},
    )
    assert marked.status_code == 200, marked.text
    past = {"id": conversation_id, "age": timedelta(days=days)}
    database.execute(
        """
        UPDATE chat_messages SET created_at = now() - %(age)s
        WHERE conversation_id = %(id)s AND created_at > now() - interval '1 hour'
        """,
        past,
    )
    database.execute(
        """
        UPDATE finished_streams SET ended_at = now() - %(age)s
        WHERE conversation_id = %(id)s AND ended_at > now() - interval '1 hour'
        """,
        past,
    )
    database.execute(
        "UPDATE conversations SET updated_at = now() - %(age)s WHERE id = %(id)s", past
    )


@pytest.fixture
async def _said(parley: Parley, database: psycopg.Connection) -> None:
    await say(parley, database, "Xylophones", OLD, 31)
    await say(parley, database, "Yachts", HALF_OLD, 31)
    await say(parley, database, "Zebras", HALF_OLD, 29)


@pytest.mark.usefixtures("_said")
async def test_history_and_one_conversation(parley: Parley) -> None:
    history_of = await parley.get("/api/history", user="ann", conversation_id=OLD)
    problem_of(history_of, 404, "not_found")
    problem_of(await parley.get("/api/conversations", user="ann", id=OLD), 404, "not_found")
    for include in ("superseded", "system", "all"):
        history = await parley.history(HALF_OLD, user="ann", include=include)
        assert [each["content"] for each in history["messages"]][::2] == ["Zebras"]


@pytest.mark.usefixtures("_said")
async def test_the_list_and_its_counts(parley: Parley) -> None:
    listed = (await parley.get("/api/conversations", user="ann", status="all")).json()

    [conversation] = listed["conversations"]
    assert conversation["message_count"] == 2
    found = await parley.get("/api/conversations", user="ann", id=conversation["id"])
    assert found.json()["message_count"] == 2


@pytest.mark.usefixtures("_said")
@pytest.mark.parametrize(("words", "count"), [("Xylophones", 0), ("Zebras", 1)])
async def test_the_search(parley: Parley, words: str, count: int) -> None:
    found = await parley.get("/api/conversations", user="ann", q=words, status="all")

    assert len(found.json()["conversations"]) == count


@pytest.mark.usefixtures("_said")
async def test_mistakes_and_usage(parley: Parley) -> None:
    mistakes = await parley.get("/api/messages", user="ann", is_mistake="true")
    assert [each["question"]["content"] for each in mistakes.json()["messages"]] == ["Zebras"]
    lines = await parley.get("/api/messages", user="ann", is_mistake="true", format="jsonl")
    assert len(lines.text.splitlines()) == 1

    usage = await parley.get("/api/messages", user="ann", usage="true", **{"from": "2000-01-01"})
    assert sum(each["messages"] for each in usage.json()["usage"]) == 1


@pytest.mark.usefixtures("_said")
async def test_the_export(parley: Parley, database: psycopg.Connection) -> None:
    database.execute("""
        INSERT INTO tool_runs (
            conversation_id, question_id, run_key, user_id, turn_id, tool_call_id, tool_name,
            arguments, created_at
        )
        SELECT conversation_id, id, id::text, 'ann', gen_random_uuid(), 'call', 'add_task',
            to_jsonb(content), created_at
        FROM chat_messages WHERE role = 'user'
    """)

    exported = await parley.get("/api/conversations", user="ann", export="true")

    lines: list[dict[str, Any]] = [json.loads(line) for line in exported.text.splitlines()]
    kinds = [line["type"] for line in lines]
    assert kinds.count("conversation") == 1
    assert next(line["content"] for line in lines if line["type"] == "message") == "Zebras"
    assert kinds.count("message") == 2
    assert kinds.count("finished_stream") == 1
    assert [line["arguments"] for line in lines if line["type"] == "tool_run"] == ["Zebras"]


@pytest.mark.usefixtures("_said")
async def test_what_is_changed_by_its_id(parley: Parley, database: psycopg.Connection) -> None:
    headers = (await parley.get("/api/conversations", user="ann")).request.headers
    answers = database.execute("""
        SELECT message_id, conversation_id FROM chat_messages
        WHERE role = 'assistant' AND created_at < now() - interval '30 days'
    """).fetchall()
    assert len(answers) == 2
    for answer, conversation_id in answers:
        refused = await parley.client.patch(
            "/api/messages",
            params={"id": answer, "conversation_id": str(conversation_id)},
            json={"is_mistake": False},
            headers=headers,
        )
        problem_of(refused, 404, "not_found")
    for method, content in (("PATCH", {"title": "New"}), ("DELETE", None)):
        refused = await parley.client.request(
            method, "/api/conversations", params={"id": OLD}, json=content, headers=headers
        )
        problem_of(refused, 404, "not_found")


@pytest.mark.usefixtures("_said")
async def test_what_the_model_is_told(parley: Parley, model: ScriptedModel) -> None:
    await parley.say("Where were we?", user="ann", conversation_id=HALF_OLD)

    told = json.dumps(model.requests[-1]["messages"])
    assert "Zebras" in told
    assert "Yachts" not in told


@pytest.mark.usefixtures("_said")
async def test_the_title_of_a_conversation_that_begins_anew(
    parley: Parley, database: psycopg.Connection
) -> None:
    database.execute("UPDATE conversations SET status = 'archived'")

    said = await parley.say("Unicorns", user="ann", conversation_id=OLD)

    assert said.status_code == 200, said.text
    found = await parley.get("/api/conversations", user="ann", id=OLD)
    assert found.json()["status"] == "active"
    assert "Xylophones" not in found.text
