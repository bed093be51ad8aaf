"""begin_turn: files, data and metadata of a message; other files or data make it another one."""

import json

import pytest

from tests.support.steps.rows import Rows
from tests.support.steps.turns import Turns

CAT = json.dumps([{"mediaType": "image/png", "url": "https://example.com/cat.png"}])
DOG = json.dumps([{"mediaType": "image/png", "url": "https://example.com/dog.png"}])
ONE = '[[{"type": "data", "name": "page", "data": 1}, {"type": "text", "chars": 10}]]'
ONE_REORDERED = '[[{"data": 1.0, "name": "page", "type": "data"},{"chars": 10, "type": "text"}]]'
TWO = '[[{"type": "data", "name": "page", "data": 2}, {"type": "text", "chars": 10}]]'
REORDERED = json.dumps([{"url": "https://example.com/cat.png", "mediaType": "image/png"}])


async def test_files_and_metadata_are_stored_and_read_by_the_turn(turns: Turns, rows: Rows) -> None:
    begun = await turns.begin(files=CAT, metadata='{"page": {"is": [1, null]}}')

    assert begun.question.files == json.loads(CAT)
    assert begun.question.metadata == {"page": {"is": [1, None]}}
    assert rows.run("SELECT files, metadata FROM chat_messages") == [
        (begun.question.files, begun.question.metadata)
    ]


async def test_a_message_without_files_and_metadata_stores_null(turns: Turns, rows: Rows) -> None:
    await turns.begin()

    assert rows.run("SELECT files, metadata FROM chat_messages") == [(None, None)]


@pytest.mark.parametrize(
    ("before", "after", "verdict"),
    [
        (CAT, CAT, "answered"),
        (CAT, REORDERED, "answered"),
        (None, "[]", "answered"),
        (CAT, DOG, "taken"),
        (CAT, None, "taken"),
        (None, CAT, "taken"),
    ],
)
async def test_a_message_with_other_files_is_an_edit(
    turns: Turns, rows: Rows, before: str | None, after: str | None, verdict: str
) -> None:
    await turns.exchange(1, files=before)

    again = await turns.begin("Question 1", files=after)

    assert again.verdict == verdict
    is_edited = verdict == "taken"
    assert rows.superseded(turns.conversation_id) == (
        ["Question 1", "Answer 1"] if is_edited else []
    )
    assert again.question.files == json.loads((after if is_edited else before) or "null")


async def test_a_message_with_other_metadata_is_no_edit(turns: Turns) -> None:
    await turns.exchange(1, metadata='{"sent": 1}')

    again = await turns.begin("Question 1", metadata='{"sent": 2}')

    assert again.verdict == "answered"
    assert again.question.metadata == {"sent": 1}


async def test_an_edit_brings_its_own_metadata(turns: Turns) -> None:
    await turns.exchange(1, metadata='{"sent": 1}')

    edited = await turns.begin("Better put", metadata=None)

    assert edited.question.metadata is None


@pytest.mark.parametrize(
    ("before", "after", "verdict"),
    [
        (ONE, ONE, "answered"),
        (ONE, ONE_REORDERED, "answered"),
        (None, None, "answered"),
        (ONE, TWO, "taken"),
        (ONE, None, "taken"),
        (None, ONE, "taken"),
    ],
)
async def test_a_message_with_other_data_of_the_page_is_an_edit(
    turns: Turns, before: str | None, after: str | None, verdict: str
) -> None:
    await turns.exchange(1, steps=before)

    again = await turns.begin("Question 1", steps=after)

    assert again.verdict == verdict
    assert again.question.steps == json.loads((after if verdict == "taken" else before) or "null")
