"""The steps of an imported answer: read strictly, because history and the model get them."""

import json
import re
from typing import Any, cast

from lib.conversations.parts import Data, File, Part, Reasoning, Source
from lib.conversations.steps import StepColumns, steps_of, stored_steps
from lib.imports.values import is_storable, list_in, object_in
from lib.settings import settings
from lib.texts import page_url, storable_json

NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
MAX_DEPTH = 32
MAX_ID_CHARS = 255
# Twice those of a call that Parley makes (MAX_ARGUMENTS_CHARS, MAX_OUTPUT_CHARS), as JSON.
MAX_CALL_CHARS = 140_000
# Of both columns of an answer, as JSON: history and the next turns have them.
MAX_COLUMN_CHARS = 1_000_000
NONE: dict[str, Any] = {"tool_calls": None, "steps": None}


def answer_columns(content: str, tool_calls: object, steps: object) -> dict[str, Any]:
    """Return the columns that tell an answer's steps, where they are what Parley stores.

    Without the files that the answer has made, which are not imported, and with its thoughts only
    if this deployment keeps thoughts. Where the columns contradict each other or the text, the
    answer is its text.
    """
    calls = list_in(tool_calls)
    stored = [list_in(step) for step in list_in(steps)] if steps is not None else None
    if not calls and not stored:
        return NONE
    columns = StepColumns(content, calls or None, stored)
    if len(json.dumps([calls, stored])) > MAX_COLUMN_CHARS:
        return NONE
    if not _are_calls(calls, content) or not _are_steps(columns):
        return NONE
    read = list(steps_of(columns))
    for step in read:
        step.parts = [part for part in step.parts if _is_kept(part)]
    found = stored_steps([step for step in read if step.parts])
    if found.content != content:
        return NONE
    return {"tool_calls": found.tool_calls, "steps": found.steps}


def small_object(value: object, max_bytes: int) -> dict[str, Any] | None:
    """Return a JSON object that can be stored and has few bytes; None: it is none."""
    if not isinstance(value, dict) or not is_json(cast("object", value)):
        return None
    fields = cast("dict[str, Any]", value)
    return fields if len(json.dumps(fields, ensure_ascii=False).encode()) <= max_bytes else None


def is_json(value: object, levels: int = MAX_DEPTH) -> bool:
    """Tell whether Postgres can store a value as JSON, and a page can read it."""
    if _is_deeper(value, levels):
        return False
    try:
        json.dumps(value, allow_nan=False)
    except ValueError:
        return False
    return storable_json(value) == value


def data_of(stored: dict[str, Any]) -> Data | None:
    """Return data that a page or a tool has shown; None: they are none."""
    name, identity = stored.get("name"), stored.get("id")
    if not isinstance(name, str) or not NAME.fullmatch(name) or not is_json(stored.get("data")):
        return None
    if identity is not None and not _is_text(identity):
        return None
    return Data(name=name, data=stored.get("data"), id=identity)


def _is_kept(part: Part) -> bool:
    if isinstance(part, Reasoning):
        return settings().reasoning != "hide"
    return not isinstance(part, File)


def _are_calls(calls: list[Any], content: str) -> bool:
    """Tell whether these are tool calls, in the order of their places in the text."""
    step = end = 0
    ids = set[str]()
    for call in calls:
        match call:
            case {
                "id": str(),
                "name": str(name),
                "arguments": dict(),
                "step": int(next_step),
                "text_end": int(next_end),
            } if (
                step <= next_step
                and end <= next_end <= len(content)
                and NAME.fullmatch(name)
                and _is_text(call["id"])
                and call["id"] not in ids
                and len(json.dumps(call)) <= MAX_CALL_CHARS
                and isinstance(call.get("error", ""), str)
                and isinstance(call.get("provider_executed", False), bool)
                and is_json(cast("object", call), MAX_DEPTH + 2)
            ):
                step, end = next_step, next_end
                ids.add(call["id"])
            case _:
                return False
    return True


def _are_steps(columns: StepColumns) -> bool:
    """Tell whether the column `steps` tells the text and the calls; it does where there is none."""
    if columns.steps is None:
        return True
    parts = [object_in(part) for step in columns.steps for part in step]
    if not all(map(_is_part, parts)):
        return False
    calls = sum(part["type"] == "call" for part in parts)
    return calls == len(columns.tool_calls or [])


def _is_part(part: dict[str, Any]) -> bool:
    match part:
        case {"type": "text", "chars": int(chars)}:
            is_part = chars >= 0
        case {"type": "reasoning", "text": str(text)}:
            is_part = part.keys() <= {"type", "text"} and is_storable(text)
        case {"type": "source", "id": str()}:
            is_part = _is_source(part)
        case {"type": "file", "url": str(), "media_type": str()}:
            # It is left out.
            is_part = part.keys() <= {"type", "url", "media_type", "filename"}
        case {"type": "data"}:
            is_part = part.keys() <= {"type", "name", "data", "id"} and data_of(part) is not None
        case _:
            is_part = part.get("type") == "call"
    return is_part


def _is_source(part: dict[str, Any]) -> bool:
    texts = [part[name] for name in ("id", "title", "media_type", "filename") if name in part]
    places = [part[name] for name in ("start", "end") if name in part]
    return (
        part.keys() <= {"type", *Source.__dataclass_fields__}
        and all(isinstance(text, str) and is_storable(text) for text in texts)
        and all(isinstance(place, int) and place >= 0 for place in places)
        and len(places) in {0, 2}
        and ("url" not in part or page_url(part["url"]) is not None)
    )


def _is_text(value: object) -> bool:
    return isinstance(value, str) and 1 <= len(value) <= MAX_ID_CHARS and is_storable(value)


def _is_deeper(value: object, levels: int) -> bool:
    if isinstance(value, dict):
        value = list(cast("dict[str, object]", value).values())
    if not isinstance(value, list):
        return False
    return levels == 0 or any(_is_deeper(item, levels - 1) for item in cast("list[object]", value))
