"""The product as tests use it: all functions behind real HTTP, and a client for each caller."""

import hashlib
import json
import string
import time
from base64 import b64encode
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import jwt
import psycopg
import pytest

import lib.database.client
import lib.identity._keys
import lib.model._provider
import lib.model._refusals.cured_request
import lib.operations.counters
import lib.runtime.counting
import lib.settings
from dev.routing import application
from tests.openapi.conformance import CheckedClient
from tests.support.serving import Switchboard

ROOT = Path(__file__).parent.parent.parent
JWT_SECRET = "a secret of at least 32 bytes, for tests"
CRON_SECRET = "a cron secret for tests"
METRICS_TOKEN = "a metrics token for tests"
# In the body of each problem.
REQUEST_ID = r'"request_id":"[0-9a-f]{32}"'
CHAT_ID = "pT3vQ9kZr2LmXw8B"


class Parley:
    """A running product."""

    def __init__(self, base_url: str, client: httpx2.AsyncClient) -> None:
        """Take where it runs, and a client for it."""
        self.base_url = base_url
        self.client = client
        # The keys of guests' conversations by id, as a page keeps them.
        self.keys: dict[str, str] = {}
        client.event_hooks["response"].append(self._keep_key)

    async def get(self, path: str, *, user: str | None = None, **query: object) -> httpx2.Response:
        """GET a path; as a user, or as nobody."""
        params = {name: str(value) for name, value in query.items()}
        named = params.get("conversation_id", params.get("id", ""))
        return await self.client.get(path, params=params, headers=self.headers_of(user, named))

    async def opened(self, part: dict[str, Any]) -> dict[str, Any]:
        """Return a `file` part with the bytes in place of its link, which opens without a token."""
        response = await self.client.get(part["url"])
        assert response.status_code == 200, response.text
        data = b64encode(response.content).decode()
        return part | {"url": f"data:{response.headers['content-type']};base64,{data}"}

    async def say(self, text: str, *, user: str | None = None, **body: object) -> httpx2.Response:
        """POST /api/chat in the plain form."""
        content = {"message": text} | body
        named = str(body.get("conversation_id", body.get("session_id", "")))
        headers = self.headers_of(user, named)
        return await self.client.post("/api/chat", json=content, headers=headers)

    async def send(
        self,
        text: str,
        *,
        chat_id: str = CHAT_ID,
        message_id: str = "message-1",
        user: str | None = None,
        **body: object,
    ) -> httpx2.Response:
        """POST /api/chat as `useChat` does, and read the stream to its end."""
        content = sdk_body(text, chat_id=chat_id, message_id=message_id) | body
        headers = self.headers_of(user, chat_id)
        return await self.client.post("/api/chat", json=content, headers=headers)

    def headers_of(self, user: str | None, conversation_id: str) -> dict[str, str]:
        """Return a user's token, or the key that a guest has got for a conversation."""
        key = self.keys.get(conversation_id)
        return {"x-conversation-key": key} if user is None and key else headers_of(user)

    async def _keep_key(self, response: httpx2.Response) -> None:
        if key := response.headers.get("x-conversation-key"):
            self.keys[response.headers["x-conversation-id"]] = key

    async def history(
        self, chat_id: object = CHAT_ID, *, user: str | None = None, **query: object
    ) -> dict[str, Any]:
        """Return a conversation's history, which must be there."""
        response = await self.get("/api/history", user=user, conversation_id=chat_id, **query)
        assert response.status_code == 200, response.text
        return response.json()

    async def said(self, chat_id: object = CHAT_ID, *, user: str | None = None) -> list[str]:
        """Return the texts of a conversation, oldest first."""
        return [each["content"] for each in (await self.history(chat_id, user=user))["messages"]]


def sdk_body(text: str, *, chat_id: str = CHAT_ID, message_id: str = "message-1") -> dict[str, Any]:
    """Return the body that `useChat` sends for a new message."""
    message = {"id": message_id, "role": "user", "parts": [{"type": "text", "text": text}]}
    return {"id": chat_id, "messages": [message], "trigger": "submit-message"}


