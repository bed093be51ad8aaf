"""Answers of a real, small model: the one that `make dev` runs."""

import asyncio
import contextlib
import importlib.util
from collections.abc import AsyncGenerator, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

import lib.answers._summaries.making
import lib.answers._summaries.tasks
from dev import model
from tests.support.imports import chatgpt, chatgpt_message
from tests.support.product import CHAT_ID, Parley, headers_of, running_product
from tests.support.serving import Switchboard

pytestmark = [
    # So small a model may need several answers of a minute each.
    pytest.mark.timeout(600),
    pytest.mark.environment(
        MAX_TOOL_STEPS="2",
        MAX_DURATION_SECONDS="600",
        # So small a model sometimes finds no end, and a busy machine writes two words a second.
        OPENAI_MAX_TOKENS="128",
    ),
    pytest.mark.skipif(
        importlib.util.find_spec("xllamacpp") is None,
        reason="the embedded model is not installed",
    ),
]


@pytest.fixture(scope="module")
def model_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Return the base URL of the embedded model."""
    log: Path = tmp_path_factory.mktemp("model") / "model.log"
    child = model.start_model(log)
    yield model.base_url(child, log)
    child.stop()


@pytest.fixture
async def parley(
    switchboard: Switchboard,
    environment: dict[str, str],
    model_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncGenerator[Parley]:
    """Return the product with the embedded model, for answers and analyses."""
    variables = {"OPENAI_BASE_URL": model_url, "OPENAI_ANALYSIS_MODEL": model.NAME}
    async with running_product(switchboard, monkeypatch, environment | variables) as running:
        # On a busy machine the model writes two words a second.
        running.client.timeout = 300
        yield running


async def test_the_analysis_of_a_real_model_fills_its_columns(parley: Parley) -> None:
    answer = await _analyzed_answer(parley)

    assert answer["context_type"]
    assert answer["tone"] in {"casual", "technical"}
    assert answer["behavior"] in {"normal", "cautious"}
    assert 0 <= answer["signal_strength"] <= 1
    assert isinstance(answer["context_clarity"], bool)
    assert isinstance(answer["needs_knowledge"], bool)


async def test_a_real_model_with_a_forced_tool_adds_a_task(
    parley: Parley, database: psycopg.Connection
) -> None:
    # So small a model sometimes writes a title that the tool refuses.
    titles: list[str] = []
    for _ in range(3):
        response = await parley.say("Buy milk", user="ann", tool_choice="add_task")
        assert response.status_code == 200, response.text
        [call] = response.json()["message"]["tool_calls"]
        titles += [call["output"]["title"]] if "output" in call else []
        if titles:
            break

    assert titles
    assert database.execute("SELECT user_id, title FROM tasks").fetchall() == [("ann", titles[0])]


async def _analyzed_answer(parley: Parley) -> dict[str, Any]:
    """Ask until an answer has its analysis, and return that answer."""
    # So small a model sometimes leaves the context empty, which is no analysis.
    for attempt in range(5):
        chat_id = f"{CHAT_ID}-{attempt}"
        await parley.send("What is the capital of France?", chat_id=chat_id, user="ann")
        with contextlib.suppress(TimeoutError):
            return await _analysis_stored(parley, chat_id)
    pytest.fail("None of five answers has an analysis.")


async def _analysis_stored(parley: Parley, chat_id: str) -> dict[str, Any]:
    async with asyncio.timeout(60):
        while True:
            answer = (await parley.history(chat_id, user="ann"))["messages"][1]
            if answer["context_type"] is not None:
                return answer
            await asyncio.sleep(0.5)


FACTS = ("My ship is called the Marigold.", "She has 17 sails, and sails on Friday.")


@pytest.mark.environment(
    SUMMARIES="on",
    OPENAI_TITLE_MODEL=None,
    HISTORY_MESSAGES="4",
    MAX_DURATION_SECONDS="600",
    OPENAI_MAX_TOKENS="64",
)
async def test_names_and_numbers_survive_the_summary_of_a_real_model(
    parley: Parley, database: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    # On a busy machine the model writes two words a second.
    monkeypatch.setattr(lib.answers._summaries.making, "PATIENCE_SECONDS", 250)
    monkeypatch.setattr(lib.answers._summaries.tasks, "GAP_SECONDS", 250)
    texts = [FACTS[0], "A fine name.", FACTS[1], "I see.", "Good.", "Yes.", "Well.", "Indeed."]
    roles = ("user", "assistant")
    messages = [chatgpt_message(roles[place % 2], text) for place, text in enumerate(texts)]
    await parley.client.post(
        "/api/conversations?import=chatgpt", json=[chatgpt(*messages)], headers=headers_of("ann")
    )
    [(chat_id,)] = database.execute("SELECT id::text FROM conversations").fetchall()

    response = await parley.say("What do you know?", user="ann", conversation_id=chat_id)

    assert response.status_code == 200, response.text
    [(summary,)] = database.execute(
        "SELECT content FROM conversation_summaries ORDER BY through_id LIMIT 1"
    ).fetchall()
    for fact in ("Marigold", "17", "Friday"):
        assert fact in summary
