"""Answers held against `public/openapi.json`: the tests' HTTP client checks each that it gets."""

import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, override

import httpx2
import jsonschema_rs

from lib.functions import EXPOSED_HEADERS

FILE = Path(__file__).parent.parent.parent / "public" / "openapi.json"
# Headers that are answered where they are described, and nowhere else.
HEADERS = {*EXPOSED_HEADERS, "www-authenticate", "content-disposition"}
LINES = {"application/x-ndjson", "application/jsonl"}

type Json = dict[str, Any]


class CheckedClient(httpx2.AsyncClient):
    """A client that fails when an answer is not as described."""

    @override
    async def send(
        self, request: httpx2.Request, *, stream: bool = False, **options: Any
    ) -> httpx2.Response:
        """Send a request, and check its answer unless it is streamed."""
        response = await super().send(request, stream=stream, **options)
        if not stream:
            check(request, response)
        return response


def check(request: httpx2.Request, response: httpx2.Response) -> None:
    """Check an answer.

    Raises:
        AssertionError: the answer is not as described.
    """
    path = request.url.raw_path.decode().partition("?")[0].removesuffix("/")
    found = [template for template, pattern in _paths().items() if pattern.fullmatch(path)]
    if request.method == "OPTIONS" or not found:
        return
    method = "get" if request.method == "HEAD" else request.method.lower()
    operation = description()["paths"][found[0]].get(method)
    what = f"{request.method} {found[0]}: {response.status_code}"
    if operation is None:
        assert response.status_code == 405, what
        return
    described = operation["responses"].get(str(response.status_code))
    assert described is not None, f"{what} is not described: {response.text}"
    if "$ref" in described:
        described = description()["components"]["responses"][described["$ref"].rsplit("/", 1)[1]]
    _check_headers(what, described["headers"], response)
    if request.method != "HEAD":
        _check_body(what, described.get("content", {}), response)


@cache
def description() -> Json:
    """Return the description."""
    return json.loads(FILE.read_text(encoding="utf-8"))


@cache
def _paths() -> dict[str, re.Pattern[str]]:
    templates = description()["paths"]
    return {each: re.compile(re.sub(r"\{\w+\}", "[^/]*", each)) for each in templates}


def _check_headers(what: str, described: Json, response: httpx2.Response) -> None:
    for name in HEADERS & set(response.headers):
        assert name in described, f"{what} has {name}, which is not described"
    for name in described:
        header = description()["components"]["headers"][name]
        given = response.headers.get(name)
        assert given is not None or not header["required"], f"{what} has no {name}"
        if given is not None:
            is_number = header["schema"]["type"] == "integer"
            _validate(f"{what} {name}", header["schema"], int(given) if is_number else given)


def _check_body(what: str, content: Json, response: httpx2.Response) -> None:
    if not content:
        assert not response.content, what
        return
    media_type = response.headers["content-type"].partition(";")[0]
    described = content.get(media_type, content.get("*/*"))
    assert described is not None, f"{what} is {media_type}"
    schema = described["schema"]
    for value in _values(media_type, response):
        _validate(what, schema, value)


def _values(media_type: str, response: httpx2.Response) -> Iterator[object]:
    """Yield the values that a schema describes: the body, each of its lines, or each event."""
    if media_type in LINES:
        yield from map(json.loads, response.text.removesuffix("\n").split("\n"))
    elif media_type.endswith("json"):
        yield response.json()
    elif media_type == "text/event-stream":
        for event in response.text.split("\n\n"):
            if event.startswith("data: "):
                yield {"data": event.removeprefix("data: ")}
    else:
        yield response.text


def _validate(what: str, schema: Json, value: object) -> None:
    error = next(_validator(json.dumps(schema)).iter_errors(value), None)
    assert error is None, f"{what} is not as it is described: {error}"


@cache
def _validator(schema: str) -> jsonschema_rs.Draft202012Validator:
    """Return a validator, which is made once for each of some hundred schemas."""
    complete = json.loads(schema) | {"components": description()["components"]}
    return jsonschema_rs.Draft202012Validator(complete, validate_formats=True, keywords=KEYWORDS)


class _ContentSchema:
    """The keyword, which validators ignore by themselves: checks the JSON in a text."""

    def __init__(self, _parent: Json, value: Json, _path: list[str | int]) -> None:
        """Take its value."""
        self._schema = value

    def validate(self, instance: object) -> None:
        """Check a text.

        Raises:
            ValueError: the text is not JSON, or not as described.
        """
        try:
            _validate("a part", self._schema, json.loads(str(instance)))
        except AssertionError as error:
            raise ValueError(str(error)) from None


KEYWORDS: dict[str, type[Any]] = {"contentSchema": _ContentSchema}
