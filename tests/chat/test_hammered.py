"""Many retries around the moment at which an answer is stored: the snapshot trap of begin_turn.

HAMMER_ROUNDS=200 python -m pytest tests/chat/test_hammered.py  for the long run.
"""

import asyncio
import os
import random

import httpx2
import psycopg

from tests.support.model_server import Reply, ScriptedModel
from tests.support.product import Parley, id_of, text_of

ROUNDS = int(os.environ.get("HAMMER_ROUNDS", "10"))
RETRIES = 40


async def test_retries_around_the_moment_of_storing_make_one_answer(
    parley: Parley, model: ScriptedModel, database: psycopg.Connection
) -> None:
    model.choose = lambda body: Reply(pieces=(f"[{body['messages'][-1]['content']}]",))

    for number in range(ROUNDS):
        responses = await asyncio.gather(
            parley.send(f"{number}", chat_id=id_of(number)),
            *(_retry(parley, number) for _ in range(RETRIES)),
        )

        assert {text_of(response) for response in responses} == {f"[{number}]"}

    assert len(model.requests) == ROUNDS
    stored = database.execute("SELECT count(*), count(DISTINCT reply_to) FROM chat_messages")
    assert stored.fetchone() == (2 * ROUNDS, ROUNDS)


async def test_retries_at_once_of_a_message_whose_answer_failed_make_one_answer(
    parley: Parley, model: ScriptedModel, database: psycopg.Connection
) -> None:
    for number in range(ROUNDS):
        model.replies = [Reply(status=500), Reply(pieces=(f"[{number}]",), seconds_before=0.05)]
        await parley.send(f"{number}", chat_id=id_of(number))

        responses = await asyncio.gather(
            *(parley.send(f"{number}", chat_id=id_of(number)) for _ in range(RETRIES))
        )

        assert {text_of(response) for response in responses} == {f"[{number}]"}
    assert len(model.requests) == 2 * ROUNDS
    stored = database.execute("SELECT count(*), count(DISTINCT reply_to) FROM chat_messages")
    assert stored.fetchone() == (2 * ROUNDS, ROUNDS)


async def _retry(parley: Parley, number: int) -> httpx2.Response:
    # The first one takes about so long until its answer is stored.
    await asyncio.sleep(random.uniform(0.0, 0.06))
    return await parley.send(f"{number}", chat_id=id_of(number))
