"""begin_turn and count_use: a use that counts for several subjects, tokens, and bytes."""

import asyncio
from collections import Counter
from typing import Any
from uuid import uuid4

import pytest
from psycopg.types.json import Jsonb

from tests.support.steps.quotas import QuotaCount, quota_counts
from tests.support.steps.rows import Rows
from tests.support.steps.turns import LIMITS, Begun, Turns

COUNT_TOKENS = "SELECT count_tokens(%s::text[], %s::integer, %s::timestamptz)"
ADD_TOKENS = "SELECT count_tokens(%(names)s::text[], 2, %(now)s::timestamptz)"
DAY_COUNTS = "SELECT subject, token_count, byte_count FROM quotas ORDER BY subject"


async def test_a_use_counts_for_all_of_its_subjects_and_the_tightest_one_is_told(
    turns: Turns, rows: Rows
) -> None:
    first = await _say(turns, ("client", "site", "guests"), (5, 50, 3))
    other = await _say(turns, ("other client", "site", "guests"), (5, 50, 3))

    assert quota_counts(rows) == {
        "client": QuotaCount(1, 1),
        "guests": QuotaCount(2, 2),
        "other client": QuotaCount(1, 1),
        "site": QuotaCount(2, 2),
    }
    assert _told(first) == ("guests", None, 2)
    assert _told(other) == ("guests", None, 1)
    narrow = await _say(turns, ("client", "site", "guests"), (2, 50, 0))
    assert _told(narrow) == ("client", None, 0)


@pytest.mark.parametrize("refusing", [0, 1, 2])
async def test_a_use_that_one_subject_refuses_counts_for_none_and_leaves_no_row(
    turns: Turns, rows: Rows, refusing: int
) -> None:
    names = ("client", "site", "guests")
    await _say(turns, (names[refusing],), (1,))
    before = rows.run("SELECT * FROM quotas")
    limits = [9, 9, 9]
    limits[refusing] = 1
    turns.wait(seconds=70)

    begun = await _say(turns, names, limits)

    assert begun.verdict == "over_quota"
    assert _told(begun) == (names[refusing], "uses", 0)
    assert begun.quota
    assert begun.quota.retry_after_seconds == 86_330
    assert rows.run("SELECT * FROM quotas") == before


async def test_concurrent_uses_of_shared_subjects_neither_deadlock_nor_pass_a_limit(
    turns: Turns, rows: Rows
) -> None:
    # 4 sites with 3 clients each; a client may have 6 uses, a site 10, and all of them 30.
    async def say(number: int) -> Begun:
        client = number % 12
        names = (f"client {client}", f"site {client % 4}", "guests")
        return await _say(turns, names, (6, 10, 30))

    begun = await asyncio.gather(*map(say, range(120)))

    assert Counter(each.verdict for each in begun) == {"taken": 30, "over_quota": 90}
    counts = {subject: count.day for subject, count in quota_counts(rows).items()}
    assert counts["guests"] == 30
    assert max(counts[f"site {n}"] for n in range(4)) <= 10
    assert max(count for subject, count in counts.items() if subject.startswith("client")) <= 6
    for kind in ("client", "site"):
        assert sum(count for subject, count in counts.items() if subject.startswith(kind)) == 30


async def test_answers_and_new_messages_count_for_the_same_subjects_at_once_without_a_deadlock(
    turns: Turns, rows: Rows
) -> None:
    names = ["client", "site", "guests"]

    async def answer(_number: int) -> None:
        begun = await _say(turns, names, (500, 500, 500))
        assert begun.verdict == "taken"
        async with rows.uncommitted(ADD_TOKENS, {"names": names, "now": turns.now}):
            await asyncio.sleep(0)

    await asyncio.gather(*map(answer, range(30)))

    assert rows.run("SELECT DISTINCT day_count, token_count FROM quotas") == [(30, 60)]


async def test_the_bytes_of_text_files_and_metadata_are_counted_when_they_are_stored(
    turns: Turns, rows: Rows
) -> None:
    image = [{"mediaType": "image/png", "url": "data:image/png;base64," + "x" * 5000}]
    begun = await turns.begin(
        "ä" * 1000,
        files=Jsonb(image),
        metadata=Jsonb({"of": "y" * 3000}),
        bytes_per_day=20_000,
    )

    [(_, _, stored_bytes)] = rows.run(DAY_COUNTS)
    assert isinstance(stored_bytes, int)
    assert 10_000 < stored_bytes < 10_300
    # The same message again stores nothing, and neither does another answer to it.
    await turns.begin("ä" * 1000, files=Jsonb(image), bytes_per_day=20_000)
    await turns.finish(begun)
    again = await turns.begin(
        "ä" * 1000, files=Jsonb(image), regenerates=True, bytes_per_day=20_000
    )
    assert again.verdict == "taken"
    assert rows.run(DAY_COUNTS) == [("somebody", 11, stored_bytes)]
    assert quota_counts(rows)["somebody"].day == 2


