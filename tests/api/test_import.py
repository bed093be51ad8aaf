"""Imports: conversations that a user brings along."""

import json

import psycopg

from tests.support.product import Parley, headers_of

CHATGPT = {
    "title": "Plums",
    "create_time": 1_796_000_000.5,
    "conversation_id": "c1",
    "current_node": "n3",
    "mapping": {
        "n1": {"parent": None, "message": None},
        "n2": {
            "parent": "n1",
            "message": {
                "id": "m2",
                "author": {"role": "user"},
                "create_time": 1_796_000_000.5,
                "content": {"content_type": "text", "parts": ["Are plums ripe?"]},
            },
        },
        "n3": {
            "parent": "n2",
            "message": {
                "id": "m3",
                "author": {"role": "assistant"},
                "create_time": 1_796_000_010,
                "content": {"content_type": "text", "parts": ["They are."]},
            },
        },
    },
}


async def test_first(parley: Parley, database: psycopg.Connection) -> None:
    for _ in range(2):
        response = await parley.client.post(
            "/api/conversations?import=chatgpt", content=json.dumps([CHATGPT]),
            headers=headers_of("ann") | {"content-type": "application/json"},
        )
        print(response.text)
        assert response.status_code == 200
    print(database.execute("SELECT * FROM conversations").fetchall())
    print(database.execute("SELECT id, reply_to, content, role FROM chat_messages").fetchall())
    assert 0
