"""/api/messages: answers marked as mistakes, listed, exported, and passed to the model."""

import json
from typing import Any

import httpx2
import psycopg
import pytest

from tests.support.model_server import Reply, ScriptedModel
from tests.support.product import CHAT_ID, Parley, headers_of, problem_of

MESSAGES = "/api/messages"
OTHER_CHAT_ID = "another-chat-id-1"
LIST = f"{MESSAGES}?is_mistake=true"


@pytest.mark.parametrize("user", [None, "ann"])
async def test_an_answer_is_marked_and_history_shows_it(parley: Parley, user: str | None) -> None:
    answer = await _say(parley, "2 + 2?", user=user)

    response = await _mark(parley, answer["id"], "It is 4.", user=user)

    assert response.status_code == 200
    marked = response.json()
    assert marked == answer | {
        "is_mistake": True,
        "mistake_note": "It is 4.",
        "updated_at": marked["updated_at"],
    }
    assert (await parley.history(user=user))["messages"][1] == marked


async def test_removing_a_mark_clears_its_note(parley: Parley) -> None:
    answer = await _say(parley, "2 + 2?")
    await _mark(parley, answer["id"], "It is 4.")

    response = await _mark(parley, answer["id"], "Never mind.", is_mistake=False)

    assert (response.json()["is_mistake"], response.json()["mistake_note"]) == (False, None)
    assert (await parley.history())["messages"][1]["mistake_note"] is None


async def test_a_message_that_is_no_answer_of_the_caller_is_not_found(
    parley: Parley, database: psycopg.Connection
) -> None:
    answer = await _say(parley, "2 + 2?", user="ann")
    conversation = answer["conversation_id"]
    await _say(parley, "Hello!", user="bob")
    tries: list[tuple[str | None, str, str]] = [
        ("ann", "message-1", CHAT_ID),
        ("ann", "unknown", CHAT_ID),
        ("ann", answer["id"], OTHER_CHAT_ID),
        ("bob", answer["id"], CHAT_ID),
        ("bob", answer["id"], conversation),
        (None, answer["id"], conversation),
    ]

    answers = [
        problem_of(await _mark(parley, name, user=user, chat_id=where), 404, "not_found")
        for user, name, where in tries
    ]

    assert answers == [answers[0]] * len(tries)
    marked = "SELECT count(*) FROM chat_messages WHERE is_mistake"
    assert database.execute(marked).fetchone() == (0,)


async def test_a_replaced_answer_cannot_be_marked(parley: Parley) -> None:
    answer = await _say(parley, "2 + 2?")
    await parley.send("2 + 2?", trigger="regenerate-message")

    problem_of(await _mark(parley, answer["id"]), 404, "not_found")


async def test_an_expired_answer_cannot_be_marked(
    parley: Parley, database: psycopg.Connection
) -> None:
    answer = await _say(parley, "2 + 2?", user="ann")
    await _mark(parley, answer["id"], user="ann")
    database.execute("UPDATE chat_messages SET created_at = now() - interval '31 days'")

    problem_of(await _mark(parley, answer["id"], user="ann"), 404, "not_found")
    assert await _list(parley) == []


@pytest.mark.parametrize(
    ("query", "body", "fields"),
    [
        ("", {"is_mistake": True}, ["id", "conversation_id"]),
        (f"id=x&conversation_id={CHAT_ID}", {}, ["is_mistake"]),
        (f"id=x&conversation_id={CHAT_ID}", {"is_mistake": "true"}, ["is_mistake"]),
        (f"id=x&conversation_id={CHAT_ID}", {"is_mistake": 1}, ["is_mistake"]),
        (f"id=x&conversation_id={CHAT_ID}", {"is_mistake": None}, ["is_mistake"]),
        (
            f"id=x&session_id={CHAT_ID}",
            {"is_mistake": True, "mistake_note": "x" * 1001},
            ["mistake_note"],
        ),
        (
            f"id=x&session_id={CHAT_ID}",
            {"is_mistake": True, "mistake_note": "a\0b"},
            ["mistake_note"],
        ),
        (f"id=x&session_id={CHAT_ID}", {"is_mistake": True, "mistake_note": 5}, ["mistake_note"]),
        (f"id=&conversation_id={CHAT_ID}", {"is_mistake": True}, ["id"]),
        (f"id=x&id=y&conversation_id={CHAT_ID}", {"is_mistake": True}, ["id"]),
        (f"id=a%00b&conversation_id={CHAT_ID}", {"is_mistake": True}, ["id"]),
    ],
    ids=lambda value: ascii(value)[:50],
)
async def test_each_wrong_field_of_a_mark_is_named(
    parley: Parley, query: str, body: dict[str, Any], fields: list[str]
) -> None:
    response = await parley.client.patch(f"{MESSAGES}?{query}", json=body)

    problem = problem_of(response, 422, "invalid_request")
    assert [error["field"] for error in problem["errors"]] == fields


