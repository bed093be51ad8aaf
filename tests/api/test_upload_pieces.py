"""The size of the pieces of an upload."""

import httpx2
import psycopg

from tests.support.product import Parley, headers_of, problem_of


async def post_piece(parley: Parley, content: bytes, **query: object) -> httpx2.Response:
    """POST a piece of a file."""
    params = {name: str(value) for name, value in query.items()}
    return await parley.client.post(
        "/api/files", params=params, content=content, headers=headers_of("ann")
    )


async def test_a_piece_before_the_last_one_has_a_megabyte_at_least(
    parley: Parley, database: psycopg.Connection
) -> None:
    text = b"Plums.\n" * 300_000
    first = {"media_type": "text/plain", "size": len(text)}
    least = 1024 * 1024
    refused = await post_piece(parley, text[: least - 1], **first)
    [error] = problem_of(refused, 422, "invalid_request")["errors"]
    assert "at least 1,048,576 bytes" in error["detail"]
    upload = (await post_piece(parley, text[:least], **first)).json()

    refused = await post_piece(parley, text[least : least + 1], id=upload["id"], offset=least)

    problem_of(refused, 422, "invalid_request")
    stored = database.execute("SELECT length(bytes) FROM chat_files").fetchall()
    assert stored == [(least,)]
    whole = await post_piece(parley, text[least:], id=upload["id"], offset=least)
    assert whole.status_code == 201
