"""A provider that repeats key, message and addresses in its errors: none of that is logged."""

import asyncio
import json
import re
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

import httpx2
import pytest

from tests.support.product import headers_of, id_of, sdk_body, token_of
from tests.support.raw_servers import serving
from tests.support.runtime import RunningFunction, invocation_headers, start_function
from tests.support.transports import ResendingTransport

# Words that stand nowhere else; in small letters, so that they could be a code.
KEY, PROMPT, EMAIL, FIELD = "sk-proj-quetzal0815", "xylocarp", "zymurgy", "vellichor"
ADDRESS = "203.0.113.77"
SECRETS = ("quetzal", PROMPT, EMAIL, FIELD, ADDRESS, "127.0.0.1")
LOUD = {"DEBUG": "true", "SLOW_QUERY_MS": "0", "OPENAI_LOG": "debug"}


def http(
    body: str, status: str = "200 OK", kind: str = "text/event-stream", **headers: str
) -> bytes:
    """Return a whole response of HTTP."""
    named = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    content = body.encode()
    head = f"HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {len(content)}\r\n"
    return f"{head}{named}connection: close\r\n\r\n".encode() + content


def event(content: object) -> str:
    """Return an event of a stream, before which the answer has begun."""
    begun = {"choices": [{"index": 0, "delta": {"content": "Hel"}}]}
    return f"data: {json.dumps(begun)}\n\ndata: {json.dumps(content)}\n\n"


def error_of(words: str) -> dict[str, object]:
    """Return an error that repeats words, and puts some where codes and names belong."""
    names = {
        "code": PROMPT,
        "type": "quetzal0815",
        "param": f"messages[0].{PROMPT}",
        "status": EMAIL,
    }
    return {"message": words, "input": words, "url": words, "request_id": words, **names}


def call_of(arguments: object) -> dict[str, object]:
    """Return a chunk that calls a tool."""
    call = {"index": 0, "id": PROMPT, "function": {"name": PROMPT, "arguments": arguments}}
    return {"choices": [{"index": 0, "delta": {"tool_calls": [call]}, "finish_reason": None}]}


STATUSES = (
    "400 Bad Request", "401 Unauthorized", "402 Payment Required", "403 Forbidden", "404 Not Found",
    "408 Request Timeout", "413 Payload Too Large", "422 Unprocessable Content",
    "429 Too Many Requests", "500 Internal Server Error", "503 Service Unavailable", "599 xylocarp",
)  # fmt: skip
JSON = "application/json"
ECHOES: dict[str, Callable[[str], bytes]] = {
    **{
        f"error {status}": lambda words, status=status: http(
            json.dumps({"error": error_of(words)}), status, JSON
        )
        for status in STATUSES
    },
    "error as text": lambda words: http(words, "400 Bad Request", "text/plain"),
    "error as HTML": lambda words: http(f"<html>{words}", "502 Bad Gateway", "text/html"),
    "error as a list": lambda words: http(json.dumps([words]), "400 Bad Request", JSON),
    "error within text": lambda words: http(
        json.dumps({"error": json.dumps({"error": error_of(words)})}), "400 Bad Request", JSON
    ),
    "fields of the request": lambda words: http(
        json.dumps({"detail": [{"loc": ["body", PROMPT], "msg": words, "type": EMAIL}]}),
        "422 Unprocessable Content",
        JSON,
    ),
    "error that is no JSON": lambda words: http("{" + words, "400 Bad Request", JSON),
    "id of the request: the key": lambda words: http(
        json.dumps({"error": {"message": words}}), "401 Unauthorized", JSON, x_request_id=KEY
    ),
    "id of the request: a word": lambda words: http(
        json.dumps({"error": {"message": words}}),
        "401 Unauthorized",
        JSON,
        x_request_id=f"req_{PROMPT}_12345",
    ),
    "headers": lambda words: http(
        "",
        f"429 {words}",
        words,
        retry_after=words,
        retry_after_ms=words,
        x_ratelimit_reset_requests=words,
    ),
    "redirect": lambda words: http(
        words, "307 Temporary Redirect", location=f"http://127.0.0.1:9/{PROMPT}/{KEY}"
    ),
    "redirect to nowhere": lambda words: http("", "307 Temporary Redirect", location=words),
    "compressed": lambda words: http(words, content_encoding="gzip"),
    "no HTTP": lambda words: f"{words}\r\n\r\n".encode(),
    "no status": lambda words: f"HTTP/1.1 {words}\r\n\r\n".encode(),
    "no header": lambda words: f"HTTP/1.1 200 OK\r\n{words}\r\n\r\n".encode(),
    "no length": lambda words: f"HTTP/1.1 200 OK\r\ncontent-length: {words}\r\n\r\n".encode(),
    "no chunk": lambda words: (
        f"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{words}\r\n".encode()
    ),
    "nothing": lambda words: words.encode()[:0],
    "error in a stream": lambda words: http(event({"error": error_of(words)})),
    "error at the beginning": lambda words: http(
        f"event: error\ndata: {json.dumps({'error': error_of(words)})}\n\n"
    ),
    "error as text in a stream": lambda words: http(event({"error": words})),
    "event that is no JSON": lambda words: http(f"data: {{{words}\n\n"),
    "event of another kind": lambda words: http(event([words])),
    "stream without an end": lambda words: http(event({"choices": words})),
    "delta of another kind": lambda words: http(event({"choices": [{"delta": words}]})),
    "usage of another kind": lambda words: http(
        event({"choices": [], "usage": {"prompt_tokens": words}, "model": words})
    ),
    "call of another kind": lambda words: http(event(call_of({"a": [words]}))),
    "call that is no JSON": lambda words: http(event(call_of("{" + words))),
    "reason for the end": lambda words: http(
        event({"choices": [{"index": 0, "delta": {"content": ""}, "finish_reason": words}]})
    ),
    "content filter": lambda words: http(
        event({"choices": [{"delta": {"refusal": words}, "finish_reason": "content_filter"}]}),
        x_request_id=PROMPT,
    ),
}


