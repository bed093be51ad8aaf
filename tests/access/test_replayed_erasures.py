"""A backup brings back data that was erased after it; the log's lines erase it again."""

import json
import os
import subprocess
import sys
from collections.abc import Iterable, Mapping

import psycopg
import pytest

from dev.postgres import programs
from tests.support.access.catalog import snapshot_query
from tests.support.logs import events_of
from tests.support.product import ROOT, Parley, headers_of, id_of

ANN, BOB = "ann@example.com", "bob"
GUESTS, OTHER_GUESTS = id_of("a guest"), id_of("another guest")


@pytest.fixture(autouse=True)
def _whole_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", logger="parley")


def restore(origin: str, target: str) -> None:
    """Dump a database, and restore it into an empty one."""
    dump = subprocess.run(
        [programs() / "pg_dump", "--no-owner", origin], check=True, capture_output=True
    )
    psql = [programs() / "psql", target, "-X", "-q", "-1", "-v", "ON_ERROR_STOP=1"]
    subprocess.run(psql, input=dump.stdout, check=True, capture_output=True)


def replay(
    url: str, lines: Iterable[str], environment: Mapping[str, str]
) -> subprocess.CompletedProcess[str]:
    """Run the command that docs/privacy.md tells an operator to run."""
    return subprocess.run(
        [sys.executable, "-m", "dev.replay_erasures", url],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], **environment},
        input="\n".join(lines),
        capture_output=True,
        check=False,
        text=True,
    )


