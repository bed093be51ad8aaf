"""A conversation longer than its window: what leaves it is summarized, and told in its place."""

import asyncio
import json
import logging
from collections import Counter
from itertools import pairwise

import psycopg
import pytest

from lib.answers.begin import interrupt_answers
from tests.support.logs import events_of
from tests.support.long_talk import FACT, ON, TURNS, ask, question, summary_of, talk, until_idle
from tests.support.model_server import ScriptedModel
from tests.support.product import Parley
from tests.support.small_model import SmallModel, text_of

# The summary is made after the fourth answer.
SHORT = pytest.mark.environment(**ON, HISTORY_MESSAGES="8")


@pytest.mark.parametrize(
    "refused",
    [
        pytest.param(0, marks=pytest.mark.environment(**ON, MAX_PROMPT_TOKENS="4000")),
        # The provider tells the limit once, and it is known from then on.
        pytest.param(1, marks=pytest.mark.environment(**ON, HISTORY_MESSAGES="1000")),
    ],
)
async def test_200_turns_with_a_model_of_4000_tokens_are_answered_and_the_fourth_is_remembered(
    parley: Parley, small: SmallModel, caplog: pytest.LogCaptureFixture, refused: int
) -> None:
    caplog.set_level(logging.INFO, "parley")

    await talk(parley)

    assert len(small.answers) == TURNS
    assert small.refused == refused
    assert all(FACT in text_of(body) for body in small.answers[3:])
    assert small.equal_share() > 0.9
    assert 0 < len(small.summaries) < TURNS / 10
    # One before the model and one after, as ever; and a summary is claimed and stored.
    trips = Counter(event["round_trips"] for event in events_of(caplog, "request"))
    assert trips.keys() == {2, 4}
    assert trips[4] == len(small.summaries)


@pytest.mark.environment(**ON, HISTORY_MESSAGES="12", MAX_PROMPT_TOKENS="4000")
async def test_a_long_conversation_with_tools_edits_and_new_answers_remembers_what_still_holds(
    parley: Parley, small: SmallModel
) -> None:
    await talk(parley, 4)
    for number in range(4, 80):
        text = f"Add {number} things" if number % 5 == 0 else ""
        await ask(parley, number, text)
        if number % 7 == 0:
            await ask(parley, number, text, trigger="regenerate-message")
        if number % 11 == 0:
            earlier = number - 4
            await ask(parley, earlier, f"FACT: Edit {number}.", messageId=f"message-{earlier}")
        await until_idle()

    # The messages after an edited one are gone with what they told.
    last = text_of(small.answers[-1])
    assert [number for number in range(80) if f"FACT: Edit {number}." in last] == [
        11, 22, 33, 44, 55, 66, 77,
    ]  # fmt: skip
    assert FACT in last
    assert len(await parley.said(user="ann")) > 12


@SHORT
@pytest.mark.usefixtures("small")
async def test_the_page_and_the_owner_are_told_of_a_summary_and_the_export_has_it(
    parley: Parley,
) -> None:
    await talk(parley, 3)
    assert await summary_of(parley) is None
    await ask(parley, 3)
    await until_idle()
    told = [await ask(parley, number) for number in range(4, 6)]
    summary = await summary_of(parley)
    assert summary is not None

    [shown] = [part for parts in told for part in parts if part["type"] == "data-summary"]
    assert shown["data"]["id"] == told[0][0]["messageMetadata"]["conversation_id"]
    assert shown["data"]["created_at"][:23] == summary["created_at"][:23]
    assert shown["transient"] is True
    assert summary["content"] == "Nothing of note."
    assert summary["model"] == "test-model"
    assert summary["through_message_id"] in json.dumps(await parley.history(user="ann"))
    export = await parley.get("/api/conversations", user="ann", export="true")
    assert summary["content"] in export.text


@SHORT
async def test_a_failed_summary_is_made_after_the_next_answer_and_nothing_is_forgotten(
    parley: Parley, small: SmallModel, database: psycopg.Connection
) -> None:
    small.failing_summaries = 1
    await talk(parley, 4)
    assert database.execute("SELECT FROM conversation_summaries").fetchall() == []

    await ask(parley, 4)
    await until_idle()
    await ask(parley, 5)

    assert len(small.summaries) == 1
    assert FACT in text_of(small.answers[-1])


KILLED = """
    INSERT INTO conversation_summaries (
        conversation_id, user_id, through_id, claim_id, claim_expires_at
    )
    SELECT id, user_id, 1, gen_random_uuid(), now() + make_interval(secs => %s) FROM conversations
"""