def id_of(name: object) -> str:
    """Return an id for a conversation that cannot be guessed, the same each time for a name."""
    digest = int.from_bytes(hashlib.sha256(str(name).encode()).digest())
    letters = string.ascii_letters + string.digits
    return "".join(letters[digest // len(letters) ** place % len(letters)] for place in range(16))


def token_of(user: str, **claims: object) -> str:
    """Return a token that is good for an hour."""
    content = {"sub": user, "exp": int(time.time()) + 3600} | claims
    return jwt.encode(content, JWT_SECRET, algorithm="HS256")


def headers_of(user: str | None, **claims: object) -> dict[str, str]:
    """Return the headers that a user sends, or nobody in particular."""
    return {} if user is None else {"authorization": f"Bearer {token_of(user, **claims)}"}


def parts_of(response: httpx2.Response) -> list[dict[str, Any]]:
    """Return the parts of a UI message stream, which must end as it should."""
    assert response.status_code == 200, response.text
    assert response.headers["x-vercel-ai-ui-message-stream"] == "v1"
    events = [each for each in response.text.split("\n\n") if each and not each.startswith(":")]
    assert events.pop() == "data: [DONE]"
    return [json.loads(each.removeprefix("data: ")) for each in events]


def text_of(response: httpx2.Response) -> str:
    """Return the text of a UI message stream."""
    return "".join(part["delta"] for part in parts_of(response) if part["type"] == "text-delta")


def problem_of(response: httpx2.Response, status: int, code: str) -> dict[str, Any]:
    """Return the problem details of an answer, which must have that status and code.

    Without the request's id, which is another each time.
    """
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    problem = response.json()
    assert {"type", "title", "status", "code", "detail", "request_id"} <= problem.keys()
    assert (problem["status"], problem["code"]) == (status, code)
    del problem["request_id"]
    return problem


def rows_stored(database: psycopg.Connection) -> int:
    """Return how many rows requests have left behind, in all tables that they write to."""
    row = database.execute("""
        SELECT
            (SELECT count(*) FROM users)
            + (SELECT count(*) FROM conversations)
            + (SELECT count(*) FROM chat_messages)
            + (SELECT count(*) FROM tasks)
            + (SELECT count(*) FROM quotas)
            + (SELECT count(*) FROM account_attempts)
            + (SELECT count(*) FROM known_networks)
            + (SELECT count(*) FROM user_settings)
            + (SELECT count(*) FROM deleted_users)
            + (SELECT count(*) FROM tool_runs)
            + (SELECT count(*) FROM stream_batches)
            + (SELECT count(*) FROM finished_streams)
            + (SELECT count(*) FROM chat_files)
            + (SELECT count(*) FROM message_files)
            + (SELECT count(*) FROM conversation_summaries)
    """).fetchone()
    assert row is not None
    return row[0]


@asynccontextmanager
async def running_product(
    switchboard: Switchboard, monkeypatch: pytest.MonkeyPatch, environment: Mapping[str, str]
) -> AsyncGenerator[Parley]:
    """Run all functions with an environment of their own, as new processes would."""
    for variable in lib.settings.Settings.__dataclass_fields__:
        monkeypatch.delenv(variable.upper(), raising=False)
    for variable, value in environment.items():
        monkeypatch.setenv(variable, value)
    forget_process()
    async with (
        switchboard.connected(application(ROOT)) as base_url,
        # Without TLS, whose certificates take 40 ms to load.
        CheckedClient(base_url=base_url, timeout=30, verify=False) as client,
    ):
        yield Parley(base_url, client)
    forget_process()


def forget_process() -> None:
    """Forget what a process keeps, but has closed at its end."""
    lib.settings.settings.cache_clear()
    lib.database.client.database.cache_clear()
    lib.identity._keys.key_set.cache_clear()
    lib.model._provider.forget()
    lib.model._refusals.cured_request.experience_with.cache_clear()
    lib.runtime.counting.counters.cache_clear()
    lib.operations.counters.storing.cache_clear()
