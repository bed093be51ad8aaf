"""The retention period takes away every word: at once for readers, and at night from the tables."""

import psycopg
import pytest

import lib.tools
from lib.tools import tool, tools
from tests.support.access.canaries import (
    OLD,
    WITHOUT_WORDS,
    YOUNG,
    Canaries,
    leaks,
    let_days_pass,
    look_up,
    old_words,
    stored_rows,
    without_canary,
)
from tests.support.model_server import ANALYSIS_MODEL, ScriptedModel
from tests.support.product import CRON_SECRET, METRICS_TOKEN, Parley

pytestmark = [
    pytest.mark.environment(
        OPENAI_ANALYSIS_MODEL=ANALYSIS_MODEL,
        METRICS_TOKEN=METRICS_TOKEN,
        MESSAGES_PER_DAY="1000",
        RETENTION_DAYS="30",
    ),
    pytest.mark.usefixtures("_tool"),
]
# The endpoints for operators, and their tokens.
OPERATORS = {
    "/api/health": METRICS_TOKEN,
    "/api/metrics": METRICS_TOKEN,
    "/api/metrics?format=json": METRICS_TOKEN,
    "/api/cron/cleanup?dry_run=true": CRON_SECRET,
}
# Rows that belong to an old message, and are younger than it.
LATER = """
    UPDATE conversations SET updated_at = now() - interval '1 day' WHERE id = ANY(%(used)s);
    UPDATE chat_messages SET updated_at = now() - interval '1 day';
    UPDATE tool_runs SET created_at = now() - interval '1 day';
    UPDATE stream_batches SET created_at = now() - interval '1 day';
    UPDATE finished_streams SET ended_at = now() - interval '1 day';
"""


@pytest.fixture
def _tool(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lib.tools, "_tools", dict(lib.tools._tools))
    tools.cache_clear()
    tool(look_up)


@pytest.fixture(params=["a user", "a guest"])
def canaries(
    request: pytest.FixtureRequest,
    parley: Parley,
    model: ScriptedModel,
    database: psycopg.Connection,
) -> Canaries:
    """Return conversations that are still to be filled."""
    return Canaries(parley, model, database, "ann" if request.param == "a user" else None)


async def talk_for_forty_days(canaries: Canaries) -> None:
    """Talk with old words 40 days ago, and with young ones 20 days ago.

    Rows that belong to an old message are made younger than the message.
    """
    await canaries.talk()
    let_days_pass(canaries.database, 20)
    await canaries.talk_again()
    let_days_pass(canaries.database, 20)
    used = [each for each in canaries.conversations if each != canaries.unused]
    psycopg.ClientCursor(canaries.database).execute(LATER, {"used": used})
    canaries.model.requests.clear()
    canaries.model.title_requests.clear()
    canaries.model.analysis_requests.clear()


async def of_operators(parley: Parley) -> dict[str, str]:
    """Return everything that an operator reads."""
    return {
        path: (await parley.client.get(path, headers={"authorization": f"Bearer {token}"})).text
        for path, token in OPERATORS.items()
    }


async def night(parley: Parley) -> None:
    """Run the clean-up."""
    cron = {"authorization": f"Bearer {CRON_SECRET}"}
    report = await parley.client.get("/api/cron/cleanup", headers=cron)
    assert report.status_code == 200, report.text
    assert report.json()["remaining"] is False


async def test_each_column_that_can_hold_words_has_one_to_look_for(
    parley: Parley, model: ScriptedModel, database: psycopg.Connection
) -> None:
    await Canaries(parley, model, database, "ann").talk()

    assert without_canary(database) == {*WITHOUT_WORDS}


async def test_each_stored_word_is_shown_to_its_owner_while_its_message_is_kept(
    canaries: Canaries, database: psycopg.Connection
) -> None:
    await canaries.talk()
    stored = old_words(str(stored_rows(database)))

    shown = old_words(str(await canaries.read()))

    # A guest has no export, and only the export shows these.
    inner = ("modelname", "refusal", "persona", "subject", "draft")
    hidden = {
        word
        for word in stored - shown
        if canaries.user or not word.startswith(tuple(f"{OLD}{each}" for each in inner))
    }
    assert hidden == set()
    assert len(stored) > 10


async def test_no_word_is_shown_whose_message_has_expired_before_any_night(
    canaries: Canaries,
) -> None:
    await talk_for_forty_days(canaries)

    shown = await canaries.read()

    assert leaks(shown) == {}
    assert f"{YOUNG}question" in str(shown)
    assert leaks(await of_operators(canaries.parley)) == {}


async def test_no_word_is_told_to_the_model_or_in_an_answer_whose_message_has_expired(
    canaries: Canaries,
) -> None:
    await talk_for_forty_days(canaries)

    assert leaks(await canaries.change()) == {}
    assert leaks(await canaries.read()) == {}
    assert f"{YOUNG}question" in str(canaries.model.requests)


async def test_after_the_night_no_table_holds_a_word_whose_message_has_expired(
    canaries: Canaries, database: psycopg.Connection
) -> None:
    await talk_for_forty_days(canaries)

    await night(canaries.parley)

    rows = stored_rows(database)
    assert leaks(rows) == {}
    assert leaks(await canaries.read()) == {}
    assert f"{YOUNG}question" in rows["chat_messages"]
    assert f"{YOUNG}name" in rows["conversations"]
