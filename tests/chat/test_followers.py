"""A follower of another process's answer goes on while readers may come."""

import asyncio
import time

import pytest

import lib.answers.follow
from lib.answers.follow import Follower, follow, read_stream
from lib.database.client import database as product_database
from lib.http.ids import conversation_id_of
from lib.identity.callers import Caller
from tests.support.model_server import Reply, ScriptedModel
from tests.support.product import CHAT_ID, Parley
from tests.support.reading import sending, until

ANN = Caller(user_id="ann")


@pytest.mark.usefixtures("elsewhere")
async def test_a_follower_goes_on_for_a_reader_that_comes_at_the_last_moment(
    parley: Parley, model: ScriptedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lib.answers.follow, "READERLESS_SECONDS", 1.1)
    model.replies = [Reply(hangs_after=2)]
    first = sending(parley.client, user="ann")
    await first.has("how")
    follower = await _follow()

    # Each time a reader is about to come.
    until_then = time.monotonic() + 2.5
    while time.monotonic() < until_then:
        await asyncio.sleep(0.05)
        assert await _follow() is follower

    # Without readers the follower ends.
    await until(lambda: not lib.answers.follow._followers)
    await first.leave()


async def _follow() -> Follower:
    conversation_id = conversation_id_of(CHAT_ID, ANN)
    rows = await read_stream(product_database(), ANN, conversation_id)
    return follow(product_database(), ANN, conversation_id, rows[0].turn_id, rows)
