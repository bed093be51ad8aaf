"""The export and the end of an account work on the customer's own `users` and `tasks`."""

import json
from collections.abc import AsyncGenerator

import pytest

from tests.migrations.test_existing_tables import TASKS, USERS_THAT_SERVE
from tests.support.product import Parley, headers_of, running_product
from tests.support.servers import Site
from tests.support.serving import Switchboard

# As an application would have them whose ids are all UUIDs.
TASKS_WITH_UUIDS = (
    TASKS.replace("serial PRIMARY KEY", "uuid PRIMARY KEY DEFAULT gen_random_uuid()")
    + "INSERT INTO tasks (user_id, title) SELECT 'ada', n FROM generate_series(1, 450) AS n;"
)
TABLES = {
    **{name: users + TASKS for name, users in USERS_THAT_SERVE.items()},
    "tasks with UUIDs": USERS_THAT_SERVE["an id and nothing else"] + TASKS_WITH_UUIDS,
    "no tasks": USERS_THAT_SERVE["an id and nothing else"],
}


@pytest.fixture(params=TABLES.values(), ids=list(TABLES))
async def parley(
    request: pytest.FixtureRequest,
    site: Site,
    switchboard: Switchboard,
    environment: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncGenerator[Parley]:
    """Return the product, on tables of the customer's; Ada has said something."""
    site.run(request.param)
    site.migrate()
    site.run("INSERT INTO tasks (user_id, title) SELECT id || '', 'Of Ada' FROM users")
    whole = environment | {"DATABASE_URL": site.url}
    async with running_product(switchboard, monkeypatch, whole) as running:
        assert (await running.say("Hello!", user="ada")).status_code == 200
        yield running


async def test_the_export_has_the_rows_of_the_customers_tables_but_no_unknown_columns_of_users(
    parley: Parley, site: Site
) -> None:
    response = await parley.client.get("/api/conversations?export=true", headers=headers_of("ada"))

    *lines, end = [json.loads(line) for line in response.text.splitlines()]
    assert end == {"type": "end", "complete": True}
    kinds = [line["type"] for line in lines]
    assert [kind for kind in kinds if kind != "task"] == [
        "user", "conversation", "message", "message", "finished_stream",
    ]  # fmt: skip
    assert lines[0]["id"] == "ada"
    assert "plan" not in lines[0]
    tasks = [{**line} for line in lines if line.pop("type") == "task"]
    assert sorted(tasks, key=str) == sorted(
        [row for (row,) in site.rows("SELECT to_jsonb(tasks) FROM tasks")], key=str
    )


async def test_who_leaves_leaves_nothing_behind_but_the_customers_row(
    parley: Parley, site: Site
) -> None:
    before = site.rows("SELECT * FROM users")

    response = await parley.client.delete("/api/auth", headers=headers_of("ada"))

    assert response.status_code == 204
    assert site.rows("SELECT * FROM users") == before
    streams = ("stream_batches", "finished_streams")
    settings = ("known_networks", "user_settings")
    for table in ("conversations", "chat_messages", "tasks", "quotas", *settings, *streams):
        assert site.rows(f"SELECT count(*) FROM {table}") == [(0,)], table
