"""Requests that are not what they should be: refused precisely, and nothing is left of them."""

import base64
import json
from collections.abc import AsyncGenerator, Iterator
from typing import Any

import psycopg
import pytest
from psycopg.sql import SQL, Identifier

from dev.postgres import RunningPostgres
from lib.http.cursors import encode_cursor
from tests.support.product import (
    CHAT_ID,
    JWT_SECRET,
    Parley,
    headers_of,
    problem_of,
    rows_stored,
    running_product,
    sdk_body,
)
from tests.support.serving import Switchboard

CHAT = "/api/chat"
HISTORY = "/api/history"
CONVERSATIONS = "/api/conversations"
JSON = {"content-type": "application/json"}
NUL_AND_SURROGATES = ("a\0b", "\0", "a\ud800", "\udc00b", "\udc00\ud800")
MAX_BYTES = 4 * 1024 * 1024


@pytest.fixture(scope="module")
def database(postgres: RunningPostgres, template: str) -> Iterator[psycopg.Connection]:
    """Return a database for all these tests together: none of them may change it."""
    with psycopg.connect(postgres.url, autocommit=True) as admin:
        admin.execute(SQL("CREATE DATABASE bad_input TEMPLATE {}").format(Identifier(template)))
    url = postgres.url_of("bad_input", "postgres")
    with psycopg.connect(url, autocommit=True) as connection:
        yield connection


@pytest.fixture(scope="module")
async def parley(
    switchboard: Switchboard, postgres: RunningPostgres, database: psycopg.Connection
) -> AsyncGenerator[Parley]:
    """Return a product for all these tests; its model is not there, and must not be missed."""
    environment = {
        "DATABASE_URL": postgres.url_of(database.info.dbname, "postgres"),
        "OPENAI_API_KEY": "sk-test",
        "OPENAI_BASE_URL": "http://127.0.0.1:9/v1",
        "JWT_SECRET": JWT_SECRET,
    }
    with pytest.MonkeyPatch.context() as monkeypatch:
        async with running_product(switchboard, monkeypatch, environment) as running:
            yield running


@pytest.fixture(autouse=True)
def nothing_is_stored(database: psycopg.Connection) -> Iterator[None]:
    """Look after each test whether its requests have left anything."""
    before = rows_stored(database)
    yield
    # An id that can be guessed is counted as a guess.
    database.execute("DELETE FROM quotas WHERE subject LIKE 'guesses %'")
    assert rows_stored(database) == before


def fields_of(problem: dict[str, Any]) -> list[str]:
    """Return which fields a problem names, each with what is wrong about it."""
    assert all(error["detail"] for error in problem["errors"])
    return [error["field"] for error in problem["errors"]]


async def refused_fields(parley: Parley, body: object, *, user: str | None = None) -> list[str]:
    """Post a body that is JSON but not valid, and return the fields that the refusal names."""
    # Not `json=`: the client could not encode a lone surrogate, which JSON writes as \\ud800.
    headers = JSON | headers_of(user)
    response = await parley.client.post(CHAT, content=json.dumps(body), headers=headers)
    return fields_of(problem_of(response, 422, "invalid_request"))


def single(**changes: object) -> dict[str, Any]:
    """Return the AI SDK's form with one message, changed."""
    [message] = sdk_body("Hello!")["messages"]
    return {"id": CHAT_ID, "message": message | changes}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b'{"message": "Hello!"',
        b"message=Hello",
        b'{"message": "Hello!"} {}',
        b'{"message": "Hello!", "x": NaN}',
        b'{"message": "Hello!", "x": Infinity}',
        b'{"message": "Hello!", "x": -Infinity}',
        b'{"message": "\xff\xfe"}',
        b'{"message": "\xed\xa0\x80"}',
        '{"message": "Hello!"}'.encode("utf-16"),
        b'{"message": "line\nbreak"}',
        b"[" * 100_000,
        b'{"message": "Hello!", "x": ' + b'{"x":' * 100_000 + b"1" + b"}" * 100_001,
        b'{"message": "Hello!", "x": ' + b"9" * 100_000 + b"}",
    ],
    ids=lambda body: ascii(body[:30]),
)
async def test_what_is_not_json_is_malformed(parley: Parley, body: bytes) -> None:
    response = await parley.client.post(CHAT, content=body, headers=JSON)

    problem_of(response, 400, "malformed_request")


