"""act_as_caller: who is let in. What they then see is in the tests of row-level security."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from lib.conversations.changes import FIND_CONVERSATION_SUMMARY
from lib.conversations.listing import ConversationDetails
from lib.database.acting import remember_user
from lib.database.statements import Call
from lib.identity.callers import Caller
from lib.problems import AccountInactive, AccountUnknown, Unauthenticated
from tests.support.steps.rows import Rows
from tests.support.steps.turns import Turns

ADA = Caller("ada", "ada@example.com")
SIGNED_OUT_AT = datetime(2026, 3, 4, 12, 0, 0, 123_456, tzinfo=UTC)
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


@pytest.mark.parametrize("user", [ADA, LOCAL_ADA], ids=["a user", "a local account"])
@pytest.mark.parametrize(
    ("issued_at", "is_let_in"),
    [
        (SIGNED_OUT_AT - timedelta(days=1), False),
        (SIGNED_OUT_AT - timedelta(microseconds=1), False),
        (SIGNED_OUT_AT, True),
        (SIGNED_OUT_AT + timedelta(days=1), True),
        (None, False),
    ],
)
async def test_a_token_issued_before_the_user_signed_out_everywhere_is_refused(
    turns: Turns, rows: Rows, user: Caller, issued_at: datetime | None, *, is_let_in: bool
) -> None:
    rows.run("INSERT INTO users (id, tokens_valid_from) VALUES ('ada', %s)", SIGNED_OUT_AT)
    caller = replace(user, token_issued_at=issued_at)

    if is_let_in:
        assert await _look(turns, caller) == []
        return
    with pytest.raises(Unauthenticated, match="Sign in again"):
        await turns.database.run_as(caller, None, remember_user(caller))
    assert rows.run("SELECT email FROM users") == [(None,)]


async def test_work_that_has_begun_goes_on_after_the_user_signed_out(
    turns: Turns, rows: Rows
) -> None:
    rows.run("INSERT INTO users (id, tokens_valid_from) VALUES ('ada', 'now')")

    assert await _look(turns, ADA.following()) == []


async def test_an_account_that_never_signed_out_takes_tokens_of_any_age(
    turns: Turns, rows: Rows
) -> None:
    rows.run("INSERT INTO users (id) VALUES ('ada')")

    assert await _look(turns, ADA) == []
    assert await _look(turns, replace(ADA, token_issued_at=datetime(1970, 1, 1, tzinfo=UTC))) == []


async def test_tokens_that_are_valid_from_infinity_are_all_refused(
    turns: Turns, rows: Rows
) -> None:
    rows.run("INSERT INTO users (id, tokens_valid_from) VALUES ('ada', 'infinity')")

    with pytest.raises(Unauthenticated):
        await _look(turns, replace(ADA, token_issued_at=SIGNED_OUT_AT))


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


async def _look(turns: Turns, caller: Caller) -> list[ConversationDetails]:
    return await turns.database.run_as(caller, None, _summary(turns, caller))


def _summary(turns: Turns, caller: Caller) -> Call[ConversationDetails]:
    return FIND_CONVERSATION_SUMMARY(
        conversation_id=turns.conversation_id,
        user_id=caller.user_id,
        retention_days=0,
        now=turns.now,
    )
