"""store_stream_batches: one statement for all answers of a process."""

from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

import pytest

from tests.support.steps.rows import Rows
from tests.support.steps.streams import Parts, Streams
from tests.support.steps.turns import LEASE_SECONDS, Turns

BATCHES = "SELECT first_part, part_count, parts FROM stream_batches ORDER BY first_part"
LEASE = "SELECT turn_expires_at FROM conversations"
EVERYBODYS = "SELECT user_id, conversation_id, turn_id, parts FROM stream_batches ORDER BY parts"


async def test_the_parts_of_an_answer_are_stored_batch_after_batch(
    turns: Turns, streams: Streams, rows: Rows
) -> None:
    begun = await turns.begin()

    first = await streams.store(begun, "abc")
    second = await streams.store(begun, "de", 3)

    assert (first.is_held, first.is_stopped, first.is_stored) == (True, False, True)
    assert second == first
    assert rows.run(BATCHES) == [(0, 3, "abc"), (3, 2, "de")]


async def test_batches_of_several_callers_are_stored_at_once_each_for_its_owner(
    turns: Turns, streams: Streams, rows: Rows
) -> None:
    begun = [
        await turns.begin(user_id=user_id, conversation_id=uuid4())
        for user_id in ("ada", "eve", None)
    ]

    standings = await streams.store_all(
        *[Parts(attempt, parts) for attempt, parts in zip(begun, "abc", strict=True)]
    )

    assert [standings[attempt.turn_id].is_stored for attempt in begun] == [True, True, True]
    assert rows.run(EVERYBODYS) == [
        (attempt.user_id, attempt.conversation_id, attempt.turn_id, parts)
        for attempt, parts in zip(begun, "abc", strict=True)
    ]


async def test_without_new_parts_nothing_is_stored_and_the_turns_standing_is_returned(
    turns: Turns, streams: Streams, rows: Rows
) -> None:
    quiet = await turns.begin()
    other = await turns.begin(conversation_id=uuid4())
    await streams.stop()

    standings = await streams.store_all(Parts(quiet, ""), Parts(other, "a"))

    standing = standings[quiet.turn_id]
    assert (standing.is_held, standing.is_stopped, standing.is_stored) == (True, True, False)
    assert rows.run(BATCHES) == [(0, 1, "a")]


async def test_a_batch_sent_again_with_more_parts_replaces_the_shorter_one(
    turns: Turns, streams: Streams, rows: Rows
) -> None:
    begun = await turns.begin()
    await streams.store(begun, "a")
    [(began_at,)] = rows.run("SELECT created_at FROM stream_batches")

    assert (await streams.store(begun, "abc")).is_stored

    assert rows.run(BATCHES) == [(0, 3, "abc")]
    assert rows.run("SELECT created_at FROM stream_batches") == [(began_at,)]


async def test_a_first_try_that_arrives_after_its_retry_removes_no_parts(
    turns: Turns, streams: Streams, rows: Rows
) -> None:
    begun = await turns.begin()
    await streams.store(begun, "abc")

    assert not (await streams.store(begun, "a")).is_stored

    assert rows.run(BATCHES) == [(0, 3, "abc")]


@pytest.mark.parametrize(
    ("lost", "lost_from", "missing"), [("= 2", 2, "cdef"), (">= 0", 0, "abcdef")]
)
async def test_no_batch_is_stored_behind_a_missing_one_and_the_attempt_learns_from_where_to_go_on(
    turns: Turns, streams: Streams, rows: Rows, lost: str, lost_from: int, missing: str
) -> None:
    begun = await turns.begin()
    await streams.store(begun, "ab")
    await streams.store(begun, "cd", 2)
    rows.run(f"DELETE FROM stream_batches WHERE first_part {lost}")

    outcome = await streams.store(begun, "ef", 4)

    assert (outcome.is_held, outcome.is_stored, outcome.lost_from) == (True, False, lost_from)
    assert (await streams.store(begun, missing, lost_from)).is_stored
    assert "".join(str(parts) for _, _, parts in rows.run(BATCHES)) == "abcdef"


async def test_the_transaction_of_batches_and_no_other_of_its_session_ends_without_the_disk(
    turns: Turns, streams: Streams, rows: Rows
) -> None:
    begun = await turns.begin()
    call = streams.store_call(Parts(begun, "abc"))
    rows.run("SET synchronous_commit = on")

    with rows.connection.transaction():
        rows.connection.execute(call.statement.sql, call.parameters)
        # As it is when the transaction ends.
        assert rows.run("SHOW synchronous_commit") == [("off",)]

    assert rows.run("SHOW synchronous_commit") == [("on",)]
    assert rows.run(BATCHES) == [(0, 3, "abc")]


