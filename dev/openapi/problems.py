"""Responses that are problems: the codes that each can have, and the headers."""

import json
from collections import defaultdict
from collections.abc import Iterable
from itertools import groupby

import lib.problems
from dev.openapi.headers import headers_of
from dev.openapi.schemas import REF, Schema
from lib.problems import Problem

MEDIA_TYPE = "application/problem+json"
# By status: the headers that other responses lack.
HEADERS = {401: ("www-authenticate",)} | dict.fromkeys((409, 429, 503), ("retry-after",))


def all_problems() -> list[type[Problem]]:
    """Return all classes of problems."""
    classes = vars(lib.problems).values()
    return [each for each in classes if isinstance(each, type) and issubclass(each, Problem)]


def problem_responses(
    problems: Iterable[type[Problem]], headers: tuple[str, ...]
) -> dict[str, Schema]:
    """Return the responses of an operation that are problems, by status; with further headers."""
    ordered = sorted(set(problems), key=lambda each: (each.status, each.code))
    return {
        str(int(status)): _response(int(status), list(each), headers)
        for status, each in groupby(ordered, key=lambda each: each.status)
    }


def share_responses(paths: dict[str, Schema]) -> dict[str, Schema]:
    """Replace the problems that several operations answer alike by references; return them by name.

    Raises:
        ValueError: two responses have one name, because they differ in their headers alone.
    """
    places: defaultdict[str, list[tuple[Schema, str]]] = defaultdict(list)
    for operation in (operation for methods in paths.values() for operation in methods.values()):
        for status, response in operation["responses"].items():
            if MEDIA_TYPE in response.get("content", {}):
                places[json.dumps(response)].append((operation["responses"], status))
    shared: dict[str, Schema] = {}
    for text, users in places.items():
        if len(users) > 1:
            response = json.loads(text)
            name = _name_of(response)
            if name in shared:
                raise ValueError(f"two responses are called {name}")
            shared[name] = response
            for responses, status in users:
                responses[status] = {"$ref": f"#/components/responses/{name}"}
    return dict(sorted(shared.items()))


def _name_of(response: Schema) -> str:
    codes = response["content"][MEDIA_TYPE]["schema"]["allOf"][1]["properties"]["code"]["enum"]
    return "Or".join(code.title().replace("_", "") for code in codes)


def _response(status: int, problems: list[type[Problem]], headers: tuple[str, ...]) -> Schema:
    texts = [f"`{each.code}`: {(each.__doc__ or '').partition('\n')[0]}" for each in problems]
    codes = {"code": {"enum": [each.code for each in problems]}, "status": {"const": status}}
    schema = {"allOf": [{"$ref": f"{REF}Problem"}, {"properties": codes}]}
    return {
        "description": "\n\n".join(texts),
        "headers": headers_of([*HEADERS.get(status, ()), *headers]),
        "content": {MEDIA_TYPE: {"schema": schema}},
    }