@pytest.mark.parametrize("body", [[], "Hello!", 5, None, True])
async def test_json_that_is_no_object_is_not_valid(parley: Parley, body: object) -> None:
    assert await refused_fields(parley, body) == [""]


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({}, ["message"]),
        ({"text": "Hello!"}, ["message"]),
        ({"message": None}, ["message"]),
        ({"message": 5}, ["message"]),
        ({"message": ["Hello!"]}, ["message"]),
        ({"message": "Hello!", "conversation_id": 5}, ["conversation_id"]),
        ({"message": "Hello!", "session_id": 5}, ["session_id"]),
        ({"message": "Hello!", "conversation_id": ""}, ["conversation_id"]),
        ({"message": "Hello!", "conversation_id": "x" * 256}, ["conversation_id"]),
        ({"message": "Hello!", "conversation_id": "too short"}, ["conversation_id"]),
        ({"message": "Hello!", "message_id": 5}, ["message_id"]),
        ({"message": "Hello!", "message_id": ""}, ["message_id"]),
        ({"message": "Hello!", "message_id": "x" * 256}, ["message_id"]),
        ({"message": "Hello!", "stream": "yes"}, ["stream"]),
        ({"message": "Hello!", "stream": 1}, ["stream"]),
        ({"message": 5, "message_id": 5, "stream": 5}, ["message", "message_id", "stream"]),
        ({"message": single()["message"]}, ["id"]),
        (single() | {"id": 5}, ["id"]),
        (single() | {"id": None}, ["id"]),
        (single() | {"trigger": "something"}, ["trigger"]),
        (single() | {"messageId": 5}, ["messageId"]),
        (single(id=5), ["message.id"]),
        (single(role="system"), ["message.role"]),
        (single(role="tool"), ["message.role"]),
        (single(role=None), ["message.role"]),
        (single(parts="Hello!"), ["message.parts"]),
        (single(parts=[]), ["message.parts"]),
        (single(parts=[{"type": "text"}]), ["message.parts.0.text"]),
        (single(parts=[{"type": "text", "text": 5}]), ["message.parts.0.text"]),
        (sdk_body("Hello!") | {"messages": "Hello!"}, ["messages"]),
        (sdk_body("Hello!") | {"messages": 5}, ["messages"]),
        (sdk_body("Hello!") | {"messages": ["Hello!"]}, ["messages.0"]),
        (sdk_body("Hello!") | {"messages": [{"role": "user"}]}, ["messages.0.parts"]),
    ],
)
async def test_each_field_that_is_missing_or_wrong_is_named(
    parley: Parley, body: dict[str, Any], fields: list[str]
) -> None:
    assert await refused_fields(parley, body) == fields


IGNORED = json.loads("""{
    "temperature": 0, "top_p": 0.9, "topP": 0.9, "topK": 40, "seed": 7, "stop": ["x"],
    "max_tokens": 9, "maxTokens": 9, "max_completion_tokens": 9, "maxOutputTokens": 9,
    "presence_penalty": 1, "frequencyPenalty": 1, "logitBias": {"1": 1}, "stopSequences": ["x"],
    "system": "Be brief.", "systemPrompt": "Be brief.", "instructions": "Be brief.", "n": 2,
    "tools": [{"type": "function"}], "toolChoice": "auto", "function_call": "auto", "maxSteps": 3,
    "response_format": {"type": "json_object"}, "webSearch": false, "verbosity": "low",
    "reasoning": {"effort": "low"}, "providerOptions": {"openai": {}}, "files": ["a.png"]
}""")
IN_PLAIN_FORM = json.loads("""{
    "id": "mine", "messageId": "mine", "conversationId": "mine", "chatId": "mine",
    "trigger": "regenerate-message", "images": ["a.png"]
}""")
IN_SDK_FORM = json.loads("""{
    "message_id": "mine", "conversation_id": "mine", "chatId": "mine", "stream": false,
    "data": [{"type": "data-place", "data": 1}]
}""")


