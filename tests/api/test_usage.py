"""GET /api/messages?usage=true: tokens by day and model."""

from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from tests.support.model_server import MODEL_NAME
from tests.support.product import CHAT_ID, Parley, headers_of, problem_of

USAGE = "/api/messages?usage=true"


async def test_usage_shows_a_users_tokens_by_day_and_model(parley: Parley) -> None:
    await parley.send("Hello!", user="ann")
    await parley.send("Hello!", user="ann", chat_id="another-chat-id-1")
    await parley.send("Hello!", user="bob")
    await parley.send("Hello!")

    usage = await _usage(parley)

    today = datetime.now(UTC).date()
    tokens = {
        "messages": 2,
        "prompt_tokens": 14,
        "cached_tokens": 0,
        "completion_tokens": 8,
        "reasoning_tokens": 0,
    }
    assert usage == {
        "from": str(today - timedelta(29)),
        "to": str(today),
        "usage": [
            tokens
            | {"day": str(today), "model": "test-model", "model_name": MODEL_NAME, "cost": None}
        ],
        "total": tokens | {"cost": None, "unpriced_tokens": 22},
    }


async def test_a_regenerated_answers_tokens_count_twice(parley: Parley) -> None:
    await parley.send("Hello!", user="ann")
    await parley.send("Hello!", user="ann", trigger="regenerate-message")

    [row] = (await _usage(parley))["usage"]

    assert (row["messages"], row["prompt_tokens"]) == (2, 14)


async def test_usage_covers_the_requested_days_both_included(
    parley: Parley, database: psycopg.Connection
) -> None:
    today = datetime.now(UTC)
    for days in (3, 2, 1, 0):
        await parley.send("Hello!", user="ann", message_id=f"message-{days}")
        database.execute(
            "UPDATE chat_messages SET created_at = %s WHERE created_at >= %s",
            [today - timedelta(days), today],
        )
    first, last = (today - timedelta(2)).date(), (today - timedelta(1)).date()

    usage = await _usage(parley, f"&from={first}&to={last}")

    assert [row["day"] for row in usage["usage"]] == [str(first), str(last)]


async def test_usage_omits_expired_answers(parley: Parley, database: psycopg.Connection) -> None:
    await parley.send("Hello!", user="ann")
    database.execute("UPDATE chat_messages SET created_at = now() - interval '31 days'")

    assert (await _usage(parley, "&from=2000-01-01"))["usage"] == []


@pytest.mark.parametrize(
    ("query", "first", "last"),
    [
        ("&from=0001-01-01&to=0001-01-01", "0001-01-01", "0001-01-01"),
        ("&to=0001-01-01", "0001-01-01", "0001-01-01"),
        ("&to=0001-01-29", "0001-01-01", "0001-01-29"),
        ("&from=9999-12-31", "9999-12-31", "9999-12-31"),
        ("&from=9999-12-31&to=9999-12-31", "9999-12-31", "9999-12-31"),
        ("&from=0001-01-01&to=9999-12-31", "0001-01-01", "9999-12-31"),
        ("&to=9999-12-31", "9999-12-02", "9999-12-31"),
        ("&from=2024-02-29&to=2024-02-29", "2024-02-29", "2024-02-29"),
    ],
)
async def test_usage_accepts_the_first_and_the_last_possible_days(
    parley: Parley, query: str, first: str, last: str
) -> None:
    usage = await _usage(parley, query)

    assert (usage["from"], usage["to"], usage["usage"]) == (first, last, [])
    assert usage["total"]["unpriced_tokens"] == 0


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("&from=2026-01-02&to=2026-01-01", ""),
        ("&from=yesterday", "from"),
        ("&from=", "from"),
        ("&from=0", "from"),
        ("&from=86400", "from"),
        ("&from=2026-02-29", "from"),
        ("&from=2026-1-1", "from"),
        ("&from=2026-01-01T00:00:00", "from"),
        ("&from=2026-01-01T00:00:00%2B05:00", "from"),
        ("&from=0000-01-01", "from"),
        ("&from=10000-01-01", "from"),
        ("&from=-0001-01-01", "from"),
        ("&from=%002026-01-01", "from"),
        ("&to=tomorrow", "to"),
        ("&to=1e999", "to"),
        ("&from=2026-01-01&from=2026-01-01", "from"),
        ("&to=2026-01-01&to=2026-01-01", "to"),
        ("&usage=true", "usage"),
        ("&limit=0", "limit"),
    ],
)
async def test_invalid_repeated_or_reversed_days_of_usage_are_refused(
    parley: Parley, query: str, field: str
) -> None:
    response = await parley.client.get(USAGE + query, headers=headers_of("ann"))

    problem = problem_of(response, 422, "invalid_request")
    assert [error["field"] for error in problem["errors"]] == [field]


async def test_usage_must_be_asked_for_with_true(parley: Parley) -> None:
    response = await parley.get("/api/messages", user="ann", usage="false")

    problem_of(response, 422, "invalid_request")


async def test_usage_needs_a_signed_in_user(parley: Parley) -> None:
    await parley.send("Hello!", chat_id=CHAT_ID)

    problem_of(await parley.client.get(USAGE), 401, "unauthenticated")


async def test_a_switched_off_user_gets_no_usage(
    parley: Parley, database: psycopg.Connection
) -> None:
    await parley.send("Hello!", user="ann")
    database.execute("UPDATE users SET is_active = FALSE")

    response = await parley.client.get(USAGE, headers=headers_of("ann"))

    problem_of(response, 403, "account_inactive")


async def _usage(parley: Parley, query: str = "") -> dict[str, Any]:
    response = await parley.client.get(USAGE + query, headers=headers_of("ann"))
    assert response.status_code == 200, response.text
    return response.json()