@asynccontextmanager
async def echoing(echoes: list[Callable[[str], bytes]]) -> AsyncGenerator[str]:
    """Run a provider that answers one request after the other, each by repeating it; yield its URL.

    Args:
        echoes: how it repeats each request; the last of them stays.
    """

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            [size] = re.findall(r"(?i)content-length: *(\d+)", head)
            body = (await reader.readexactly(int(size))).decode()
        except asyncio.IncompleteReadError:
            return  # a connection that was opened in vain
        peer = writer.get_extra_info("peername")
        words = f"{' '.join(head.split())} {body} from {ADDRESS} {peer[0]}".replace('"', "'")
        writer.write(echoes[0](words))
        await writer.drain()
        writer.close()

    async with serving(serve) as base_url:
        yield f"{base_url}/v1"


async def ask(function: RunningFunction, number: int, user: str | None = None) -> None:
    """Send a message with a secret in each field, and wait until the function has ended."""
    chat_id = f"{FIELD}-{id_of(number)}"
    body = sdk_body(f"{PROMPT} is my secret", chat_id=chat_id, message_id=f"{FIELD}-{number}")
    body |= {"metadata": {FIELD: FIELD}, FIELD: FIELD}
    headers = headers_of(None)
    if user is not None:
        claims = {"email": f"{EMAIL}@example.com", "name": EMAIL}
        headers = {"authorization": f"Bearer {token_of(user, **claims)}"}
    async with httpx2.AsyncClient(timeout=30, transport=ResendingTransport(verify=False)) as client:
        await client.post(
            f"{function.base_url}/api/chat?{FIELD}={FIELD}",
            json=body,
            headers=invocation_headers(60)
            | headers
            | {"x-forwarded-for": ADDRESS, "user-agent": FIELD},
        )
    await asyncio.to_thread(function.wait_for, "end", count=number)


def check_log(function: RunningFunction) -> str:
    """Return all that a function has written, in which no secret stands."""
    text = function.log_text() + function.output()
    leaks = [line for line in text.splitlines() for secret in SECRETS if secret in line.lower()]
    assert leaks == []
    return text


async def test_no_error_of_a_provider_brings_its_words_into_the_log(
    environment: dict[str, str],
) -> None:
    echoes = list(ECHOES.values())
    async with echoing(echoes) as url:
        chosen = environment | LOUD | {"OPENAI_API_KEY": KEY, "OPENAI_BASE_URL": url}
        function = await asyncio.to_thread(start_function, "api/chat.py", chosen)
        try:
            for number in range(1, len(ECHOES) + 1):
                await ask(function, number, user=EMAIL if number % 2 else None)
                echoes.pop(0)
        finally:
            await asyncio.to_thread(function.stop)
            text = check_log(function)

    lines = [json.loads(line) for line in text.splitlines()]
    failed = [line["traceback"] for line in lines if line["event"] == "turn_failed"]
    # All but the reason for the end, and usage and events that are skipped.
    assert len(failed) >= len(ECHOES) - 4
    # What the operator needs is there: the status, a code if it is a known one.
    refused = [line for line in lines if line["event"] == "model_refused"]
    assert {line["status"] for line in refused} >= {400, 401, 402, 403, 404}
    assert {line["code"] for line in refused} <= {"", "other"}
    assert any("Refusal: 500 other" in each for each in failed)


@pytest.mark.parametrize("port", [9])
async def test_a_provider_that_cannot_be_reached_is_logged_without_its_url(
    environment: dict[str, str], port: int
) -> None:
    url = f"http://quetzal:{FIELD}@127.0.0.1:{port}/{FIELD}?key={KEY}"
    chosen = environment | LOUD | {"OPENAI_API_KEY": KEY, "OPENAI_BASE_URL": url}
    function = await asyncio.to_thread(start_function, "api/chat.py", chosen)
    try:
        await ask(function, 1, user=EMAIL)
    finally:
        await asyncio.to_thread(function.stop)
        text = check_log(function)

    assert "ConnectError" in text