@pytest.mark.parametrize(
    ("body", "ignored"),
    [
        ({"message": "Hello!"}, IGNORED | IN_PLAIN_FORM),
        (single(), IGNORED | IN_SDK_FORM),
        (sdk_body("Hello!"), IGNORED | IN_SDK_FORM),
    ],
    ids=["plain", "useChat, one message", "useChat"],
)
async def test_a_field_that_means_something_and_would_be_ignored_is_refused(
    parley: Parley, body: dict[str, Any], ignored: dict[str, object]
) -> None:
    assert await refused_fields(parley, body | ignored) == sorted(ignored)


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"mediaType": "application/pdf"}, "message.parts.1"),
        ({"mediaType": "application/zip"}, "message.parts.1"),
        ({"mediaType": None}, "message.parts.1.mediaType"),
        ({"url": "http://example.com/image.png"}, "message.parts.1"),
        ({"url": "file:///etc/passwd"}, "message.parts.1"),
        ({"url": "https://"}, "message.parts.1"),
        ({"url": "https://example.com/" + "a" * 2048}, "message.parts.1"),
        ({"url": "data:image/png;base64,"}, "message.parts.1"),
        ({"url": "data:image/png;base64,not base64"}, "message.parts.1"),
        ({"url": "data:image/jpeg;base64,AAAA"}, "message.parts.1"),
        ({"url": "data:text/html;base64,AAAA"}, "message.parts.1"),
        ({"filename": "a" * 256}, "message.parts.1.filename"),
    ],
)
async def test_files_that_are_no_images_by_https_or_data_url_are_refused(
    parley: Parley, changed: dict[str, object], field: str
) -> None:
    file = {"type": "file", "mediaType": "image/png", "url": "https://example.com/image.png"}
    parts = [{"type": "text", "text": "See"}, file | changed]

    assert await refused_fields(parley, single(parts=parts), user="ann") == [field]


async def test_a_message_has_ten_files_at_most(parley: Parley) -> None:
    file = {"type": "file", "mediaType": "image/png", "url": "https://example.com/image.png"}

    assert await refused_fields(parley, single(parts=[file] * 11), user="ann") == ["message.parts"]


async def test_a_message_has_a_hundred_parts_at_most(parley: Parley) -> None:
    part = {"type": "text", "text": ""}
    body = single(parts=[{"type": "text", "text": "Hello!"}, *[part] * 100])

    assert await refused_fields(parley, body) == ["message.parts"]


async def test_the_newest_message_must_not_be_the_systems(parley: Parley) -> None:
    messages = [*sdk_body("Hello!")["messages"], single(role="system")["message"]]

    assert await refused_fields(parley, {"id": CHAT_ID, "messages": messages}) == [
        "messages.1.role"
    ]


@pytest.mark.parametrize("messages", [[], [{"role": "assistant", "parts": []}]])
async def test_without_a_message_there_is_nothing_to_answer(
    parley: Parley, messages: list[object]
) -> None:
    problem_of(await parley.send("", messages=messages), 422, "nothing_to_answer")


async def test_a_single_message_of_the_assistant_is_nothing_to_answer(parley: Parley) -> None:
    response = await parley.client.post(CHAT, json=single(role="assistant"))

    problem_of(response, 422, "nothing_to_answer")


@pytest.mark.parametrize("text", ["", " ", "\n\t \u2003\u2028", "x" * 10_001, "😀" * 10_001])
async def test_a_message_has_some_text_but_not_too_much(parley: Parley, text: str) -> None:
    assert await refused_fields(parley, {"message": text}) == ["message"]
    assert await refused_fields(parley, sdk_body(text)) == ["messages.0.parts"]