@SHORT
@pytest.mark.parametrize("seconds", [-1.0, 0.5])
async def test_a_summary_whose_function_was_killed_is_made_by_the_next_turn(
    parley: Parley, small: SmallModel, database: psycopg.Connection, seconds: float
) -> None:
    await talk(parley, 3)
    database.execute(KILLED, [seconds])

    await ask(parley, 3)
    await until_idle()

    summary = await summary_of(parley)
    assert summary is not None
    assert summary["content"] == "Nothing of note."
    [(count,)] = database.execute("SELECT count(*) FROM conversation_summaries").fetchall()
    assert (count, len(small.summaries)) == (1, 1)


@pytest.mark.environment(**ON, HISTORY_MESSAGES="16")
async def test_a_turn_that_begins_while_a_summary_is_made_neither_waits_nor_makes_it_again(
    parley: Parley, small: SmallModel
) -> None:
    small.holds_summaries = asyncio.Event()
    await talk(parley, 6)
    await ask(parley, 6)

    await ask(parley, 7, f"{FACT} Longer than before.")
    small.holds_summaries.set()
    await until_idle()

    assert len(small.summaries) == 1
    await ask(parley, 8)
    assert FACT in text_of(small.answers[-1])


@SHORT
async def test_a_summary_is_given_up_when_the_process_ends(
    parley: Parley, small: SmallModel, database: psycopg.Connection
) -> None:
    small.holds_summaries = asyncio.Event()
    await talk(parley, 3)
    await ask(parley, 3)
    await asyncio.wait_for(small.is_asked.wait(), 10)

    await interrupt_answers()

    assert database.execute("SELECT FROM conversation_summaries").fetchall() == []


@SHORT
async def test_a_summary_is_not_stored_when_one_of_its_messages_is_edited_meanwhile(
    parley: Parley, small: SmallModel, database: psycopg.Connection
) -> None:
    small.holds_summaries = asyncio.Event()
    await talk(parley, 3)
    await ask(parley, 3)
    await asyncio.wait_for(small.is_asked.wait(), 10)

    await ask(parley, 0, "Something else", messageId="message-0")
    small.holds_summaries.set()
    await until_idle()

    assert database.execute("SELECT FROM conversation_summaries").fetchall() == []


@pytest.mark.environment(**ON, HISTORY_MESSAGES="1000")
async def test_a_conversation_that_is_too_long_for_the_model_is_summarized_and_answered(
    parley: Parley, small: SmallModel
) -> None:
    small.max_tokens = 100_000
    await talk(parley, 30)
    # Another model reads less, and writes the summaries, too.
    small.max_tokens, small.max_summary_tokens = 800, 500

    await ask(parley, 30)

    assert FACT in text_of(small.answers[-1])
    assert len(small.summaries) > 2


@pytest.mark.environment(**ON, HISTORY_MESSAGES="1000", MAX_PROMPT_TOKENS="1000")
async def test_a_conversation_beyond_the_budget_is_summarized_before_the_model_is_asked(
    parley: Parley, small: SmallModel
) -> None:
    small.failing_summaries = 100
    await talk(parley, 30)
    small.failing_summaries = 0

    await ask(parley, 30)

    assert FACT in text_of(small.answers[-1])
    assert len(text_of(small.answers[-1])) < 4000


@pytest.mark.environment(**ON, HISTORY_MESSAGES="1000")
async def test_a_conversation_without_a_summary_is_answered_without_its_oldest_messages(
    parley: Parley, small: SmallModel
) -> None:
    small.failing_summaries, small.max_tokens = 1000, 1000

    await talk(parley, 30)

    assert len(small.answers) == 30
    assert question(28) in text_of(small.answers[-1])


@pytest.mark.environment(SUMMARIES="off", MAX_PROMPT_TOKENS="1000", HISTORY_MESSAGES="20")
async def test_without_summaries_old_messages_are_left_out_in_blocks_to_keep_the_budget(
    parley: Parley, model: ScriptedModel
) -> None:
    model.choose = small = SmallModel(max_tokens=100_000)

    await talk(parley, 60)

    texts = [text_of(body) for body in small.answers]
    # Without the tools and the instructions, which are not estimated.
    assert max(map(len, texts)) < 4000 + len(texts[0])
    assert small.summaries == []
    moves = sum(not after.startswith(before) for before, after in pairwise(texts))
    assert 0 < moves < 30


@SHORT
async def test_a_guests_conversation_is_summarized_too(parley: Parley, small: SmallModel) -> None:
    for number in range(6):
        await parley.send(FACT if number == 1 else "Hm.", message_id=f"message-{number}")
        await until_idle()

    assert len(small.summaries) == 2
    assert FACT in text_of(small.answers[-1])


@pytest.mark.environment(**ON, MAX_PROMPT_TOKENS="1000", SYSTEM_PROMPT="Be brief. " * 500)
async def test_instructions_that_are_most_of_the_budget_do_not_bring_a_summary_with_each_turn(
    parley: Parley, small: SmallModel
) -> None:
    await talk(parley, 10)

    assert len(small.answers) == 10
    assert len(small.summaries) < 4
