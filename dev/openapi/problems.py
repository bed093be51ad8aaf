"""Problems: what each answer that is no success looks like, and which codes it can have."""

from collections.abc import Iterable
from itertools import groupby

import lib.problems
from dev.openapi.headers import headers_of
from dev.openapi.schemas import REF, Schema
from lib.problems import Problem

MEDIA_TYPE = "application/problem+json"
# Those that need another header than each answer has; by status.
HEADERS = {
    401: ("www-authenticate",),
    409: ("retry-after",),
    429: ("retry-after",),
    503: ("retry-after",),
}


def all_problems() -> list[type[Problem]]:
    """Return each class of problem there is."""
    found = vars(lib.problems).values()
    return [each for each in found if isinstance(each, type) and issubclass(each, Problem)]


def problem_schemas() -> dict[str, Schema]:
    """Return the components that describe a problem."""
    error: Schema = {
        "type": "object",
        "description": "What is wrong with one field.",
        "properties": {"field": {"type": "string"}, "detail": {"type": "string"}},
        "required": ["field", "detail"],
        "additionalProperties": False,
    }
    errors: Schema = {"type": "array", "items": {"$ref": f"{REF}FieldError"}, "minItems": 1}
    properties: dict[str, Schema] = {
        "type": {"const": "about:blank", "type": "string"},
        "title": {"type": "string", "description": "The status in words."},
        "status": {"type": "integer", "minimum": 400, "maximum": 599},
        "code": {"$ref": f"{REF}ProblemCode"},
        "detail": {"type": "string", "description": "What was wrong and what to do, for people."},
        "request_id": {"type": "string", "description": "What the log calls the request."},
        "errors": errors | {"description": "With `invalid_request`: each field that is not valid."},
    }
    problem: Schema = {
        "type": "object",
        "description": "Problem details (RFC 9457).",
        "properties": properties,
        "required": [name for name in properties if name != "errors"],
        "additionalProperties": False,
    }
    codes: Schema = {
        "type": "string",
        "description": "What went wrong: stable, for programs.",
        "enum": sorted(each.code for each in all_problems()),
    }
    return {"FieldError": error, "Problem": problem, "ProblemCode": codes}


def problem_responses(
    problems: Iterable[type[Problem]], headers: tuple[str, ...]
) -> dict[str, Schema]:
    """Return the responses of an operation that are problems, by status; with further headers."""
    ordered = sorted(set(problems), key=lambda each: (each.status, each.code))
    return {
        str(int(status)): _response(int(status), list(each), headers)
        for status, each in groupby(ordered, key=lambda each: each.status)
    }


def _response(status: int, problems: list[type[Problem]], headers: tuple[str, ...]) -> Schema:
    texts = [f"`{each.code}`: {(each.__doc__ or '').partition('\n')[0]}" for each in problems]
    codes = {"code": {"enum": [each.code for each in problems]}, "status": {"const": status}}
    schema = {"allOf": [{"$ref": f"{REF}Problem"}, {"properties": codes}]}
    return {
        "description": "\n\n".join(texts),
        "headers": headers_of([*HEADERS.get(status, ()), *headers]),
        "content": {MEDIA_TYPE: {"schema": schema}},
    }