@pytest.mark.parametrize("bad", NUL_AND_SURROGATES, ids=ascii)
@pytest.mark.parametrize(
    ("field", "body"),
    [
        ("message", {"message": "{bad}"}),
        ("message_id", {"message": "Hello!", "message_id": "{bad}"}),
        ("conversation_id", {"message": "Hello!", "conversation_id": CHAT_ID + "{bad}"}),
        ("session_id", {"message": "Hello!", "session_id": CHAT_ID + "{bad}"}),
        ("id", single() | {"id": CHAT_ID + "{bad}"}),
        ("trigger", single() | {"trigger": "{bad}"}),
        ("messageId", single() | {"messageId": "{bad}"}),
        ("message.id", single(id="{bad}")),
        ("message.role", single(role="{bad}")),
        ("message.parts.0.text", single(parts=[{"type": "text", "text": "{bad}"}])),
        ("message.parts.0.type", single(parts=[{"type": "{bad}", "text": "Hello!"}])),
    ],
)
async def test_what_postgres_cannot_store_is_refused(
    parley: Parley, field: str, body: dict[str, Any], bad: str
) -> None:
    written = json.dumps(body).replace("{bad}", json.dumps(bad)[1:-1])

    assert await refused_fields(parley, json.loads(written)) == [field]


def cursor_of(content: str) -> str:
    """Return what would be a cursor if its content were right."""
    return base64.urlsafe_b64encode(content.encode()).decode().rstrip("=")


OF_CONVERSATION = f"{HISTORY}?conversation_id={CHAT_ID}"
LISTS = ((f"{OF_CONVERSATION}&", "before"), (f"{CONVERSATIONS}?", "cursor"))
LIMITS = ("0", "201", "-1", "abc", "", "1.5", "%00", "9" * 5000, "5&limit=5")
CONTENTS_OF_NO_CURSOR = (
    "", "null", "5", "{}", "[]", '["x"]', "[1.5]", "[null]", "[1, 2, 3]", "[[1]]", "[" * 300,
)  # fmt: skip
CURSORS = ("garbage", "%00", "%C3%A9", "%ED%A0%80", "====", "x" * 501)
DAY, ID = "2026-01-01T00:00:00", "00000000-0000-4000-8000-000000000000"
CURSORS_OF_THE_OTHER_LIST = {"before": f'["{DAY}Z", "{ID}"]', "cursor": "[5]"}


@pytest.mark.parametrize(
    ("url", "field"),
    [
        (HISTORY, "conversation_id"),
        (f"{HISTORY}?conversation_id=", "conversation_id"),
        (f"{HISTORY}?conversation_id={'x' * 256}", "conversation_id"),
        (f"{OF_CONVERSATION}%00", "conversation_id"),
        (f"{HISTORY}?session_id={CHAT_ID}%00", "session_id"),
        (f"{OF_CONVERSATION}&conversation_id={CHAT_ID}", "conversation_id"),
        (f"{HISTORY}?session_id={CHAT_ID}&session_id={CHAT_ID}", "session_id"),
        (f"{OF_CONVERSATION}&include=everything", "include"),
        (f"{CONVERSATIONS}?status=deleted", "status"),
        (f"{CONVERSATIONS}?status=ACTIVE", "status"),
        (f"{CONVERSATIONS}?export=true&limit=0", "limit"),
        (f"{CONVERSATIONS}?id={CHAT_ID}&limit=0", "limit"),
        (f"{CONVERSATIONS}?status=active&status=all", "status"),
        *((f"{url}limit={limit}", "limit") for url, _ in LISTS for limit in LIMITS),
        *((f"{url}{field}={cursor}", field) for url, field in LISTS for cursor in CURSORS),
        *(
            (f"{url}{field}={cursor_of(content)}", field)
            for url, field in LISTS
            for content in (*CONTENTS_OF_NO_CURSOR, CURSORS_OF_THE_OTHER_LIST[field])
        ),
        *(
            (f"{OF_CONVERSATION}&before={encode_cursor(row)}", "before")
            for row in (-1, 2**63, 10**100)
        ),
        (f"{CONVERSATIONS}?cursor={cursor_of(f'["{DAY}", "{ID}"]')}", "cursor"),
        (f"{CONVERSATIONS}?cursor={cursor_of(f'["{ID}", "{DAY}Z"]')}", "cursor"),
    ],
    ids=lambda value: value[4:80],
)
async def test_each_parameter_that_is_wrong_or_repeated_is_named(
    parley: Parley, url: str, field: str
) -> None:
    response = await parley.client.get(url, headers=headers_of("ann"))

    assert fields_of(problem_of(response, 422, "invalid_request")) == [field]


