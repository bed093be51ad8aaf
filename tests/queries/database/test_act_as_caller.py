"""act_as_caller: who is let in. What they then see is in the tests of row-level security."""

import pytest

from lib.conversations.changes import FIND_CONVERSATION_SUMMARY
from lib.conversations.listing import ConversationSummary
from lib.database.acting import remember_user
from lib.database.statements import Call
from lib.identity.callers import Caller
from lib.problems import AccountInactive, AccountUnknown
from tests.support.steps.rows import Rows
from tests.support.steps.turns import Turns

ADA = Caller("ada", "ada@example.com")
LOCAL_ADA = Caller("ada", "ada@example.com", has_local_account=True)


async def test_a_user_who_was_never_seen_is_let_in_and_not_stored(turns: Turns, rows: Rows) -> None:
    assert await _look(turns, ADA) == []
    assert await _look(turns, Caller()) == []

    assert rows.run("SELECT id FROM users") == []


async def test_a_user_who_is_switched_off_is_refused_and_nothing_after_it_happens(
    turns: Turns, rows: Rows
) -> None:
    rows.run("INSERT INTO users (id, is_active) VALUES ('ada', FALSE)")

    for caller in (ADA, LOCAL_ADA):
        with pytest.raises(AccountInactive):
            await turns.database.run_as(caller, None, remember_user(caller))

    assert rows.run("SELECT email FROM users") == [(None,)]
    assert await _look(turns, Caller("eve")) == []


async def test_a_local_account_that_was_deleted_is_refused_and_not_made_again(
    turns: Turns, rows: Rows
) -> None:
    with pytest.raises(AccountUnknown):
        await turns.database.run_as(LOCAL_ADA, None, remember_user(LOCAL_ADA))

    assert rows.run("SELECT id FROM users") == []


async def test_a_local_account_that_is_there_is_let_in(turns: Turns, rows: Rows) -> None:
    rows.run("INSERT INTO users (id) VALUES ('ada')")

    assert await _look(turns, LOCAL_ADA) == []


async def test_a_refusal_leaves_the_connection_to_the_next_caller_as_it_was(
    turns: Turns, rows: Rows
) -> None:
    rows.run("INSERT INTO users (id, is_active) VALUES ('ada', FALSE)")
    with pytest.raises(AccountInactive):
        await _look(turns, ADA)

    # Outside of the wall, on that connection: what only its owner may do.
    assert turns.database.pool_metrics()["size"] == 1
    begun = await turns.begin(user_id="eve")
    assert (await _look(turns, Caller("eve")))[0].id == begun.conversation_id


@pytest.mark.parametrize("user_id", ["o'brien", 'a"b', "a\\b", "%s", "ключ", "a; DROP TABLE users"])
async def test_any_user_id_is_taken_as_it_is(turns: Turns, user_id: str) -> None:
    begun = await turns.begin(user_id=user_id)

    assert [each.id for each in await _look(turns, Caller(user_id))] == [begun.conversation_id]


async def _look(turns: Turns, caller: Caller) -> list[ConversationSummary]:
    return await turns.database.run_as(caller, None, _summary(turns, caller))


def _summary(turns: Turns, caller: Caller) -> Call[ConversationSummary]:
    return FIND_CONVERSATION_SUMMARY(
        conversation_id=turns.conversation_id,
        user_id=caller.user_id,
        retention_days=0,
        now=turns.now,
    )
