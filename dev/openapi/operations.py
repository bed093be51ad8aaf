"""Operations: one method of one address each, and its part of the description."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from dev.openapi.headers import headers_of
from dev.openapi.problems import problem_responses
from dev.openapi.schemas import REF, Schema, parameters_in
from lib.identity.conversation_keys import HEADER, KEY
from lib.problems import (
    AccountDeleted,
    AccountInactive,
    AccountUnknown,
    DatabaseNotMigrated,
    DatabaseTooSlow,
    DatabaseUnavailable,
    IdentityProviderUnavailable,
    InvalidRequest,
    MalformedRequest,
    PayloadTooLarge,
    Problem,
    RefusedByRule,
    TooManyGuesses,
    Unauthenticated,
    UnsupportedMediaType,
)

type Caller = Literal["anybody", "guest", "user", "cron", "metrics"]

# The callers that an operation lets in, as OpenAPI says it: any one of these suffices.
SECURITY: dict[Caller, list[dict[str, list[str]]]] = {
    "anybody": [],
    "guest": [{"token": []}, {}],
    "user": [{"token": []}],
    "cron": [{"cronSecret": []}],
    "metrics": [{"metricsToken": []}],
}
CONVERSATION_KEY: Schema = {
    "type": "string",
    "pattern": f"^{KEY.pattern}$",
    "description": "The key of a conversation without an owner; where it has one, the id alone "
    "does not reach it.",
}
BY_TOKEN = (
    Unauthenticated,
    IdentityProviderUnavailable,
    AccountInactive,
    AccountDeleted,
    AccountUnknown,
)
OF_BODIES = (MalformedRequest, PayloadTooLarge, UnsupportedMediaType, InvalidRequest)
OF_DATABASE = (DatabaseUnavailable, DatabaseTooSlow, DatabaseNotMigrated)


@dataclass(frozen=True, slots=True)
class Answer:
    """A success.

    Attributes:
        text: the meaning of the answer.
        content: components by media type; none: no body.
        headers: headers that not all answers have.
        links: operations that use parts of the answer: their parameters, as runtime expressions.
    """

    text: str
    content: Mapping[str, str] = field(default_factory=dict[str, str])
    headers: tuple[str, ...] = ()
    links: Mapping[str, Mapping[str, str]] = field(default_factory=dict[str, Mapping[str, str]])


def as_json(
    component: str, text: str, *headers: str, links: Mapping[str, Mapping[str, str]] | None = None
) -> Answer:
    """Return an answer in JSON."""
    return Answer(text, {"application/json": component}, headers, links or {})


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One method of one address.

    Attributes:
        name: the name for programs.
        summary: the purpose in a few words.
        text: further facts.
        caller: the callers that it lets in.
        path: schemas of the path's parameters.
        query: the query string.
        more_query: schemas of parameters that no query string reads.
        body: the component that describes the body.
        is_body_optional: some callers send none.
        has_binary_body: the body is bytes, of any type.
        optional_content: schemas by media type of a body that some callers send.
        answers: the successes, by status.
        problems: the problems of its own; those of its caller, body and query are added.
        problem_headers: headers that the problems may have.
    """

    name: str
    summary: str
    text: str = ""
    caller: Caller
    path: Mapping[str, Schema] = field(default_factory=dict[str, Schema])
    query: type | None = None
    more_query: Mapping[str, Schema] = field(default_factory=dict[str, Schema])
    body: str | None = None
    is_body_optional: bool = False
    has_binary_body: bool = False
    optional_content: Mapping[str, Schema] = field(default_factory=dict[str, Schema])
    answers: Mapping[int, Answer]
    problems: tuple[type[Problem], ...] = ()
    problem_headers: tuple[str, ...] = ()

    def to_openapi(self, tag: str) -> Schema:
        """Return the operation as OpenAPI has it."""
        responses = {str(status): _success(each) for status, each in self.answers.items()}
        operation: Schema = {"operationId": self.name, "summary": self.summary}
        if self.text:
            operation["description"] = " ".join(self.text.split())
        operation |= {"tags": [tag], "security": SECURITY[self.caller]}
        if parameters := [*self._parameters()]:
            operation["parameters"] = parameters
        if self.body:
            content = {"application/json": {"schema": {"$ref": REF + self.body}}}
            operation["requestBody"] = {
                "required": not self.is_body_optional,
                "content": content,
            }
        if self.has_binary_body:
            content = {"application/octet-stream": {"schema": {"$ref": f"{REF}FileBytes"}}}
            operation["requestBody"] = {"required": True, "content": content}
        if self.optional_content:
            content = {name: {"schema": schema} for name, schema in self.optional_content.items()}
            operation["requestBody"] = {"required": False, "content": content}
        return operation | {
            "responses": responses | problem_responses(self._problems(), self.problem_headers)
        }

    def _parameters(self) -> Iterator[Schema]:
        for name, schema in self.path.items():
            yield _parameter(name, "path", schema, is_required=True)
        for name, schema, is_required in parameters_in(self.query) if self.query else ():
            yield _parameter(name, "query", schema, is_required=is_required)
        for name, schema in self.more_query.items():
            yield _parameter(name, "query", schema, is_required=False)
        if self.caller == "guest":
            yield _parameter(HEADER, "header", CONVERSATION_KEY, is_required=False)

    def _problems(self) -> Iterator[type[Problem]]:
        yield Problem
        yield from self.problems
        if self.caller in {"guest", "user"}:
            yield from BY_TOKEN
            yield RefusedByRule
        if self.caller in {"cron", "metrics"}:
            yield Unauthenticated
        if self.body or self.optional_content:
            yield from OF_BODIES
        if self.query or self.caller == "guest":
            yield InvalidRequest
        if self.caller == "guest":
            yield TooManyGuesses
        yield from OF_DATABASE


def _parameter(name: str, place: str, schema: Schema, *, is_required: bool) -> Schema:
    plain = {key: value for key, value in schema.items() if key != "description"}
    parameter: Schema = {"name": name, "in": place, "required": is_required, "schema": plain}
    return parameter | ({"description": schema["description"]} if "description" in schema else {})


def _success(answer: Answer) -> Schema:
    response: Schema = {"description": answer.text, "headers": headers_of(answer.headers)}
    content = {
        media_type: {"schema": {"$ref": REF + component}}
        for media_type, component in answer.content.items()
    }
    links = {
        name: {"operationId": name, "parameters": dict(parameters)}
        for name, parameters in answer.links.items()
    }
    return (
        response | ({"content": content} if content else {}) | ({"links": links} if links else {})
    )
