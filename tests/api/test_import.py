"""An import: the conversations of another product, or of another account, become one's own."""

import asyncio
import json
from typing import Any
from uuid import uuid4

import httpx2
import psycopg
import pytest

from tests.support.accounts import LOCAL, bearer, leave, registered
from tests.support.imports import (
    BEGIN,
    SECOND,
    TEXTS,
    chatgpt_of,
    counts,
    export_of,
    imported,
    open_webui,
    post_import,
    reasons,
)
from tests.support.model_server import Called, Reply, ScriptedModel, calling
from tests.support.product import Parley, headers_of, parts_of, problem_of, rows_stored

ROWS = "SELECT * FROM chat_messages ORDER BY id"


def export_line(number: int, role: str, content: str, **more: Any) -> dict[str, Any]:
    """Return a line of Parley's export: a message."""
    return {
        "type": "message",
        "id": number,
        "conversation_id": "6d2f6f0e-30c1-4f3c-8d0a-8f3f7c1d2e3f",
        "message_id": f"message-{number}",
        "role": role,
        "content": content,
        "created_at": (BEGIN + number * SECOND).isoformat(),
    } | more


def call_of(call_id: str, **more: Any) -> dict[str, Any]:
    """Return a tool call as a row of Parley's has it."""
    call: dict[str, Any] = {"id": call_id, "name": "look", "arguments": {}}
    return call | {"step": 0, "text_end": 0} | more


async def only_id(parley: Parley, user: str = "ann") -> str:
    """Return the id of the only conversation in a user's list."""
    [listed] = (await parley.get("/api/conversations", user=user)).json()["conversations"]
    return listed["id"]


async def send(parley: Parley, chat_id: str, text: str, **more: Any) -> list[dict[str, Any]]:
    """Send a message to a conversation of Ann's, and return the parts of the answer."""
    return parts_of(await parley.send(text, chat_id=chat_id, user="ann", **more))


async def test_an_import_is_listed_found_read_exported_and_erased_like_what_was_sent(
    parley: Parley, model: ScriptedModel, database: psycopg.Connection
) -> None:
    report = await imported(parley, "chatgpt", [chatgpt_of()])

    assert report == {"conversations": counts(1), "messages": counts(4), "left_out": []}
    [listed] = (await parley.get("/api/conversations", user="ann")).json()["conversations"]
    assert (listed["title"], listed["message_count"]) == ("Fruit", 4)
    assert listed["last_message"] == "Not yet."
    assert listed["updated_at"] == (BEGIN + 2 * SECOND).isoformat()
    messages = (await parley.history(listed["id"], user="ann"))["messages"]
    assert [each["content"] for each in messages] == [*TEXTS]
    assert [each["created_at"] for each in messages] == [
        (BEGIN + n * SECOND).isoformat() for n in range(4)
    ]
    found = (await parley.get("/api/conversations", user="ann", q="pears")).json()
    assert [each["id"] for each in found["conversations"]] == [listed["id"]]
    exported = [json.loads(line) for line in (await export_of(parley, "ann")).splitlines()]
    contents = [line["content"] for line in exported if line["type"] == "message"]
    assert contents == [*TEXTS]
    # The model was not asked.
    assert (model.requests, model.title_requests) == ([], [])
    erased = await parley.client.delete("/api/auth", headers=headers_of("ann"))
    assert erased.status_code == 204
    # The mark of the deleted user.
    assert rows_stored(database) == 1