async def test_the_limit_of_a_note_is_a_thousand_characters_not_bytes(parley: Parley) -> None:
    answer = await _say(parley, "2 + 2?")

    response = await _mark(parley, answer["id"], "😀" * 1000)

    assert response.json()["mistake_note"] == "😀" * 1000


async def test_a_switched_off_user_neither_marks_nor_lists_mistakes(
    parley: Parley, database: psycopg.Connection
) -> None:
    answer = await _say(parley, "2 + 2?", user="ann")
    database.execute("UPDATE users SET is_active = FALSE")

    problem_of(await _mark(parley, answer["id"], user="ann"), 403, "account_inactive")
    response = await parley.client.get(LIST, headers=headers_of("ann"))
    problem_of(response, 403, "account_inactive")


async def test_mistakes_of_all_conversations_are_listed_newest_first_with_their_questions(
    parley: Parley, model: ScriptedModel
) -> None:
    model.replies = [Reply(pieces=(text,)) for text in ("5", "Bonn", "Fine.")]
    for text, chat_id in (("2 + 2?", CHAT_ID), ("Capital?", OTHER_CHAT_ID)):
        answer = await _say(parley, text, user="ann", chat_id=chat_id)
        await _mark(parley, answer["id"], user="ann", chat_id=chat_id)
    await _say(parley, "How are you?", user="ann", message_id="message-2")
    theirs = await _say(parley, "2 + 2?", user="bob")
    await _mark(parley, theirs["id"], user="bob")

    mistakes = await _list(parley)

    assert [mistake["content"] for mistake in mistakes] == ["Bonn", "5"]
    assert [mistake["question"] for mistake in mistakes] == [
        {"id": "message-1", "content": "Capital?"},
        {"id": "message-1", "content": "2 + 2?"},
    ]
    history = (await parley.history(user="ann"))["messages"]
    assert {name: mistakes[1][name] for name in history[1]} == history[1]


@pytest.mark.parametrize("form", ["json", "jsonl"])
async def test_pages_of_mistakes_follow_one_another_to_the_last(parley: Parley, form: str) -> None:
    for number in range(5):
        answer = await _say(parley, f"Question {number}", user="ann", message_id=f"m{number}")
        await _mark(parley, answer["id"], user="ann")

    seen, query = list[str](), {"is_mistake": "true", "limit": 2, "format": form}
    while True:
        page = await parley.get(MESSAGES, user="ann", **query)
        if form == "json":
            seen += [mistake["question"]["content"] for mistake in page.json()["messages"]]
            cursor = page.json()["next_cursor"]
        else:
            seen += [example["messages"][0]["content"] for example in _lines(page)]
            cursor = page.headers.get("x-next-cursor")
        if cursor is None:
            break
        query["cursor"] = cursor

    assert seen == [f"Question {number}" for number in (4, 3, 2, 1, 0)]


