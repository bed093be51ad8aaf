"""/api/tasks: list, add, change and delete tasks."""

import json
from typing import Any

import httpx2
import psycopg
import pytest

from lib.database.acting import remember_user
from lib.database.client import database as shared_database
from lib.http.cursors import encode_cursor
from lib.identity.callers import Caller
from lib.users.bodies import NewTask
from lib.users.tasks import add_task_call
from tests.support.product import Parley, headers_of, problem_of, rows_stored

TASKS = "/api/tasks"
METHODS = ("GET", "POST", "PATCH", "DELETE")


async def test_a_task_is_added_and_listed(parley: Parley) -> None:
    response = await _send(parley, "POST", {"title": "Buy milk", "description": "Two litres"})

    assert response.status_code == 201
    task = response.json()
    assert task.keys() == {
        "id", "title", "description", "completed", "created_at", "updated_at",
    }  # fmt: skip
    assert (task["title"], task["description"]) == ("Buy milk", "Two litres")
    assert task["completed"] is False
    assert task["created_at"] == task["updated_at"]
    assert await _list(parley) == [task]


async def test_a_user_with_a_thousand_tasks_gets_no_further_one_and_others_do(
    parley: Parley, database: psycopg.Connection
) -> None:
    await _add(parley, "Buy milk")
    database.execute("""
        INSERT INTO tasks (user_id, title)
        SELECT tasks.user_id, 'Task ' || number FROM tasks, generate_series(1, 999) AS number
    """)
    before = rows_stored(database)

    refused = await _send(parley, "POST", {"title": "Buy cream"})

    problem_of(refused, 409, "tasks_full")
    assert rows_stored(database) == before
    other = await parley.client.post(TASKS, json={"title": "Mine"}, headers=headers_of("eve"))
    assert other.status_code == 201


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"title": "Buy cream"}, {"title": "Buy cream"}),
        ({"description": ""}, {"description": ""}),
        ({"completed": True}, {"completed": True}),
        ({"title": None, "completed": True}, {"completed": True}),
    ],
    ids=str,
)
async def test_only_the_given_fields_of_a_task_change(
    parley: Parley, changes: dict[str, Any], expected: dict[str, Any]
) -> None:
    task = await _add(parley, "Buy milk", description="Two litres")

    response = await _send(parley, "PATCH", changes, id=task["id"])

    assert response.status_code == 200
    changed = response.json()
    assert changed["updated_at"] > task["updated_at"]
    assert changed == task | expected | {"updated_at": changed["updated_at"]}
    assert await _list(parley) == [changed]


async def test_a_task_that_was_deleted_is_not_found_again(parley: Parley) -> None:
    task = await _add(parley, "Buy milk")

    first = await _send(parley, "DELETE", id=task["id"])

    assert (first.status_code, first.content) == (204, b"")
    problem_of(await _send(parley, "DELETE", id=task["id"]), 404, "not_found")
    assert await _list(parley) == []


async def test_completed_and_open_tasks_are_listed_separately(parley: Parley) -> None:
    done, to_do = await _add(parley, "Done"), await _add(parley, "To do")
    await _send(parley, "PATCH", {"completed": True}, id=done["id"])

    assert [task["id"] for task in await _list(parley, completed="true")] == [done["id"]]
    assert [task["id"] for task in await _list(parley, completed="false")] == [to_do["id"]]


async def test_pages_of_tasks_follow_one_another_to_the_last(parley: Parley) -> None:
    for number in range(5):
        await _add(parley, f"Task {number}")

    seen, cursor = list[str](), dict[str, str]()
    while True:
        page = (await parley.get(TASKS, user="ann", limit=2, **cursor)).json()
        seen += [task["title"] for task in page["tasks"]]
        if page["next_cursor"] is None:
            break
        cursor = {"cursor": page["next_cursor"]}

    assert seen == [f"Task {number}" for number in (4, 3, 2, 1, 0)]


async def test_a_cursor_of_another_users_list_shows_none_of_its_tasks(parley: Parley) -> None:
    task = await _add(parley, "Ann's", user="ann")
    await _add(parley, "Bob's", user="bob")

    page = (await parley.get(TASKS, user="bob", cursor=encode_cursor(task["id"] + 1))).json()

    assert page == {"tasks": [], "next_cursor": None}


@pytest.mark.parametrize(("method", "body"), [("PATCH", {"title": "Mine"}), ("DELETE", None)])
async def test_another_users_task_and_a_missing_one_look_the_same(
    parley: Parley, method: str, body: dict[str, Any] | None
) -> None:
    task = await _add(parley, "Buy milk", user="ann")
    await _add(parley, "Bob's", user="bob")

    answers = [
        problem_of(await _send(parley, method, body, user="bob", id=number), 404, "not_found")
        for number in (task["id"], 999, 2**31, 2**63 - 1)
    ]

    assert answers == [answers[0]] * 4
    assert await _list(parley, user="ann") == [task]


@pytest.mark.parametrize("method", METHODS)
async def test_tasks_need_a_signed_in_user(
    parley: Parley, database: psycopg.Connection, method: str
) -> None:
    problem_of(await _send(parley, method, {"title": "x"}, user=None, id=1), 401, "unauthenticated")

    assert rows_stored(database) == 0