async def test_an_attempt_that_lost_the_turn_stores_no_batch_and_learns_of_it(
    turns: Turns, streams: Streams, rows: Rows
) -> None:
    late = await turns.begin()
    await turns.release(late)
    await turns.begin()

    standing = await streams.store(late, "abc")

    assert (standing.is_held, standing.is_stored) == (False, False)
    assert rows.run(BATCHES) == []


async def test_an_attempt_past_its_lease_holds_the_turn_until_another_takes_it(
    turns: Turns, streams: Streams
) -> None:
    begun = await turns.begin()
    turns.wait(seconds=LEASE_SECONDS + 1)

    standing = await streams.store(begun, "abc")

    assert (standing.is_held, standing.is_stored) == (True, True)


async def test_no_batch_is_stored_for_a_finished_released_or_deleted_turn(
    turns: Turns, streams: Streams, rows: Rows
) -> None:
    begun = [await turns.begin(conversation_id=uuid4()) for _ in range(3)]
    finished, released, deleted = begun
    await turns.finish(finished)
    await turns.release(released)
    rows.run("DELETE FROM conversations WHERE id = %s", deleted.conversation_id)

    standings = await streams.store_all(*[Parts(attempt, "abc") for attempt in begun])

    assert {(attempt.is_held, attempt.is_stored) for attempt in standings.values()} == {
        (False, False)
    }
    assert rows.run(BATCHES) == []


@pytest.mark.parametrize("user_id", ["eve", None])
async def test_the_token_of_another_callers_turn_stores_no_batch(
    turns: Turns, streams: Streams, rows: Rows, user_id: str | None
) -> None:
    begun = await turns.begin(user_id="ada")
    await streams.stop("ada")

    standing = await streams.store(replace(begun, user_id=user_id), "abc")

    assert (standing.is_held, standing.is_stopped, standing.is_stored) == (False, False, False)
    assert rows.run(BATCHES) == []


async def test_a_callers_own_token_stores_no_batch_in_another_callers_conversation(
    turns: Turns, streams: Streams, rows: Rows
) -> None:
    of_ada = await turns.begin(user_id="ada")
    of_eve = await turns.begin(user_id="eve", conversation_id=uuid4())

    forged = [
        replace(of_eve, conversation_id=of_ada.conversation_id),
        replace(of_ada, turn_id=of_eve.turn_id),
    ]

    for attempt in forged:
        assert not (await streams.store(attempt, "abc")).is_held
    assert rows.run(BATCHES) == []


async def test_a_stopped_turn_does_not_stop_the_next_one(turns: Turns, streams: Streams) -> None:
    first = await turns.begin()
    await streams.stop()
    assert (await streams.store(first, "a")).is_stopped
    await turns.finish(first, finish_reason="aborted")

    second = await turns.begin("And?", message_id="question-2")

    assert not (await streams.store(second, "a")).is_stopped


async def test_store_stream_batches_does_not_wait_for_a_locked_conversation(
    turns: Turns, streams: Streams, rows: Rows
) -> None:
    decided = await turns.begin()
    other = await turns.begin(conversation_id=uuid4())
    lock = "SELECT FROM conversations WHERE id = %(id)s FOR NO KEY UPDATE"
    async with rows.uncommitted(lock, {"id": decided.conversation_id}):
        standings = await streams.store_all(Parts(decided, "abc"), Parts(other, "d"))

    left_out = standings[decided.turn_id]
    assert (left_out.is_held, left_out.is_stored) == (True, False)
    assert standings[other.turn_id].is_stored
    assert (await streams.store(decided, "abcd")).is_stored


async def test_a_lease_is_prolonged_as_soon_as_less_than_half_of_it_is_left(
    turns: Turns, streams: Streams, rows: Rows
) -> None:
    begun = await turns.begin(lease_seconds=20.0)
    first_end = turns.now + timedelta(seconds=20)

    turns.wait(seconds=10)
    await streams.store_all(Parts(begun, "a", 0, lease_seconds=20.0))
    assert rows.run(LEASE) == [(first_end,)]

    turns.wait(seconds=1)
    await streams.store_all(Parts(begun, "b", 1, lease_seconds=20.0))
    assert rows.run(LEASE) == [(turns.now + timedelta(seconds=20),)]
    assert rows.run(BATCHES) == [(0, 1, "a"), (1, 1, "b")]