async def test_an_id_that_begins_no_conversation_is_read_as_one_that_is_missing(
    parley: Parley,
) -> None:
    response = await parley.get(HISTORY, user="ann", conversation_id="1")

    problem_of(response, 404, "not_found")


@pytest.mark.parametrize("is_chunked", [False, True])
async def test_a_body_may_have_4_mb_and_not_a_byte_more(
    parley: Parley, *, is_chunked: bool
) -> None:
    async def chunks(body: bytes) -> AsyncGenerator[bytes]:
        for start in range(0, len(body), 65_536):
            yield body[start : start + 65_536]

    opening = b'{"message": "'
    whole = opening + b" " * (MAX_BYTES - len(opening) - 2) + b'"}'
    for body, status, code in (
        (whole, 422, "invalid_request"),
        (b" " + whole, 413, "payload_too_large"),
    ):
        content = chunks(body) if is_chunked else body
        response = await parley.client.post(CHAT, content=content, headers=JSON)

        assert ("content-length" in response.request.headers) != is_chunked
        problem_of(response, status, code)


@pytest.mark.parametrize(
    "content_type",
    [None, "", "text/plain", "text/json", "application/jsonp", "multipart/form-data; boundary=x"],
)
async def test_only_json_is_taken(parley: Parley, content_type: str | None) -> None:
    headers = {} if content_type is None else {"content-type": content_type}

    response = await parley.client.post(CHAT, content=b'{"message": "Hello!"}', headers=headers)

    problem_of(response, 415, "unsupported_media_type")


@pytest.mark.parametrize(
    "content_type",
    ["application/json;charset=utf-8", "application/json ; charset=UTF-8", "Application/JSON"],
)
async def test_json_may_be_named_with_parameters_and_in_any_case(
    parley: Parley, content_type: str
) -> None:
    response = await parley.client.post(CHAT, content=b"{}", headers={"content-type": content_type})

    problem_of(response, 422, "invalid_request")


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        (CHAT, {"POST", "OPTIONS"}),
        (HISTORY, {"GET", "HEAD", "OPTIONS"}),
        (CONVERSATIONS, {"GET", "HEAD", "POST", "PATCH", "DELETE", "OPTIONS"}),
        ("/api/auth", {"GET", "HEAD", "POST", "PATCH", "DELETE", "OPTIONS"}),
        ("/api/health", {"GET", "HEAD", "OPTIONS"}),
        ("/api/cron/cleanup", {"GET", "HEAD", "OPTIONS"}),
    ],
)
async def test_a_wrong_method_is_told_the_right_ones(
    parley: Parley, path: str, allowed: set[str]
) -> None:
    for method in {"GET", "POST", "PUT", "PATCH", "DELETE", "BREW"} - allowed:
        response = await parley.client.request(method, path)

        problem_of(response, 405, "method_not_allowed")
        assert set(response.headers["allow"].split(", ")) == allowed
    options = await parley.client.options(path)
    assert set(options.headers["allow"].split(", ")) == allowed


@pytest.mark.parametrize(
    "path", ["/api/health", CONVERSATIONS, f"{HISTORY}?conversation_id={CHAT_ID}", HISTORY]
)
async def test_head_answers_as_get_does_but_for_the_body(parley: Parley, path: str) -> None:
    got = await parley.client.get(path, headers=headers_of("ann"))
    head = await parley.client.head(path, headers=headers_of("ann"))

    assert (head.status_code, head.content) == (got.status_code, b"")
    for name in ("content-type", "content-length"):
        assert head.headers[name] == got.headers[name]


@pytest.mark.parametrize(
    "conversation", ["d306e651-eacd-4cc3-a026-f8f7fd04a4ee", CHAT_ID, "😀" * 16]
)
async def test_a_conversation_that_is_not_there_is_not_found(
    parley: Parley, conversation: str
) -> None:
    problem_of(await parley.get(HISTORY, conversation_id=conversation), 404, "not_found")
