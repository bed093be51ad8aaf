"""release_turn."""

from dataclasses import replace

from tests.queries.rows import Rows
from tests.queries.turns import LEASE_SECONDS, Turns


async def test_the_turn_is_free_for_the_next_message_and_nothing_else_changes(
    turns: Turns, rows: Rows
) -> None:
    begun = await turns.begin()

    assert await turns.release(begun)

    turn = "turn_id, turn_message_id, turn_expires_at, updated_at"
    assert rows.run(f"SELECT {turn} FROM conversations") == [(None, None, None, turns.now)]
    assert rows.said(turns.conversation_id) == ["Hello!"]
    assert (await turns.begin("And you?", message_id="question-2")).verdict == "taken"


async def test_a_turn_that_another_attempt_has_taken_over_is_not_given_back(
    turns: Turns, rows: Rows
) -> None:
    late = await turns.begin()
    turns.wait(seconds=LEASE_SECONDS)
    again = await turns.begin()

    assert not await turns.release(late)
    assert rows.run("SELECT turn_id FROM conversations") == [(again.turn_id,)]


async def test_nobody_gives_back_the_turn_of_somebody_else(turns: Turns, rows: Rows) -> None:
    begun = await turns.begin(user_id="ada")

    for intruder in ("eve", None):
        assert not await turns.release(replace(begun, user_id=intruder))
    assert rows.run("SELECT turn_id FROM conversations") == [(begun.turn_id,)]