def lines_of(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return the whole log, as the functions wrote it."""
    return [record.getMessage() for record in caplog.records if record.name == "parley"]


def rows_of(url: str) -> list[str]:
    """Return all rows of all tables, each as a text."""
    with psycopg.connect(url) as database:
        return [row for (row,) in database.execute(snapshot_query(database)).fetchall()]


async def fill(parley: Parley) -> None:
    """Store conversations of two users and of guests, and tasks."""
    for user in (ANN, BOB):
        for name in ("kept", "doomed"):
            said = await parley.say(f"{name} of {user}", user=user, conversation_id=f"{name}-1")
            assert said.status_code == 200
            task = {"title": f"task {name} of {user}"}
            added = await parley.client.post("/api/tasks", json=task, headers=headers_of(user))
            assert added.status_code == 201
    for name in (GUESTS, OTHER_GUESTS):
        assert (await parley.say(f"by {name}", conversation_id=name)).status_code == 200


async def erase(parley: Parley, path: str, user: str | None = None) -> None:
    """Send a DELETE that must succeed."""
    response = await parley.client.delete(path, headers=headers_of(user))
    assert response.status_code == 204, response.text


async def test_what_was_erased_after_a_backup_is_erased_again_after_its_restore(
    parley: Parley,
    database_url: str,
    empty_database_url: str,
    environment: dict[str, str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    await fill(parley)
    restore(database_url, empty_database_url)
    [task] = [
        task["id"]
        for task in (await parley.get("/api/tasks", user=BOB)).json()["tasks"]
        if "doomed" in task["title"]
    ]
    await erase(parley, f"/api/conversations?id={GUESTS}")
    await erase(parley, "/api/conversations?id=doomed-1", BOB)
    await erase(parley, f"/api/tasks?id={task}", BOB)
    await erase(parley, "/api/auth", ANN)
    # The backup has all of it.
    everything = "\n".join(rows_of(empty_database_url))
    assert all(word in everything for word in ("doomed of bob", f"by {GUESTS}", ANN))

    done = replay(empty_database_url, lines_of(caplog), environment)

    assert done.returncode == 0, done.stderr
    left = "\n".join(rows_of(empty_database_url))
    assert not any(word in left for word in ("doomed of bob", f"by {GUESTS}", ANN))
    for word in ("kept of bob", "task kept of bob", f"by {OTHER_GUESTS}"):
        assert word in left
    # As much is left as in the database that was never restored.
    assert len(rows_of(empty_database_url)) == len(rows_of(database_url))
    again = replay(empty_database_url, lines_of(caplog), environment)
    assert again.stdout.endswith("erased again: conversations 0, tasks 0, users 0\n")


async def test_deleting_all_conversations_of_a_user_is_replayed_for_each_of_them(
    parley: Parley,
    database_url: str,
    empty_database_url: str,
    environment: dict[str, str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    await fill(parley)
    restore(database_url, empty_database_url)
    await erase(parley, "/api/conversations?all=true", BOB)

    done = replay(empty_database_url, lines_of(caplog), environment)

    assert "erased again: conversations 2, tasks 0, users 0" in done.stdout
    left = "\n".join(rows_of(empty_database_url))
    assert "kept of bob" not in left.replace("task kept of bob", "")
    assert "task kept of bob" in left


async def test_a_conversation_or_a_user_that_came_back_after_the_erasure_stays(
    parley: Parley,
    database_url: str,
    empty_database_url: str,
    environment: dict[str, str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    await fill(parley)
    await erase(parley, f"/api/conversations?id={GUESTS}")
    await erase(parley, "/api/auth", ANN)
    await parley.say("once more", conversation_id=GUESTS)
    await parley.say("back again", user=ANN)
    restore(database_url, empty_database_url)
    before = rows_of(empty_database_url)

    done = replay(empty_database_url, lines_of(caplog), environment)

    assert "erased again: conversations 0, tasks 0, users 0" in done.stdout
    assert sorted(rows_of(empty_database_url)) == sorted(before)


async def test_lines_of_other_secrets_are_reported_and_erase_nothing(
    parley: Parley,
    database_url: str,
    empty_database_url: str,
    environment: dict[str, str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    await fill(parley)
    restore(database_url, empty_database_url)
    await erase(parley, "/api/auth", ANN)
    other = environment | {"JWT_SECRET": "another secret of at least 32 bytes, later"}

    done = replay(empty_database_url, lines_of(caplog), other)

    assert done.returncode == 1
    # Of the two conversations, in one batch, and of the user.
    assert "2 lines were written under other secrets" in done.stderr
    assert ANN in "\n".join(rows_of(empty_database_url))


async def test_lines_that_a_log_drain_wrapped_are_read(
    parley: Parley,
    database_url: str,
    empty_database_url: str,
    environment: dict[str, str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    await fill(parley)
    restore(database_url, empty_database_url)
    await erase(parley, f"/api/conversations?id={GUESTS}")
    await erase(parley, "/api/conversations?id=doomed-1", BOB)
    first, second = [line for line in lines_of(caplog) if '"erased"' in line]
    wrapped = [f"2026-12-01T00:00:00Z stdout {first}", json.dumps({"message": second, "level": 1})]

    done = replay(empty_database_url, wrapped, environment)

    assert "erased again: conversations 2" in done.stdout, done.stderr


async def test_the_lines_of_erasures_hold_no_id_and_no_address(
    parley: Parley, caplog: pytest.LogCaptureFixture, database: psycopg.Connection
) -> None:
    await fill(parley)
    ids = [str(row[0]) for row in database.execute("SELECT id FROM conversations").fetchall()]
    await erase(parley, f"/api/conversations?id={GUESTS}")
    await erase(parley, "/api/auth", ANN)

    events = events_of(caplog, "erased")
    assert [event["what"] for event in events] == ["conversation", "conversation", "user"]
    text = json.dumps(events)
    assert not any(secret in text for secret in (*ids, ANN, GUESTS))


async def test_a_refused_erasure_writes_no_line(
    parley: Parley, caplog: pytest.LogCaptureFixture
) -> None:
    await fill(parley)

    refused = await parley.client.delete("/api/conversations?id=kept-2", headers=headers_of(BOB))

    assert refused.status_code == 404
    assert events_of(caplog, "erased") == []
