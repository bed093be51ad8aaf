"""GET /api/history: the caller's messages, their order, their pages and their form."""

import json
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import anyio.to_thread
import psycopg
import pytest
from psycopg.sql import SQL, Identifier

from tests.node.sdk import VERSIONS, Version, run_chat, validate_messages
from tests.support.model_server import Reply, ScriptedModel
from tests.support.product import CHAT_ID, Parley, parts_of, problem_of

SHOWN = {
    # The AI SDK's UIMessage:
    "id", "role", "parts", "metadata",
    # The columns beside it; not the row's number, not the owner:
    "conversation_id", "content", "finish_reason", "model_name", "model", "requested_model",
    "prompt_tokens", "cached_tokens",
    "completion_tokens", "reasoning_tokens", "reasoning_seconds",
    "tool_calls", "persona", "tone", "behavior", "context_type", "confidence",
    "signal_strength", "context_clarity", "needs_knowledge", "is_mistake", "mistake_note",
    "superseded_at", "refusal", "created_at", "updated_at",
}  # fmt: skip

each_version = pytest.mark.parametrize("version", VERSIONS, ids=lambda version: f"ai{version}")


def add_conversation(database: psycopg.Connection, count: int) -> UUID:
    """Store an anonymous conversation of `count` messages with the texts 1, 2, 3, ….

    Another conversation grows at the same time, so that the rows' numbers have gaps.
    """
    conversation, other = uuid4(), uuid4()
    database.execute("INSERT INTO conversations (id) VALUES (%s), (%s)", (conversation, other))
    database.execute(
        """
        INSERT INTO chat_messages (conversation_id, message_id, role, content)
        SELECT owned.id, number, CASE number %% 2 WHEN 1 THEN 'user' ELSE 'assistant' END, number
        FROM generate_series(1, %s) AS number
        CROSS JOIN unnest(%s::uuid[]) AS owned (id)
        ORDER BY number
        """,
        (count, [other, conversation]),
    )
    return conversation


async def objections(version: Version, messages: list[dict[str, Any]]) -> object:
    """Return the objections of the AI SDK's own check to messages; None: it accepts them."""
    return await anyio.to_thread.run_sync(validate_messages, version, messages)


async def test_history_returns_messages_oldest_first(parley: Parley) -> None:
    for text in ("One", "Two"):
        await parley.say(text, conversation_id=CHAT_ID)

    answer = "Hello, how are you?"
    assert await parley.said() == ["One", answer, "Two", answer]


@pytest.mark.parametrize("limit", [1, 7, 20, 59, 60, 200])
async def test_pages_of_history_follow_each_other_without_gap_or_overlap(
    parley: Parley, database: psycopg.Connection, limit: int
) -> None:
    conversation = add_conversation(database, 60)

    page = await parley.history(conversation, limit=limit)
    pages = [page["messages"]]
    while page["next_cursor"]:
        # A message sent while the client reads belongs to no older page.
        database.execute(
            "INSERT INTO chat_messages (conversation_id, role, content) VALUES (%s, 'user', 'new')",
            (conversation,),
        )
        page = await parley.history(conversation, limit=limit, before=page["next_cursor"])
        pages.insert(0, page["messages"])

    assert {len(page) for page in pages[1:]} <= {limit}
    assert 0 < len(pages[0]) <= limit
    contents = [message["content"] for page in pages for message in page]
    assert contents == [str(number) for number in range(1, 61)]


async def test_a_page_of_history_has_50_messages_by_default(
    parley: Parley, database: psycopg.Connection
) -> None:
    history = await parley.history(add_conversation(database, 60))

    contents = [message["content"] for message in history["messages"]]
    assert contents == [str(number) for number in range(11, 61)]


async def test_a_conversation_without_messages_has_an_empty_history(
    parley: Parley, database: psycopg.Connection
) -> None:
    history = await parley.history(add_conversation(database, 0))

    assert (history["messages"], history["next_cursor"]) == ([], None)


@pytest.mark.parametrize(("owner", "asker"), [("ann", "bob"), ("ann", None), (None, "ann")])
async def test_another_callers_history_looks_like_a_missing_conversation(
    parley: Parley, owner: str | None, asker: str | None
) -> None:
    said = await parley.say("Hello!", user=owner)
    conversation = said.json()["conversation_id"]

    refused = await parley.get("/api/history", user=asker, conversation_id=conversation)
    missing = await parley.get("/api/history", user=asker, conversation_id=uuid4())

    assert problem_of(refused, 404, "not_found") == problem_of(missing, 404, "not_found")
    assert len(await parley.said(conversation, user=owner)) == 2


@pytest.mark.parametrize(
    ("expected"),
    [
        pytest.param(["3", "4"], id="30 days"),
        pytest.param(["4"], id="7 days", marks=pytest.mark.environment(RETENTION_DAYS="7")),
        pytest.param(
            ["1", "2", "3", "4"], id="for ever", marks=pytest.mark.environment(RETENTION_DAYS="0")
        ),
    ],
)
async def test_an_expired_message_is_not_shown_before_it_is_deleted(
    parley: Parley, database: psycopg.Connection, expected: list[str]
) -> None:
    conversation = add_conversation(database, 4)
    for content, days in (("1", 400), ("2", 30.01), ("3", 29.99), ("4", 6.99)):
        database.execute(
            "UPDATE chat_messages SET created_at = now() - %s WHERE content = %s",
            (timedelta(days=days), content),
        )

    assert await parley.said(conversation) == expected