async def test_an_imported_conversation_goes_on_and_its_last_messages_are_replaced(
    parley: Parley, model: ScriptedModel, database: psycopg.Connection
) -> None:
    await imported(parley, "chatgpt", [chatgpt_of()])
    chat_id = await only_id(parley)
    before = (await parley.history(chat_id, user="ann"))["messages"]

    # The last answer again, under its own id.
    body: dict[str, Any] = {"messages": [], "trigger": "regenerate-message"}
    await send(parley, chat_id, "", messageId=before[3]["id"], **body)
    assert await parley.said(chat_id, user="ann") == [*TEXTS[:3], "Hello, how are you?"]
    asked = [each["content"] for each in model.requests[-1]["messages"][1:]]
    assert asked == [*TEXTS[:3]]

    # The last question with another text.
    await send(parley, chat_id, "And apples?", message_id=before[2]["id"])
    said = [*TEXTS[:2], "And apples?", "Hello, how are you?"]
    assert await parley.said(chat_id, user="ann") == said

    # One more.
    await send(parley, chat_id, "Thank you.", message_id="later")
    said += ["Thank you.", "Hello, how are you?"]
    assert await parley.said(chat_id, user="ann") == said
    row = database.execute("SELECT message_count, last_message FROM conversations").fetchone()
    assert row == (6, "Hello, how are you?")
    # The stored question sent once more gets the stored answer, and the model is not asked.
    asked_before = len(model.requests)
    await send(parley, chat_id, "Are plums ripe?", message_id=before[0]["id"])
    assert len(model.requests) == asked_before


@pytest.mark.parametrize(
    ("source", "entry"),
    [
        ("chatgpt", chatgpt_of()),
        ("open-webui", open_webui(("user", "Are plums ripe?"), ("assistant", "They are."))),
    ],
)
async def test_the_same_file_twice_changes_nothing(
    parley: Parley, database: psycopg.Connection, source: str, entry: dict[str, Any]
) -> None:
    first = await imported(parley, source, [entry])
    rows = database.execute(ROWS).fetchall()

    again = await imported(parley, source, [entry, entry])

    count = first["messages"]["new"]
    assert again["messages"] == counts(already_there=2 * count)
    assert again["conversations"] == counts(already_there=1)
    assert database.execute(ROWS).fetchall() == rows


async def test_the_same_import_many_times_at_once_is_stored_once(
    parley: Parley, database: psycopg.Connection
) -> None:
    entries = [chatgpt_of(conversation_id=f"c{n}") for n in range(5)]

    reports = await asyncio.gather(
        *(imported(parley, "chatgpt", entries[:: 1 - 2 * (n % 2)]) for n in range(6))
    )

    assert sum(report["messages"]["new"] for report in reports) == 20
    assert [report["left_out"] for report in reports] == [[]] * 6
    assert database.execute("SELECT count(*) FROM chat_messages").fetchall() == [(20,)]


async def test_an_import_of_another_user_shares_nothing_with_the_same_file_of_mine(
    parley: Parley, database: psycopg.Connection
) -> None:
    await send_and_import(parley)
    rows = database.execute("SELECT * FROM conversations ORDER BY id").fetchall()
    export = await export_of(parley, "ann")

    report = await imported(parley, "parley", export, user="eve")
    await imported(parley, "chatgpt", [chatgpt_of()], user="eve")

    assert report["conversations"] == counts(2)
    stored = database.execute("SELECT * FROM conversations WHERE user_id = 'ann' ORDER BY id")
    assert stored.fetchall() == rows
    ids = database.execute("SELECT user_id, id FROM conversations").fetchall()
    assert len({id_ for _, id_ in ids}) == len(ids) == 5


async def send_and_import(parley: Parley) -> None:
    """Give Ann a conversation of her own, and one that she has imported."""
    await parley.send("Hello!", user="ann")
    await imported(parley, "chatgpt", [chatgpt_of()])


async def test_an_id_that_somebody_else_has_taken_before_is_neither_read_nor_written(
    parley: Parley, database: psycopg.Connection
) -> None:
    await imported(parley, "chatgpt", [chatgpt_of()])
    # As if somebody had guessed the id that Ann's file leads to.
    database.execute("INSERT INTO users (id) VALUES ('eve')")
    database.execute("UPDATE chat_messages SET user_id = 'eve', content = 'secret'")
    database.execute("UPDATE conversations SET user_id = 'eve'")
    rows = database.execute(ROWS).fetchall()

    report = await imported(parley, "chatgpt", [chatgpt_of()])

    assert reasons(report) == {("conversation", "id_taken"): 1, ("message", "id_taken"): 4}
    assert database.execute(ROWS).fetchall() == rows


