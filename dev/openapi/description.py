"""The description as a whole."""

import os
from pathlib import Path
from typing import Any

from dev.functions import load_functions
from dev.openapi import answers, chunks, reports
from dev.openapi.endpoints import ENDPOINTS
from dev.openapi.headers import header_components
from dev.openapi.problems import problem_schemas
from dev.openapi.rules import RULES
from dev.openapi.schemas import REF, Components, Schema
from lib import __version__
from lib.chat.forms import FilePart, PlainForm, SdkForm, TextPart, UserMessage
from lib.conversations.bodies import Change, Mark
from lib.users.bodies import Credentials, NewTask, TaskChange

ROOT = Path(__file__).resolve().parent.parent.parent

REQUESTS: dict[str, Any] = {
    "ChatRequest": PlainForm | SdkForm,
    "SentTextPart": TextPart,
    "SentFilePart": FilePart,
    "SentUserMessage": UserMessage,
    "ConversationChange": Change,
    "MistakeMark": Mark,
    "Credentials": Credentials,
    "NewTask": NewTask,
    "TaskChange": TaskChange,
}
RENAMED = {"PlainForm": "PlainChatRequest", "SdkForm": "UIChatRequest"}
ANSWERS: dict[str, Any] = {
    "ChatAnswer": answers.ChatAnswer,
    "HistoryPage": answers.HistoryPage,
    "Message": answers.Message,
    "ConversationOrPage": answers.ConversationSummary | answers.ConversationPage,
    "ConversationSummary": answers.ConversationSummary,
    "ExportLine": answers.ExportLine,
    "MistakesOrUsage": answers.MistakePage | answers.UsageReport,
    "MistakeExample": answers.MistakeExample,
    "TaskPage": answers.TaskPage,
    "SignedIn": answers.SignedIn,
    "CleanUpReport": answers.CleanUpReport,
    "UIMessageChunk": chunks.UIMessageChunk,
    "Health": reports.Health,
    "Metrics": reports.Metrics,
}
# What no model says.
OTHERS: dict[str, Schema] = {
    "UIMessageEvent": {
        "type": "object",
        "description": "An event: its `data` is a part or, as the last one, `[DONE]`.",
        "properties": {
            "data": {
                "anyOf": [
                    {"type": "string", "const": "[DONE]"},
                    {
                        "type": "string",
                        "contentMediaType": "application/json",
                        "contentSchema": {"$ref": f"{REF}UIMessageChunk"},
                    },
                ]
            }
        },
        "required": ["data"],
    },
    "SentOtherMessage": {
        "type": "object",
        "description": "An answer, as the page has it. It is not read: the server has its own.",
        "properties": {"role": {"type": "string", "const": "assistant"}},
        "required": ["role"],
    },
    "SentMessage": {
        "oneOf": [{"$ref": f"{REF}SentUserMessage"}, {"$ref": f"{REF}SentOtherMessage"}],
        "discriminator": {
            "propertyName": "role",
            "mapping": {
                "user": f"{REF}SentUserMessage",
                "assistant": f"{REF}SentOtherMessage",
            },
        },
    },
    "PrometheusText": {"type": "string", "description": "Its text format, version 0.0.4."},
}
BEARER = {"type": "http", "scheme": "bearer"}
SECURITY_SCHEMES = {
    "token": BEARER
    | {
        "bearerFormat": "JWT",
        "description": "A user's token, with `sub` and `exp`. Where it may be left out, the caller "
        "is anonymous, unless AUTH_REQUIRED is set.",
    },
    "cronSecret": BEARER | {"description": "CRON_SECRET."},
    "metricsToken": BEARER | {"description": "METRICS_TOKEN."},
}


def describe() -> Schema:
    """Return the description.

    Raises:
        ValueError: it does not name the same operations as the functions of `api/`.
    """
    _check_operations()
    paths: dict[str, Schema] = {}
    for tag, (_, operations) in ENDPOINTS.items():
        for (method, path), operation in operations.items():
            paths.setdefault(path, {})[method.lower()] = operation.to_openapi(tag)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Parley",
            "version": __version__,
            "summary": "A chat backend.",
            "description": "Methods that are not named here are answered 405 "
            "`method_not_allowed`, with the header Allow.",
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": "/"}],
        "tags": [{"name": tag, "description": text} for tag, (text, _) in ENDPOINTS.items()],
        "paths": paths,
        "components": {
            "schemas": _schemas(),
            "headers": header_components(),
            "securitySchemes": SECURITY_SCHEMES,
        },
    }


def _schemas() -> dict[str, Schema]:
    components = Components()
    components.add(REQUESTS, "validation", RENAMED, RULES)
    components.add(ANSWERS, "serialization")
    return dict(sorted((components.schemas | problem_schemas() | OTHERS).items()))


def _check_operations() -> None:
    described = {each for _, operations in ENDPOINTS.values() for each in operations}
    if offered := _offered() ^ described:
        message = f"described, but not there, or the other way round: {sorted(offered)}"
        raise ValueError(message)


def _offered() -> set[tuple[str, str]]:
    """Return the methods and addresses that the functions of `api/` declare."""
    # They do not start without; nothing is asked of it.
    os.environ.setdefault("DATABASE_URL", "postgresql://parley@nowhere/parley")
    return {
        (method, "/" + "/".join(each.segments).replace("[", "{").replace("]", "}"))
        for each in load_functions(ROOT)
        for method in getattr(each.app, "methods", ())
    }