async def test_the_history_of_an_expired_conversation_is_not_found(
    parley: Parley, database: psycopg.Connection
) -> None:
    await parley.say("My secret", conversation_id=CHAT_ID)
    database.execute("UPDATE chat_messages SET created_at = now() - interval '31 days'")
    database.execute("UPDATE conversations SET updated_at = now() - interval '31 days'")

    # The title is the beginning of an expired message.
    response = await parley.get("/api/history", conversation_id=CHAT_ID)

    problem_of(response, 404, "not_found")


@pytest.mark.parametrize(
    ("include", "expected"),
    [
        ({}, ["2", "4"]),
        ({"include": "superseded"}, ["1", "2", "4"]),
        ({"include": "system"}, ["2", "3", "4"]),
        ({"include": "all"}, ["1", "2", "3", "4"]),
    ],
)
async def test_superseded_and_system_messages_are_shown_when_asked_for(
    parley: Parley, database: psycopg.Connection, include: dict[str, str], expected: list[str]
) -> None:
    conversation = add_conversation(database, 4)
    database.execute("UPDATE chat_messages SET superseded_at = now() WHERE content = '1'")
    database.execute("UPDATE chat_messages SET role = 'system' WHERE content = '3'")

    history = await parley.history(conversation, **include)

    assert [message["content"] for message in history["messages"]] == expected


async def test_a_message_shows_exactly_the_documented_columns(
    parley: Parley, database: psycopg.Connection
) -> None:
    await parley.say("Hello!", user="the-owner", message_id="mine", conversation_id=CHAT_ID)
    database.execute("ALTER TABLE chat_messages ALTER id RESTART WITH 987654321")
    await parley.say("Hello!", user="the-owner", conversation_id=CHAT_ID)

    history = await parley.history(user="the-owner")

    assert history.keys() == {"conversation", "messages", "next_cursor"}
    assert history["conversation"].keys() == {
        "id",
        "title",
        "status",
        "created_at",
        "updated_at",
        "model",
    }
    assert all(message.keys() == SHOWN for message in history["messages"])
    assert all(isinstance(message["id"], str) for message in history["messages"])
    written = json.dumps(history)
    assert "the-owner" not in written
    assert "98765432" not in written


async def test_times_are_iso_8601_in_utc_in_any_time_zone_of_the_database(
    parley: Parley, database: psycopg.Connection
) -> None:
    tokyo = SQL("ALTER DATABASE {} SET timezone = 'Asia/Tokyo'")
    database.execute(tokyo.format(Identifier(database.info.dbname)))
    await parley.say("Hello!", conversation_id=CHAT_ID)

    history = await parley.history()

    for row in (history["conversation"], *history["messages"]):
        for name in ("created_at", "updated_at"):
            time = datetime.fromisoformat(row[name])
            assert time.utcoffset() == timedelta(0)
            assert abs(datetime.now(time.tzinfo) - time) < timedelta(minutes=1)


async def test_history_has_the_same_ids_and_metadata_as_the_stream(
    parley: Parley, model: ScriptedModel
) -> None:
    model.default = Reply(pieces=("Cut",), finish_reason="content_filter")

    parts = parts_of(await parley.send("Hello!", message_id="mine"))

    question, answer = (await parley.history())["messages"]
    assert (question["id"], answer["id"]) == ("mine", parts[0]["messageId"])
    assert answer["metadata"] == parts[0]["messageMetadata"] | parts[-1]["messageMetadata"]
    assert answer["parts"] == [
        {"type": "step-start"},
        {"type": "text", "text": "Cut", "state": "done"},
    ]


async def test_an_answer_cut_at_the_deadline_has_the_finish_reason_length_for_clients(
    parley: Parley, database: psycopg.Connection
) -> None:
    await parley.say("Hello!", conversation_id=CHAT_ID)
    database.execute("UPDATE chat_messages SET finish_reason = 'timeout' WHERE role = 'assistant'")

    _, answer = (await parley.history())["messages"]
    assert answer["metadata"]["finish_reason"] == "length"


@each_version
async def test_messages_of_history_pass_the_ai_sdks_own_check(
    parley: Parley, database: psycopg.Connection, version: Version
) -> None:
    await parley.say("Hello!", conversation_id=CHAT_ID)
    database.execute(
        """
        INSERT INTO chat_messages (conversation_id, role, content)
        SELECT conversations.id, added.role, added.content
        FROM conversations
        CROSS JOIN (VALUES ('assistant', ''), ('system', 'Be brief.')) AS added (role, content)
        """
    )

    messages = (await parley.history(include="all"))["messages"]

    assert len(messages) == 4
    assert await objections(version, messages) is None


@each_version
async def test_the_ai_sdks_own_check_refuses_wrong_messages(version: Version) -> None:
    wrong = {"id": 5, "role": "user", "parts": [{"type": "text", "text": "Hello!"}]}

    assert await objections(version, [wrong]) is not None


@each_version
async def test_a_chat_that_starts_from_history_continues_it(
    parley: Parley, version: Version
) -> None:
    await parley.say("One", conversation_id=CHAT_ID)
    before = (await parley.history())["messages"]

    result = await anyio.to_thread.run_sync(
        lambda: run_chat(
            version,
            parley.base_url,
            [{"do": "send", "text": "Two"}],
            chat_id=CHAT_ID,
            messages=before,
        )
    )

    assert result["error"] is None
    after = (await parley.history())["messages"]
    assert [message["id"] for message in result["messages"]] == [message["id"] for message in after]
    assert after[:2] == before