async def test_mistakes_are_exported_in_the_chat_format_for_fine_tuning(
    parley: Parley, model: ScriptedModel
) -> None:
    model.default = Reply(pieces=('He said "5".\n', "\u2028Né?"))
    answer = await _say(parley, "2 + 2?\n2 + 3?", user="ann")
    await _mark(parley, answer["id"], "It is 4.", user="ann")

    response = await parley.get(MESSAGES, user="ann", is_mistake="true", format="jsonl")

    assert response.headers["content-type"].startswith("application/jsonl")
    assert response.headers["cache-control"] == "no-store"
    assert _lines(response) == [
        {
            "messages": [
                {"role": "user", "content": "2 + 2?\n2 + 3?"},
                {"role": "assistant", "content": 'He said "5".\n\u2028Né?', "weight": 0},
            ],
            "mistake_note": "It is 4.",
        }
    ]


async def test_listing_mistakes_needs_a_signed_in_user(parley: Parley) -> None:
    problem_of(await parley.client.get(LIST), 401, "unauthenticated")


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("", "is_mistake"),
        ("is_mistake=false", "is_mistake"),
        ("is_mistake=true&is_mistake=true", "is_mistake"),
        ("is_mistake=true&format=csv", "format"),
        ("is_mistake=true&from=yesterday", "from"),
        ("is_mistake=true&limit=0", "limit"),
        ("is_mistake=true&limit=201", "limit"),
        ("is_mistake=true&cursor=garbage", "cursor"),
    ],
)
async def test_each_wrong_parameter_of_the_list_of_mistakes_is_named(
    parley: Parley, query: str, field: str
) -> None:
    response = await parley.client.get(f"{MESSAGES}?{query}", headers=headers_of("ann"))

    problem = problem_of(response, 422, "invalid_request")
    assert [error["field"] for error in problem["errors"]] == [field]


@pytest.mark.parametrize("note", ["It is 4.", None, ""])
async def test_a_mark_reaches_the_model_with_the_next_message_and_does_not_change_history(
    parley: Parley, model: ScriptedModel, note: str | None
) -> None:
    answer = await _say(parley, "2 + 2?")
    await _mark(parley, answer["id"], note)

    await _say(parley, "And 3 + 3?", message_id="message-2")
    await _say(parley, "Thanks.", message_id="message-3")

    said = f": {note}" if note else ""
    prompt = f"[I marked your last answer as a mistake{said}]\n\nAnd 3 + 3?"
    for request in model.requests[1:]:
        system, *messages = request["messages"]
        assert "mistake" not in system["content"]
        assert {message["role"] for message in messages} == {"user", "assistant"}
        assert messages[2] == {"role": "user", "content": prompt}
    assert model.requests[2]["messages"][-1] == {"role": "user", "content": "Thanks."}
    assert (await parley.said())[2::2] == ["And 3 + 3?", "Thanks."]


async def test_a_removed_mark_does_not_reach_the_model(
    parley: Parley, model: ScriptedModel
) -> None:
    answer = await _say(parley, "2 + 2?")
    await _mark(parley, answer["id"], "It is 4.")
    await _mark(parley, answer["id"], is_mistake=False)

    await _say(parley, "And 3 + 3?", message_id="message-2")

    assert "mistake" not in json.dumps(model.requests[-1])


async def _say(
    parley: Parley,
    text: str,
    *,
    user: str | None = None,
    chat_id: str = CHAT_ID,
    message_id: str = "message-1",
) -> dict[str, Any]:
    """Send a message, and return its answer."""
    response = await parley.say(text, user=user, conversation_id=chat_id, message_id=message_id)
    assert response.status_code == 200, response.text
    return response.json()["message"]


async def _mark(
    parley: Parley,
    message_id: str,
    note: str | None = None,
    *,
    user: str | None = None,
    chat_id: str = CHAT_ID,
    is_mistake: bool = True,
) -> httpx2.Response:
    body = {"is_mistake": is_mistake, "mistake_note": note}
    where = {"id": message_id, "conversation_id": chat_id}
    return await parley.client.patch(MESSAGES, params=where, json=body, headers=headers_of(user))


async def _list(parley: Parley) -> list[dict[str, Any]]:
    response = await parley.client.get(LIST, headers=headers_of("ann"))
    assert response.status_code == 200, response.text
    return response.json()["messages"]


def _lines(response: httpx2.Response) -> list[dict[str, Any]]:
    assert response.text.endswith("\n")
    return [json.loads(line) for line in response.text.removesuffix("\n").split("\n")]
