"""The complete description."""

import os
from pathlib import Path

from dev.functions import load_functions
from dev.openapi.answers import ANSWERS
from dev.openapi.chunks import chunk_schemas
from dev.openapi.endpoints import ENDPOINTS
from dev.openapi.headers import header_components
from dev.openapi.problems import share_responses
from dev.openapi.requests import REQUESTS
from dev.openapi.schemas import Schema, schemas_of
from lib import __version__

ROOT = Path(__file__).resolve().parent.parent.parent
PROMETHEUS_TEXT: Schema = {"type": "string", "description": "Its text format, version 0.0.4."}
FILE_BYTES: Schema = {"type": "string", "format": "binary", "description": "Bytes of a file."}
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
            "responses": share_responses(paths),
            "headers": header_components(),
            "securitySchemes": SECURITY_SCHEMES,
        },
    }


def _schemas() -> dict[str, Schema]:
    requests, answers = schemas_of(REQUESTS, "validation"), schemas_of(ANSWERS, "serialization")
    if different := [name for name in requests.keys() & answers if requests[name] != answers[name]]:
        raise ValueError(f"schemas of requests and answers have one name: {different}")
    others = chunk_schemas() | {
        "PrometheusText": PROMETHEUS_TEXT,
        "FileBytes": FILE_BYTES,
    }
    return dict(sorted((requests | answers | others).items()))


def _check_operations() -> None:
    described = {each for _, operations in ENDPOINTS.values() for each in operations}
    if offered := _offered() ^ described:
        message = f"described, but not there, or the other way round: {sorted(offered)}"
        raise ValueError(message)


def _offered() -> set[tuple[str, str]]:
    """Return the methods and addresses that the functions of `api/` declare."""
    # They do not start without; nothing is asked of it.
    os.environ.setdefault("DATABASE_URL", "postgresql://parley@127.0.0.1/parley")
    return {
        (method, "/" + "/".join(each.segments).replace("[", "{").replace("]", "}"))
        for each in load_functions(ROOT)
        for method in getattr(each.app, "methods", ())
    }