async def test_the_lease_of_an_answer_without_new_parts_is_prolonged(
    turns: Turns, streams: Streams, rows: Rows
) -> None:
    begun = await turns.begin(lease_seconds=20.0)
    turns.wait(seconds=15)

    outcomes = await streams.store_all(Parts(begun, "", lease_seconds=20.0))

    outcome = outcomes[begun.turn_id]
    assert (outcome.is_held, outcome.is_stored) == (True, False)
    assert rows.run(LEASE) == [(turns.now + timedelta(seconds=20),)]
    assert rows.run(BATCHES) == []


async def test_a_lease_that_is_prolonged_up_to_the_deadline_is_prolonged_no_more(
    turns: Turns, streams: Streams, rows: Rows
) -> None:
    begun = await turns.begin(lease_seconds=20.0)
    deadline = turns.now + timedelta(seconds=25)

    for _ in range(5):
        turns.wait(seconds=5)
        remaining = (deadline - turns.now).total_seconds()
        await streams.store_all(Parts(begun, "", lease_seconds=min(20.0, remaining)))

    assert rows.run(LEASE) == [(deadline,)]


async def test_an_attempt_past_its_lease_gets_it_back_if_no_other_took_the_turn(
    turns: Turns, streams: Streams, rows: Rows
) -> None:
    begun = await turns.begin(lease_seconds=20.0)
    turns.wait(seconds=30)

    await streams.store_all(Parts(begun, "", lease_seconds=20.0))

    assert rows.run(LEASE) == [(turns.now + timedelta(seconds=20),)]
    assert (await turns.begin("Other", message_id="question-2")).verdict == "turn_in_progress"


async def test_an_attempt_that_lost_the_turn_prolongs_no_lease(
    turns: Turns, streams: Streams, rows: Rows
) -> None:
    late = await turns.begin(lease_seconds=20.0)
    await turns.release(late)
    await turns.begin(lease_seconds=20.0)
    lease = rows.run(LEASE)
    turns.wait(seconds=15)

    await streams.store_all(Parts(late, "", lease_seconds=20.0))

    assert rows.run(LEASE) == lease


@pytest.mark.parametrize("user_id", ["eve", None])
async def test_the_token_of_another_callers_turn_prolongs_no_lease(
    turns: Turns, streams: Streams, rows: Rows, user_id: str | None
) -> None:
    begun = await turns.begin(user_id="ada", lease_seconds=20.0)
    lease = rows.run(LEASE)
    turns.wait(seconds=15)

    forged = replace(begun, user_id=user_id)
    await streams.store_all(Parts(forged, "", lease_seconds=20.0))

    assert rows.run(LEASE) == lease


async def test_a_lease_of_a_locked_conversation_is_prolonged_by_the_next_batch(
    turns: Turns, streams: Streams, rows: Rows
) -> None:
    begun = await turns.begin(lease_seconds=20.0)
    lease = rows.run(LEASE)
    turns.wait(seconds=15)
    batch = Parts(begun, "", lease_seconds=20.0)
    lock = "SELECT FROM conversations WHERE id = %(id)s FOR NO KEY UPDATE"

    async with rows.uncommitted(lock, {"id": begun.conversation_id}):
        await streams.store_all(batch)
        assert rows.run(LEASE) == lease
    await streams.store_all(batch)

    assert rows.run(LEASE) == [(turns.now + timedelta(seconds=20),)]


async def test_only_the_leases_that_are_due_are_prolonged(
    turns: Turns, streams: Streams, rows: Rows
) -> None:
    old = await turns.begin(lease_seconds=20.0)
    turns.wait(seconds=15)
    young = await turns.begin(conversation_id=uuid4(), lease_seconds=20.0)
    turns.wait(seconds=1)

    await streams.store_all(*[Parts(each, "a", lease_seconds=20.0) for each in (old, young)])

    by_id = "SELECT turn_expires_at FROM conversations WHERE id = %s"
    assert rows.run(by_id, old.conversation_id) == [(turns.now + timedelta(seconds=20),)]
    assert rows.run(by_id, young.conversation_id) == [(turns.now + timedelta(seconds=19),)]
