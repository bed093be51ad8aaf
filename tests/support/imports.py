"""Files of other products, as small as they can be, and their import."""

import json
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2

from tests.support.product import Parley, headers_of

# A whole second of some days ago, within the period for which messages are kept.
BEGIN = datetime.now(UTC).replace(microsecond=0) - timedelta(days=3)
SECOND = timedelta(seconds=1)
TEXTS = ("Are plums ripe?", "They are.", "And pears?", "Not yet.")


def chatgpt_message(role: str, *parts: Any, at: datetime | None = BEGIN, **more: Any) -> Any:
    """Return a message of ChatGPT's export."""
    return {
        "author": {"role": role},
        "create_time": at and at.timestamp(),
        "content": {"content_type": "text", "parts": [*parts]},
        "recipient": "all",
        "weight": 1.0,
        "metadata": {},
    } | more


def chatgpt(*messages: Any, **more: Any) -> dict[str, Any]:
    """Return a conversation of ChatGPT's export, which begins with a root, as a branch."""
    mapping: dict[str, Any] = {"n0": {"parent": None, "message": None}}
    for number, message in enumerate(messages, 1):
        mapping[f"n{number}"] = {"parent": f"n{number - 1}", "message": message}
    return {
        "conversation_id": "conversation-1",
        "title": "Fruit",
        "create_time": BEGIN.timestamp(),
        "current_node": f"n{len(messages)}",
        "mapping": mapping,
    } | more


def chatgpt_of(texts: Iterable[str] = TEXTS, **more: Any) -> dict[str, Any]:
    """Return a conversation of questions and answers in turn, a second apart."""
    roles = ("user", "assistant")
    return chatgpt(
        *(
            chatgpt_message(roles[n % 2], text, at=BEGIN + n * SECOND)
            for n, text in enumerate(texts)
        ),
        **more,
    )


def open_webui(*messages: tuple[str, str], **more: Any) -> dict[str, Any]:
    """Return a chat of open-webui's export with messages in turn, a second apart."""
    history: dict[str, Any] = {"messages": {}, "currentId": f"m{len(messages) - 1}"}
    for n, (role, content) in enumerate(messages):
        history["messages"][f"m{n}"] = {
            "id": f"m{n}",
            "parentId": f"m{n - 1}" if n else None,
            "childrenIds": [],
            "role": role,
            "content": content,
            "timestamp": int(BEGIN.timestamp()) + n,
        }
    chat = {"title": "Fruit", "models": ["m"], "history": history, "messages": []}
    return {"id": "chat-1", "user_id": "u", "title": "Fruit", "chat": chat} | more


def lines_of(entries: Iterable[object]) -> bytes:
    """Return JSON lines."""
    return b"".join(json.dumps(entry).encode() + b"\n" for entry in entries)


async def post_import(
    parley: Parley,
    source: str,
    content: bytes | Iterable[object],
    *,
    user: str | None = "ann",
    media_type: str = "application/x-ndjson",
) -> httpx2.Response:
    """POST an import: entries as JSON lines, or bytes as they are."""
    body = content if isinstance(content, bytes) else lines_of(content)
    headers = headers_of(user) | {"content-type": media_type}
    path = f"/api/conversations?import={source}"
    return await parley.client.post(path, content=body, headers=headers)


async def imported(
    parley: Parley, source: str, content: bytes | Iterable[object], **options: Any
) -> dict[str, Any]:
    """Import entries, and return the report."""
    response = await post_import(parley, source, content, **options)
    assert response.status_code == 200, response.text
    return response.json()


def counts(new: int = 0, already_there: int = 0, left_out: int = 0) -> dict[str, int]:
    """Return the counts of a report."""
    return {"new": new, "already_there": already_there, "left_out": left_out}


def reasons(report: dict[str, Any]) -> dict[tuple[str, str], int]:
    """Return how many of a kind a report says to be left out for a reason."""
    return {(each["kind"], each["reason"]): each["count"] for each in report["left_out"]}


async def export_of(parley: Parley, user: str) -> bytes:
    """Return the export of a user."""
    path = "/api/conversations?export=true"
    response = await parley.client.get(path, headers=headers_of(user))
    assert response.status_code == 200, response.text
    return response.content