@pytest.mark.parametrize("size", [10_000_000, 2000])
async def test_an_export_is_the_same_after_its_import_into_another_account(
    parley: Parley, model: ScriptedModel, size: int
) -> None:
    """In one request, and in many, of which each has some of the lines."""
    await various_messages(parley, model)
    before = await export_of(parley, "ann")

    for piece in pieces(before, size):
        await imported(parley, "parley", piece, user="bob")
    after = await export_of(parley, "bob")

    assert told(after) == told(before)
    assert [*conversations(after)] == [*conversations(before)]
    # Once more, into the account that it is of, and into the other one.
    for user in ("ann", "bob"):
        report = await imported(parley, "parley", before, user=user)
        assert report["messages"]["new"] == report["conversations"]["new"] == 0
        assert told(await export_of(parley, user)) == told(before)


async def various_messages(parley: Parley, model: ScriptedModel) -> None:
    """Store questions that were edited, answers that were made again, tool calls, a mark."""
    chat: dict[str, Any] = {"chat_id": "QWERTZUIOPASDFGH", "user": "ann"}
    milk = Called("add_task", {"title": "Buy milk"}, "call_milk")
    model.replies = [calling(milk, text="Let me see."), Reply(pieces=("Done.",))]
    await parley.send("Add milk", message_id="q1", metadata={"page": 3}, **chat)
    await parley.send("Add mylk", message_id="q2", **chat)
    await parley.send("Add oats", message_id="q2", **chat)
    await parley.send("", message_id="q2", messages=[], trigger="regenerate-message", **chat)
    data = {"type": "data-page", "data": {"open": [1, 2]}}
    parts = [{"type": "text", "text": "See"}, data, {"type": "text", "text": "this"}]
    message = {"id": "q3", "role": "user", "parts": parts}
    await parley.send("", **chat, messages=[message])
    answer = (await parley.history(chat["chat_id"], user="ann"))["messages"][1]["id"]
    marked = await parley.client.patch(
        f"/api/messages?id={answer}&conversation_id={chat['chat_id']}",
        json={"is_mistake": True, "mistake_note": "No."},
        headers=headers_of("ann"),
    )
    assert marked.status_code == 200, marked.text
    await parley.send("Another", chat_id="ANOTHERCHATOFANN", user="ann")


# What an import does not bring over, and what is another row's number.
LEFT_OUT = (
    *("id", "user_id", "conversation_id", "reply_to", "provider_state"),
    *("prompt_tokens", "completion_tokens", "reasoning_tokens", "reasoning_seconds"),
)


def told(export: bytes) -> list[dict[str, Any]]:
    """Return the messages of an export in the order of their rows, each with its question."""
    lines = [json.loads(line) for line in export.splitlines()]
    rows = sorted((each for each in lines if each["type"] == "message"), key=lambda row: row["id"])
    by_id = {row["id"]: row for row in rows}
    titles = {each["id"]: each["title"] for each in lines if each["type"] == "conversation"}
    # In the order within each conversation: two may have been written to in turn.
    rows.sort(key=lambda row: titles[row["conversation_id"]])
    return [
        {name: value for name, value in row.items() if name not in LEFT_OUT}
        | {
            "title": titles[row["conversation_id"]],
            "question": by_id[row["reply_to"]]["content"] if row["reply_to"] else None,
        }
        for row in rows
    ]


def conversations(export: bytes) -> list[tuple[Any, ...]]:
    """Return what an export tells of its conversations."""
    rows = [json.loads(line) for line in export.splitlines()]
    names = ("title", "titled_at", "status", "created_at", "updated_at", "message_count")
    return sorted(
        tuple(row[name] for name in names) for row in rows if row["type"] == "conversation"
    )


