"""The log of every function: no word of a request stands in it, whether it succeeds or fails."""

import json
import logging
from typing import Any

import psycopg
import pytest

from tests.support.product import METRICS_TOKEN, Parley, token_of

WORD = "xylocarp"
USER = {
    "authorization": f"Bearer {token_of(f'{WORD}-sub', email=f'{WORD}@a.app', name=WORD)}",
    "user-agent": WORD,
    "x-forwarded-for": "203.0.113.77",
    "x-conversation-key": WORD,
    "cookie": WORD,
    "referer": f"https://{WORD}.example/",
}
ANONYMOUS = {name: value for name, value in USER.items() if name != "authorization"}
CHAT = f"{WORD}-conversation-id"
MISTAKE = {"is_mistake": True, "mistake_note": WORD}
CREDENTIALS = {"email": f"{WORD}@a.app", "password": f"{WORD} password", "name": WORD}
# Method, path with query, and body of a request to each function, valid and not.
REQUESTS: list[tuple[str, str, Any]] = [
    ("POST", f"/api/chat?{WORD}={WORD}", {"message": WORD, "conversation_id": CHAT, WORD: WORD}),
    ("POST", "/api/chat", {"message": WORD, "persona": WORD, "tone": WORD, WORD: WORD}),
    ("POST", "/api/chat", {"id": CHAT, "messages": [{"role": WORD, "parts": [WORD]}], WORD: WORD}),
    ("POST", "/api/chat", f'{{"message": "{WORD}'),
    ("GET", f"/api/chat/{CHAT}/stream?startIndex={WORD}", None),
    ("GET", f"/api/chat/{CHAT}/stream", None),
    ("DELETE", f"/api/chat/{CHAT}/stream", None),
    ("GET", f"/api/history?conversation_id={CHAT}", None),
    ("GET", f"/api/history?conversation_id={CHAT}&before={WORD}&{WORD}={WORD}", None),
    ("GET", f"/api/conversations?q={WORD}", None),
    ("GET", "/api/conversations?export=true", None),
    ("GET", f"/api/conversations?id={CHAT}", None),
    ("PATCH", f"/api/conversations?id={CHAT}", {"title": WORD}),
    ("PATCH", f"/api/messages?id={WORD}&conversation_id={CHAT}", MISTAKE),
    ("GET", "/api/messages?usage=true", None),
    ("POST", "/api/tasks", {"title": WORD, "description": WORD}),
    ("PATCH", f"/api/tasks?id={WORD}", {"title": WORD}),
    ("GET", "/api/tasks", None),
    ("POST", "/api/auth", {"action": "register"} | CREDENTIALS),
    ("POST", "/api/auth", {"action": "login"} | CREDENTIALS),
    ("GET", f"/api/metrics?format={WORD}", None),
    ("GET", f"/api/cron/cleanup?dry_run={WORD}", None),
    ("GET", f"/api/health?{WORD}", None),
    ("DELETE", f"/api/conversations?id={CHAT}", None),
    ("DELETE", "/api/auth", None),
]  # fmt: skip
# Ways in which the database fails, each with a value in its own words where Postgres gives one.
FAILURES = {
    "nothing fails": "SELECT",
    "tables are missing": """
        ALTER TABLE conversations RENAME TO gone; ALTER TABLE users RENAME TO lost
    """,
    "rows are refused": """
        ALTER TABLE chat_messages ADD CONSTRAINT never CHECK (content NOT LIKE '%xylocarp%');
        ALTER TABLE tasks ADD CONSTRAINT never CHECK (title NOT LIKE '%xylocarp%')
    """,
    "values do not fit": """
        CREATE FUNCTION quote_value() RETURNS trigger LANGUAGE plpgsql
        AS $$ BEGIN PERFORM (to_jsonb(new)::text)::integer; RETURN new; END $$;
        CREATE TRIGGER quoting BEFORE INSERT OR UPDATE ON conversations
        FOR EACH ROW EXECUTE FUNCTION quote_value();
        CREATE TRIGGER quoting BEFORE INSERT OR UPDATE ON tasks
        FOR EACH ROW EXECUTE FUNCTION quote_value();
        CREATE TRIGGER quoting BEFORE INSERT OR UPDATE ON users
        FOR EACH ROW EXECUTE FUNCTION quote_value()
    """,
}


@pytest.mark.environment(
    DEBUG="true", SLOW_QUERY_MS="0", LOCAL_ACCOUNTS="true", METRICS_TOKEN=METRICS_TOKEN
)
@pytest.mark.parametrize("failure", FAILURES)
async def test_no_word_of_a_request_stands_in_the_log(
    parley: Parley,
    database: psycopg.Connection,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
    failure: str,
) -> None:
    caplog.set_level(logging.DEBUG, "parley")
    database.execute(FAILURES[failure].encode())
    statuses: set[int] = set()

    for headers in (USER, ANONYMOUS):
        for method, path, body in REQUESTS:
            content = body if isinstance(body, str) or body is None else json.dumps(body)
            kind = {"content-type": "application/json"} if body else {}
            response = await parley.client.request(
                method, path, headers=headers | kind, content=content
            )
            statuses.add(response.status_code)

    written = [caplog.text, *capfd.readouterr()]
    leaks = [line for line in "\n".join(written).splitlines() if WORD in line]
    assert leaks == []
    assert "203.0.113.77" not in "".join(written)
    assert '"event": "request"' in caplog.text
    has_failed = max(statuses) >= 500 or '"event": "refused_by_rule"' in caplog.text
    assert has_failed == (failure != "nothing fails")