@pytest.mark.parametrize("method", METHODS)
async def test_a_switched_off_user_reaches_no_tasks(
    parley: Parley, database: psycopg.Connection, method: str
) -> None:
    task = await _add(parley, "Buy milk")
    database.execute("UPDATE users SET is_active = FALSE")

    response = await _send(parley, method, {"title": "x"}, id=task["id"])

    problem_of(response, 403, "account_inactive")
    assert database.execute("SELECT title FROM tasks").fetchall() == [("Buy milk",)]


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({}, ["title"]),
        ({"title": None}, ["title"]),
        ({"title": 5}, ["title"]),
        ({"title": ""}, ["title"]),
        ({"title": " \n\t\u2003"}, ["title"]),
        ({"title": "x" * 201}, ["title"]),
        ({"title": "😀" * 201}, ["title"]),
        ({"title": "a\0b"}, ["title"]),
        ({"title": "a\ud800"}, ["title"]),
        ({"title": "x", "description": "x" * 1001}, ["description"]),
        ({"title": "x", "description": "a\0b"}, ["description"]),
        ({"title": "x", "description": None}, ["description"]),
        ({"title": "", "description": 5}, ["title", "description"]),
    ],
    ids=lambda value: ascii(value)[:40],
)
async def test_each_wrong_field_of_a_new_task_is_named(
    parley: Parley, body: dict[str, Any], fields: list[str]
) -> None:
    assert _fields(await _send(parley, "POST", body)) == fields


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({}, [""]),
        ({"title": None, "completed": None}, [""]),
        ({"id": 5}, [""]),
        ({"title": ""}, ["title"]),
        ({"title": "x" * 201}, ["title"]),
        ({"description": "x" * 1001}, ["description"]),
        ({"completed": "perhaps"}, ["completed"]),
        ({"completed": 2}, ["completed"]),
        ({"completed": 1}, ["completed"]),
        ({"completed": "true"}, ["completed"]),
    ],
    ids=lambda value: ascii(value)[:40],
)
async def test_each_wrong_field_of_a_tasks_change_is_named(
    parley: Parley, body: dict[str, Any], fields: list[str]
) -> None:
    task = await _add(parley, "Buy milk")

    assert _fields(await _send(parley, "PATCH", body, id=task["id"])) == fields
    assert await _list(parley) == [task]


@pytest.mark.parametrize("method", ["PATCH", "DELETE"])
@pytest.mark.parametrize("number", ["", "x", "-1", "1.5", str(2**63), "9" * 5000, "1&id=1"])
async def test_an_invalid_task_id_is_refused(parley: Parley, method: str, number: str) -> None:
    url = f"{TASKS}?id={number}"
    response = await parley.client.request(
        method, url, json={"title": "x"}, headers=headers_of("ann")
    )

    assert _fields(response) == ["id"]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("completed=perhaps", "completed"),
        ("completed=", "completed"),
        ("completed=1", "completed"),
        ("completed=on", "completed"),
        ("completed=true&completed=true", "completed"),
        ("limit=0", "limit"),
        ("limit=201", "limit"),
        ("cursor=garbage", "cursor"),
        (f"cursor={encode_cursor(2**63)}", "cursor"),
        (f"cursor={encode_cursor(1, 2)}", "cursor"),
    ],
)
async def test_each_wrong_parameter_of_the_list_of_tasks_is_named(
    parley: Parley, query: str, field: str
) -> None:
    response = await parley.client.get(f"{TASKS}?{query}", headers=headers_of("ann"))

    assert _fields(response) == [field]


async def test_the_limits_of_a_tasks_texts_count_characters_not_bytes(
    parley: Parley,
) -> None:
    task = await _add(parley, "😀" * 200, description="😀" * 1000)

    assert (task["title"], task["description"]) == ("😀" * 200, "😀" * 1000)


async def test_a_tasks_title_becomes_one_line_before_its_length_counts(parley: Parley) -> None:
    assert (await _add(parley, "  Buy\n\n milk\t"))["title"] == "Buy milk"
    assert (await _add(parley, " " + "x" * 200 + " "))["title"] == "x" * 200


async def test_a_task_sent_again_after_a_lost_connection_is_stored_once(parley: Parley) -> None:
    ann = Caller("ann")
    call = add_task_call(ann, NewTask(title="Buy milk"))

    for _ in range(3):
        await shared_database().run_as(ann, None, remember_user(ann), call)

    assert [task["title"] for task in await _list(parley)] == ["Buy milk"]


async def test_a_task_added_twice_by_its_user_is_stored_twice(parley: Parley) -> None:
    await _add(parley, "Buy milk")
    await _add(parley, "Buy milk")

    assert len(await _list(parley)) == 2


async def test_tasks_do_not_expire(parley: Parley, database: psycopg.Connection) -> None:
    await _add(parley, "Buy milk")
    database.execute("UPDATE tasks SET created_at = '2000-01-01Z', updated_at = '2000-01-01Z'")

    assert [task["title"] for task in await _list(parley)] == ["Buy milk"]


async def _send(
    parley: Parley,
    method: str,
    body: dict[str, Any] | None = None,
    *,
    user: str | None = "ann",
    **query: Any,
) -> httpx2.Response:
    # Not `json=`: the client could not encode a lone surrogate.
    content = None if body is None else json.dumps(body)
    headers = headers_of(user) | {"content-type": "application/json"}
    return await parley.client.request(
        method, TASKS, params=query, headers=headers, content=content
    )


async def _add(parley: Parley, title: str, *, user: str = "ann", **more: str) -> dict[str, Any]:
    response = await _send(parley, "POST", {"title": title} | more, user=user)
    assert response.status_code == 201, response.text
    return response.json()


async def _list(parley: Parley, *, user: str = "ann", **query: str) -> list[dict[str, Any]]:
    response = await parley.get(TASKS, user=user, **query)
    assert response.status_code == 200, response.text
    return response.json()["tasks"]


def _fields(response: httpx2.Response) -> list[str]:
    problem = problem_of(response, 422, "invalid_request")
    assert all(error["detail"] for error in problem["errors"])
    return [error["field"] for error in problem["errors"]]