def pieces(content: bytes, size: int) -> list[bytes]:
    """Return lines in pieces of about a size."""
    found = [b""]
    for line in content.splitlines(keepends=True):
        if len(found[-1]) > size:
            found.append(b"")
        found[-1] += line
    return found


async def test_the_messages_of_a_conversation_that_is_being_answered_are_left_out(
    parley: Parley, model: ScriptedModel
) -> None:
    await imported(parley, "chatgpt", [chatgpt_of(TEXTS[:2])])
    chat_id = await only_id(parley)
    model.default = Reply(until=asyncio.Event())
    turn = asyncio.create_task(parley.send("Wait", chat_id=chat_id, user="ann"))
    while not model.requests:  # noqa: ASYNC110 (the model offers no event)
        await asyncio.sleep(0.01)

    report = await imported(parley, "chatgpt", [chatgpt_of()])

    assert reasons(report) == {("message", "turn_in_progress"): 2}
    assert model.default.until is not None
    model.default.until.set()
    parts_of(await turn)
    assert await parley.said(chat_id, user="ann") == [*TEXTS[:2], "Wait", "Hello, how are you?"]
    # By now they would stand behind later ones.
    report = await imported(parley, "chatgpt", [chatgpt_of()])
    assert reasons(report) == {("message", "later_messages"): 2}


async def test_a_guest_is_told_to_sign_in(parley: Parley, database: psycopg.Connection) -> None:
    problem = problem_of(
        await post_import(parley, "chatgpt", [chatgpt_of()], user=None), 401, "unauthenticated"
    )

    assert problem["detail"] == "Sign in to import conversations."
    assert rows_stored(database) == 0


@pytest.mark.environment(IMPORTS="off")
async def test_imports_can_be_switched_off(parley: Parley, database: psycopg.Connection) -> None:
    for user in ("ann", None):
        problem_of(
            await post_import(parley, "chatgpt", [chatgpt_of()], user=user), 404, "not_found"
        )

    assert rows_stored(database) == 0


@LOCAL
@pytest.mark.usefixtures("hashed")
@pytest.mark.parametrize("body", [b"", b'{"type":"task"}\n'])
async def test_the_token_of_a_deleted_account_imports_nothing_not_even_nothing(
    parley: Parley, body: bytes
) -> None:
    token = (await registered(parley))["token"]
    path = "/api/conversations?import=parley"
    headers = bearer(token) | {"content-type": "application/x-ndjson"}
    alive = await parley.client.post(path, content=body, headers=headers)
    assert alive.status_code == 200
    assert (await leave(parley, token, password="correct horse battery staple")).is_success

    refused = await parley.client.post(path, content=body, headers=headers)

    assert refused.status_code in {401, 403}, refused.text


@pytest.mark.environment(BYTES_PER_DAY="1000", MESSAGES_PER_DAY="1")
async def test_an_import_counts_its_new_bytes_and_no_answers(
    parley: Parley, database: psycopg.Connection
) -> None:
    for _ in range(3):
        await imported(parley, "chatgpt", [chatgpt_of()])
    used = "SELECT byte_count, day_count FROM quotas"
    # A conversation counts as 200 bytes and its title.
    byte_count = len("".join(TEXTS)) + 200 + len("Fruit")
    assert database.execute(used).fetchall() == [(byte_count, 0)]

    for size, said in ((600, "again tomorrow"), (1001, "Send fewer in a request")):
        more = chatgpt_of(["x" * size], conversation_id="c2")
        refused = await post_import(parley, "chatgpt", [more])
        assert said in problem_of(refused, 429, "storage_quota_exceeded")["detail"]
        assert ("retry-after" in refused.headers) == (size < 1000)

    assert database.execute("SELECT count(*) FROM conversations").fetchall() == [(1,)]


