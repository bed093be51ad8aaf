"""public/openapi.json: up to date, valid OpenAPI, and strict about answers."""

import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any, cast

import httpx2
import pytest
from schemathesis.specs.openapi.definitions import OPENAPI_31_VALIDATOR

from lib.problems import Problem
from tests.openapi.conformance import check, description
from tests.support.product import ROOT

HEADERS = {"server-timing": "db;dur=0.0, model;dur=0.0, total;dur=0.1"}
JSON = HEADERS | {"content-type": "application/json"}
STREAM = HEADERS | {"content-type": "text/event-stream; charset=utf-8"}
HEALTHY = {"status": "ok", "version": "0.1.0"}


def test_the_description_is_up_to_date() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "dev.openapi", "--check"],
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
    )

    assert done.returncode == 0, done.stderr


def test_the_description_is_valid_openapi() -> None:
    assert list(OPENAPI_31_VALIDATOR.iter_errors(description())) == []


def test_each_reference_has_its_component_and_each_component_is_used() -> None:
    whole = description()
    references = {each for each in _references(whole) if each.startswith("#/components/")}
    components = {
        f"#/components/{kind}/{name}"
        for kind in ("schemas", "responses", "headers")
        for name in whole["components"][kind]
    }

    assert references == components


def test_each_code_of_a_problem_is_in_some_operation() -> None:
    classes = vars(sys.modules[Problem.__module__]).values()
    problems = [each for each in classes if isinstance(each, type) and issubclass(each, Problem)]
    described = description()
    text = json.dumps([described["paths"], described["components"]["responses"]])

    # Methods that are not described.
    missing = [each.code for each in problems if f'"{each.code}"' not in text]
    assert missing == ["method_not_allowed"]


def test_operations_have_different_names() -> None:
    names = [
        operation["operationId"]
        for methods in description()["paths"].values()
        for operation in methods.values()
    ]

    assert len(names) == len(set(names)) > 15


@pytest.mark.parametrize(
    ("method", "path", "status", "headers", "body"),
    [
        ("GET", "/api/health", 200, JSON, HEALTHY),
        ("HEAD", "/api/health", 200, HEADERS, ""),
        ("POST", "/api/health", 405, {}, ""),
        ("GET", "/elsewhere", 404, {}, ""),
        ("GET", "/api/chat/a%2Fb/stream", 204, HEADERS, ""),
        ("POST", "/api/chat", 200, STREAM, 'data: {"type":"abort"}\n\ndata: [DONE]\n\n'),
    ],
)
def test_an_answer_as_described_passes(
    method: str, path: str, status: int, headers: dict[str, str], body: object
) -> None:
    _check(method, path, status, headers, body)


@pytest.mark.parametrize(
    ("method", "path", "status", "headers", "body"),
    [
        ("GET", "/api/health", 201, JSON, HEALTHY),
        ("GET", "/api/health", 200, {"content-type": "application/json"}, HEALTHY),
        ("GET", "/api/health", 200, JSON | {"retry-after": "1"}, HEALTHY),
        ("GET", "/api/health", 200, HEADERS | {"content-type": "text/html"}, "ok"),
        ("GET", "/api/health", 200, JSON, HEALTHY | {"more": 1}),
        ("GET", "/api/health", 200, JSON, {"status": "ok"}),
        ("HEAD", "/api/health", 404, HEADERS, ""),
        ("POST", "/api/health", 200, JSON, HEALTHY),
        ("DELETE", "/api/auth", 204, HEADERS, "something"),
        ("POST", "/api/chat", 200, STREAM, 'data: {"type":"unheard-of"}\n\n'),
        ("POST", "/api/chat", 200, STREAM, "data: {garbled\n\n"),
        ("POST", "/api/chat", 200, STREAM | {"x-conversation-id": "5"}, ""),
    ],
)
def test_an_answer_that_is_not_as_described_fails(
    method: str, path: str, status: int, headers: dict[str, str], body: object
) -> None:
    with pytest.raises(AssertionError):
        _check(method, path, status, headers, body)


@pytest.mark.parametrize(("code", "is_described"), [("not_found", True), ("email_taken", False)])
def test_an_operation_answers_only_the_problems_that_it_names(
    *, code: str, is_described: bool
) -> None:
    headers = HEADERS | {"content-type": "application/problem+json"}
    problem = {
        "type": "about:blank",
        "title": "Not Found",
        "status": 404,
        "code": code,
        "detail": "There is none.",
        "request_id": "1",
    }
    if is_described:
        _check("GET", "/api/history", 404, headers, problem)
    else:
        with pytest.raises(AssertionError, match="email_taken"):
            _check("GET", "/api/history", 404, headers, problem)


def _check(method: str, path: str, status: int, headers: dict[str, str], body: object) -> None:
    text = body if isinstance(body, str) else json.dumps(body)
    request = httpx2.Request(method, f"http://parley{path}")
    check(request, httpx2.Response(status, headers=headers, content=text))


def _references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        fields = cast("dict[str, Any]", value)
        if "$ref" in fields:
            yield fields["$ref"]
        for each in fields.values():
            yield from _references(each)
    elif isinstance(value, list):
        for each in cast("list[Any]", value):
            yield from _references(each)
