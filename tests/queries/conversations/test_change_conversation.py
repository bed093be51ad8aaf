"""change_conversation."""

from typing import Any
from uuid import UUID

import pytest

from lib.conversations.changes import CHANGE_CONVERSATION
from tests.support.steps.rows import Rows
from tests.support.steps.turns import NOON, Turns, act_as


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"title": "Renamed"}, ("Renamed", "active")),
        ({"status": "archived"}, ("A title", "archived")),
        ({"title": "Renamed", "status": "archived"}, ("Renamed", "archived")),
        ({}, ("A title", "active")),
    ],
)
@pytest.mark.parametrize("user_id", ["ada", None])
async def test_only_the_given_fields_of_a_conversation_change(
    turns: Turns,
    rows: Rows,
    changes: dict[str, str],
    expected: tuple[str, str],
    user_id: str | None,
) -> None:
    await turns.exchange(1, user_id=user_id)
    turns.wait(days=1)

    assert await _change(turns, user_id, **changes) == [turns.conversation_id]

    assert rows.run("SELECT title, status FROM conversations") == [expected]
    assert rows.run("SELECT created_at, updated_at FROM conversations") == [(NOON, NOON)]


@pytest.mark.parametrize(
    ("given", "expected"), [("Be long.", "Be long."), ("", None), (None, "Be brief.")]
)
async def test_instructions_are_set_removed_or_left_as_they_are(
    turns: Turns, rows: Rows, given: str | None, expected: str | None
) -> None:
    await turns.exchange(1, user_id="ada")
    await _change(turns, "ada", instructions="Be brief.")

    await _change(turns, "ada", instructions=given)

    assert rows.run("SELECT title, instructions FROM conversations") == [("A title", expected)]


async def test_changing_a_conversation_does_not_disturb_its_running_turn(turns: Turns) -> None:
    begun = await turns.begin(user_id="ada")

    await _change(turns, "ada", title="Renamed", status="archived")

    assert await turns.finish(begun)


@pytest.mark.parametrize(("owner", "intruder"), [("ada", "eve"), ("ada", None), (None, "eve")])
async def test_another_callers_conversation_is_not_changed(
    turns: Turns, rows: Rows, owner: str | None, intruder: str | None
) -> None:
    await turns.begin(user_id=owner)

    assert await _change(turns, intruder, title="Mine") == []

    assert rows.run("SELECT title FROM conversations") == [("A title",)]


@pytest.mark.parametrize(("retention_days", "is_there"), [(29, False), (30, True), (0, True)])
async def test_an_expired_conversation_is_not_changed(
    turns: Turns, retention_days: int, *, is_there: bool
) -> None:
    await turns.begin(user_id="ada")
    turns.wait(days=30)

    changed = await _change(turns, "ada", title="Late", retention_days=retention_days)

    assert bool(changed) is is_there


async def _change(turns: Turns, user_id: str | None, **parameters: Any) -> list[UUID]:
    defaults: dict[str, object] = {
        "conversation_id": turns.conversation_id,
        "user_id": user_id,
        "title": None,
        "status": None,
        "instructions": None,
        "retention_days": 30,
        "now": turns.now,
    }
    _, changed = await turns.database.run(
        act_as(user_id, turns.conversation_id), CHANGE_CONVERSATION(**defaults | parameters)
    )
    return [row.id for row in changed]