@pytest.mark.environment(RETENTION_DAYS="2", MAX_MESSAGE_CHARS="20", MAX_CONVERSATION_MESSAGES="3")
async def test_a_report_says_how_many_messages_are_left_out_and_why(parley: Parley) -> None:
    now = BEGIN + 3 * 86_400 * SECOND
    texts = ("Plums?", "Yes.", "Pears, then, at least?", "No.", " ", "NUL \0", "Hm.", "Hm!", "Well")
    entry = chatgpt_of(texts)
    for n in range(1, 10):
        time = {1: BEGIN, 2: now}.get(n, now - 600 * SECOND + n * SECOND)
        entry["mapping"][f"n{n}"]["message"]["create_time"] = time.timestamp()
    future = chatgpt_of(["Soon."], conversation_id="c2")
    future["mapping"]["n1"]["message"]["create_time"] = (now + 3600 * SECOND).timestamp()

    report = await imported(parley, "chatgpt", [entry, future, {"id": "no mapping"}])

    assert reasons(report) == {
        ("conversation", "no_messages"): 1,
        ("conversation", "unreadable"): 1,
        ("message", "expired"): 2,
        ("message", "too_long"): 1,
        ("message", "question_left_out"): 2,
        ("message", "empty"): 1,
        ("message", "in_the_future"): 1,
    }
    assert report["messages"]["new"] == 3
    assert all(each["detail"].endswith(".") for each in report["left_out"])
    # A conversation takes no more than it may hold.
    grown = chatgpt_of(["A", "B", "C", "D"], conversation_id="c3")
    for n in range(1, 5):
        grown["mapping"][f"n{n}"]["message"]["create_time"] = (now - 60 * SECOND).timestamp()
    assert reasons(await imported(parley, "chatgpt", [grown])) == {
        ("message", "conversation_full"): 1
    }


@pytest.mark.parametrize(
    ("content", "media_type", "status", "code", "said"),
    [
        (b"{} {}", "application/x-ndjson", 400, "malformed_request", "Line 1 is no JSON"),
        (b'{"a":1}\n{"b"\n', "application/x-ndjson", 400, "malformed_request", "Line 2 is no"),
        (b"[{}", "application/json", 400, "malformed_request", "not valid JSON"),
        (b"\xff\xfe", "application/x-ndjson", 400, "malformed_request", "not UTF-8"),
        (b"[" * 100_000, "application/json", 400, "malformed_request", "not valid JSON"),
        (b'{"a": NaN}\n', "application/x-ndjson", 400, "malformed_request", "Line 1"),
        (b'[{"type":"message"}]', "application/json", 422, "invalid_request", "conversations.json"),
        (b"[]", "text/plain", 415, "unsupported_media_type", "application/x-ndjson"),
        (b" " * (4 * 1024 * 1024 + 1), "application/json", 413, "payload_too_large", "4096 KB"),
    ],
)
async def test_a_body_that_is_no_export_is_refused_with_the_reason(
    parley: Parley,
    database: psycopg.Connection,
    content: bytes,
    media_type: str,
    status: int,
    code: str,
    said: str,
) -> None:
    refused = await post_import(parley, "chatgpt", content, media_type=media_type)

    problem = problem_of(refused, status, code)
    assert said in f"{problem['detail']} {problem.get('errors')}"
    assert rows_stored(database) == 0


@pytest.mark.parametrize("query", ["?import=claude", "?import=", "?import=parley&import=chatgpt"])
async def test_an_unknown_format_is_refused(parley: Parley, query: str) -> None:
    headers = headers_of("ann") | {"content-type": "application/json"}
    path = f"/api/conversations{query}"
    refused: httpx2.Response = await parley.client.post(path, content=b"[]", headers=headers)

    [error] = problem_of(refused, 422, "invalid_request")["errors"]
    assert error["field"] == "import"


ODD: tuple[Any, ...] = ([], {}, 7, None, "\ud800")