async def test_a_message_over_the_bytes_of_the_day_stores_nothing_and_counts_nothing(
    turns: Turns, rows: Rows
) -> None:
    first = await turns.begin("x" * 600, bytes_per_day=1000)
    await turns.finish(first)

    refused = await turns.begin("x" * 600, message_id="question-2", bytes_per_day=1000)

    assert (refused.verdict, _told(refused)[1]) == ("over_quota", "bytes")
    assert rows.run(DAY_COUNTS) == [("somebody", 11, 600)]
    assert len(rows.current(turns.conversation_id)) == 2
    # What still fits is stored; the next day begins with nothing.
    small = await turns.begin("x" * 400, message_id="question-3", bytes_per_day=1000)
    await turns.finish(small, answer_message_id="answer-3")
    turns.wait(days=1)
    later = await turns.begin("x" * 600, message_id="question-4", bytes_per_day=1000)
    assert [small.verdict, later.verdict] == ["taken", "taken"]
    assert rows.run(DAY_COUNTS) == [("somebody", 0, 600)]


@pytest.mark.parametrize("is_first", [True, False])
async def test_a_message_larger_than_the_bytes_of_a_whole_day_is_refused_for_its_size(
    turns: Turns, rows: Rows, *, is_first: bool
) -> None:
    if not is_first:
        await turns.finish(await turns.begin("x", bytes_per_day=1000))
    before = rows.run("SELECT * FROM quotas")

    refused = await turns.begin("x" * 1001, message_id="question-2", bytes_per_day=1000)

    assert (refused.verdict, _told(refused)[1]) == ("over_quota", "size")
    assert rows.run("SELECT * FROM quotas") == before


async def test_concurrent_messages_store_no_more_bytes_than_the_day_allows(
    turns: Turns, rows: Rows
) -> None:
    begun = await asyncio.gather(
        *[turns.begin("x" * 100, conversation_id=uuid4(), bytes_per_day=1050) for _ in range(30)]
    )

    assert Counter(each.verdict for each in begun) == {"taken": 10, "over_quota": 20}
    assert rows.run(DAY_COUNTS) == [("somebody", 0, 1000)]
    assert rows.run("SELECT sum(octet_length(content)) FROM chat_messages") == [(1000,)]


async def test_after_the_tokens_of_a_day_no_answer_is_begun_until_the_next_day(
    turns: Turns, rows: Rows
) -> None:
    limits: dict[str, Any] = {"tokens_per_day": 100}
    await turns.finish(await turns.begin(**limits))
    rows.run(COUNT_TOKENS, ["somebody"], 60, turns.now)
    below = await turns.begin("And?", message_id="question-2", **limits)
    await turns.finish(below, answer_message_id="answer-2")
    rows.run(COUNT_TOKENS, ["somebody"], 60, turns.now)
    turns.wait(hours=1)

    refused = await turns.begin("And?", message_id="question-3", **limits)
    regenerated = await turns.begin("And?", message_id="question-2", regenerates=True, **limits)

    assert below.verdict == "taken"
    for begun in (refused, regenerated):
        assert (begun.verdict, _told(begun)[1]) == ("over_quota", "tokens")
        assert begun.quota
        assert begun.quota.retry_after_seconds == 82_800
    turns.wait(hours=23)
    assert (await turns.begin("And?", message_id="question-3", **limits)).verdict == "taken"
    assert [row[1] for row in rows.run(DAY_COUNTS)] == [0]


async def test_tokens_are_added_to_the_running_day_of_each_subject_and_may_begin_one(
    turns: Turns, rows: Rows
) -> None:
    for _ in range(2):
        rows.run(COUNT_TOKENS, ["a", "b"], 7, turns.now)
    rows.run("UPDATE quotas SET day_count = 3, byte_count = 9 WHERE subject = 'a'")
    turns.wait(days=1)
    rows.run(COUNT_TOKENS, ["a"], 5, turns.now)

    assert rows.run(DAY_COUNTS) == [("a", 5, 0), ("b", 14, 0)]
    assert quota_counts(rows) == dict.fromkeys(("a", "b"), QuotaCount(0, 0))


@pytest.mark.parametrize(("subjects", "tokens"), [(None, 5), ([], 5), (["a"], None), (["a"], 0)])
async def test_no_subject_or_no_token_counts_nothing(
    turns: Turns, rows: Rows, subjects: list[str] | None, tokens: int | None
) -> None:
    rows.run(COUNT_TOKENS, subjects, tokens, turns.now)

    assert quota_counts(rows) == {}


async def _say(turns: Turns, names: Any, per_day: Any) -> Begun:
    """Send a message in a conversation of its own, counted for several subjects."""
    limits: dict[str, Any] = {name: [0] * len(names) for name in LIMITS}
    limits |= {"quota_subjects": list(names), "messages_per_day": list(per_day)}
    return await turns.begin(conversation_id=uuid4(), **limits)


def _told(begun: Begun) -> tuple[str, str | None, int]:
    """Return what a turn tells of its quota: subject, refusal, and the uses left in the day."""
    assert begun.quota
    return begun.quota.subject.name, begun.quota.refusal, begun.quota.day_remaining