@pytest.mark.parametrize("odd", ODD, ids=repr)
async def test_an_odd_value_in_a_file_fails_no_import(parley: Parley, odd: object) -> None:
    line = export_line(1, "user", "Are plums ripe?")
    lines = [{"type": odd}, *({**line, name: odd} for name in line if name != "type")]
    report = await imported(parley, "parley", lines)
    assert report["messages"]["left_out"] + report["messages"]["new"] >= 1

    node, message = {"parent": odd, "message": None}, chatgpt_of(["Plums?"])
    for name in ("recipient", "content", "author", "metadata", "weight", "id"):
        message["mapping"]["n1"]["message"][name] = odd
        await imported(parley, "chatgpt", [message])
    strange = chatgpt_of(["Pears?"], conversation_id="c2", current_node=odd)
    strange["mapping"] |= {"odd": node, str(odd): node}
    await imported(parley, "chatgpt", [strange])
    chat = open_webui(("user", "Plums?"), id="chat")
    for name in ("role", "content", "parentId", "timestamp", "files", "model"):
        chat["chat"]["history"]["messages"]["m0"][name] = odd
        chat["chat"]["history"]["currentId"] = None
        await imported(parley, "open-webui", [chat])


@pytest.mark.parametrize(
    ("is_stored_before", "other"), [(True, 99), (True, 1), (False, 1)], ids=str
)
async def test_a_question_gets_one_current_answer_however_the_file_names_it(
    parley: Parley, database: psycopg.Connection, other: int, *, is_stored_before: bool
) -> None:
    question = export_line(1, "user", "Are plums ripe?")
    if is_stored_before:
        await imported(parley, "parley", [question])

    answers = [
        export_line(2, "assistant", "They are.", reply_to=1),
        export_line(3, "assistant", "Not yet.", reply_to=other),
    ]
    report = await imported(parley, "parley", [question, *answers])

    assert report["messages"]["new"] == 3 - is_stored_before
    told = "SELECT count(reply_to), count(*) FROM chat_messages WHERE role = 'assistant'"
    assert database.execute(told).fetchall() == [(1, 2)]


async def test_two_given_conversations_that_are_one_are_stored_one_after_the_other(
    parley: Parley, database: psycopg.Connection
) -> None:
    line = export_line(1, "user", "Are plums ripe?")
    await imported(parley, "parley", [line])
    [(stored,)] = database.execute("SELECT id::text FROM conversations").fetchall()
    database.execute("DELETE FROM conversations")

    both = [line, line | {"conversation_id": stored}]
    assert (await imported(parley, "parley", both))["messages"] == counts(new=1, left_out=1)
    assert (await imported(parley, "parley", both))["messages"] == counts(already_there=2)


@pytest.mark.parametrize(
    "calls",
    [
        [call_of("same"), call_of("same")],
        [call_of("long", output="y" * 200_000)],
        [call_of(f"c{n}", output="y" * 60_000) for n in range(20)],
    ],
    ids=["an id twice", "a long output", "many outputs"],
)
async def test_calls_that_no_turn_could_tell_a_model_are_left_out_of_their_answer(
    parley: Parley, database: psycopg.Connection, calls: list[dict[str, Any]]
) -> None:
    answer = export_line(2, "assistant", "They are.", reply_to=1, tool_calls=calls)

    report = await imported(parley, "parley", [export_line(1, "user", "Ripe?"), answer])

    assert report["messages"]["new"] == 2
    assert database.execute("SELECT count(tool_calls) FROM chat_messages").fetchall() == [(0,)]


@pytest.mark.environment(BYTES_PER_DAY="1000")
async def test_conversations_without_messages_count_their_bytes(parley: Parley) -> None:
    lines = [{"type": "conversation", "id": str(uuid4()), "title": "Fruit"} for _ in range(5)]
    lines = [line | {"updated_at": BEGIN.isoformat()} for line in lines]

    refused = await post_import(parley, "parley", lines)

    problem_of(refused, 429, "storage_quota_exceeded")
