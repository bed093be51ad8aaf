"""The parts of an answer as those of an AI SDK `UIMessage`.

They are what `useChat` holds when it has read the answer's stream, part for part.
Source: AI SDK, "UIMessage"; compared with ai 5.0.277, 6.0.326 and 7.0.173 by
`tests/node/test_ai_sdk_live.py`.
"""

from collections.abc import Iterable, Iterator
from itertools import count
from typing import Any, assert_never

from lib.conversations.parts import Citation, Data, File, Part, Reasoning, Source, Text, ToolCall
from lib.conversations.steps import Step
from lib.identity.file_links import signed_link, unsigned_link
from lib.settings import settings

STEP_START = {"type": "step-start"}


def ui_parts(steps: Iterable[Step]) -> Iterator[dict[str, Any]]:
    """Yield the parts of an answer with these steps; without a step, it was cut in its first.

    The beginning of a step is shown with its first part, as useChat does.
    """
    is_empty = True
    blocks = count()
    for step in steps:
        shown = shown_parts(step)
        if shown:
            is_empty = False
            yield STEP_START
        for part in shown:
            yield _ui_part(part, blocks)
    if is_empty:
        yield STEP_START


def shown_parts(step: Step) -> list[Part]:
    """Return the parts of a step that clients see: without thoughts, unless REASONING is `show`."""
    if settings().reasoning == "show":
        return step.parts
    return [part for part in step.parts if not isinstance(part, Reasoning)]


def _ui_part(part: Part, blocks: Iterator[int]) -> dict[str, Any]:
    """Return one part; it has no null field, which the SDK's own check refuses.

    A thought has the number under which the stream sent it, because useChat keeps that as its id.
    """
    match part:
        case Text(text):
            next(blocks)
            return {"type": "text", "text": text, "state": "done"} | citations_field(part)
        case Reasoning(text):
            return {"type": "reasoning", "id": str(next(blocks)), "text": text, "state": "done"}
        case ToolCall():
            return _tool_part(part)
        case _:
            return whole_part(part)


def whole_part(part: Source | File | Data) -> dict[str, Any]:
    """Return a part that comes in one piece, and is the same in the stream."""
    match part:
        case Source():
            return source_part(part)
        case File():
            return file_part(part)
        case Data():
            return data_part(part)
        case _:
            assert_never(part)


def _tool_part(call: ToolCall) -> dict[str, Any]:
    part = {"type": f"tool-{call.name}", "toolCallId": call.id}
    if call.error is not None:
        outcome = {"state": "output-error", "errorText": call.error}
    else:
        outcome = {"state": "output-available", "output": call.output}
    return part | outcome | {"input": call.arguments} | provider_executed(call)


def provider_executed(call: ToolCall) -> dict[str, Any]:
    """Return the field that marks a call of the provider's own, and so no other; {} for others."""
    return {"providerExecuted": True} if call.is_provider_executed else {}


def source_part(source: Source) -> dict[str, Any]:
    """Return a source's part, which is the same in the stream.

    Its place stands in the field for a provider's own data, which all versions keep.
    """
    kind = "source-url" if source.url is not None else "source-document"
    part = {"type": kind, "sourceId": source.id} | _source_fields(source)
    if source.start is None:
        return part
    return part | {"providerMetadata": {"parley": {"start": source.start, "end": source.end}}}


def citations_field(text: Text) -> dict[str, Any]:
    """Return the field `citations` of a text's part and of its end in the stream; {} if none.

    Version 7 alone reads it; the others ignore it. The places count UTF-16 code units of the text,
    as JavaScript does.
    """
    if not text.citations:
        return {}
    return {"citations": [_citation(text.text, each) for each in text.citations]}


def _citation(text: str, citation: Citation) -> dict[str, Any]:
    source = citation.source
    kind = "url" if source.url is not None else "document"
    named = {"type": "source", "sourceType": kind, "id": source.id}
    return {
        "source": named | _source_fields(source),
        "startIndex": _units(text[: citation.start]),
        "endIndex": _units(text[: citation.end]),
    }


def _source_fields(source: Source) -> dict[str, Any]:
    if source.url is not None:
        return {"url": source.url} | _present(title=source.title)
    return {
        "mediaType": source.media_type or "application/octet-stream",
        "title": source.title or source.filename or source.id,
    } | _present(filename=source.filename)


def _units(text: str) -> int:
    """Return the length of a text in UTF-16 code units."""
    return len(text) if text.isascii() else len(text.encode("utf-16-le")) // 2


def file_part(file: File) -> dict[str, Any]:
    """Return a file's part; a stored file gets a link that a page may open for a while.

    Without its name: useChat of all versions drops it from a stream, and history would show another
    part than the live page does.
    """
    return {"type": "file", "mediaType": file.media_type, "url": signed_link(file.url)}


def data_part(data: Data) -> dict[str, Any]:
    """Return the part of something shown."""
    return {"type": f"data-{data.name}"} | _present(id=data.id) | {"data": data.data}


def part_of(ui_part: dict[str, Any]) -> Source | File | Data | None:
    """Return the part that an event of a stream has whole; None: it has no whole part."""
    match ui_part:
        case {"type": "source-url" | "source-document"}:
            return _source_of(ui_part)
        case {"type": "file"}:
            return File(url=unsigned_link(ui_part["url"]), media_type=ui_part["mediaType"])
        case {"type": str(name)} if name.startswith("data-") and not ui_part.get("transient"):
            return Data(name=name.removeprefix("data-"), data=ui_part["data"], id=ui_part.get("id"))
        case _:
            return None


def _source_of(ui_part: dict[str, Any]) -> Source:
    place: dict[str, int] = ui_part.get("providerMetadata", {}).get("parley", {})
    return Source(
        id=ui_part["sourceId"],
        url=ui_part.get("url"),
        title=ui_part.get("title"),
        media_type=ui_part.get("mediaType"),
        filename=ui_part.get("filename"),
        start=place.get("start"),
        end=place.get("end"),
    )


def _present(**fields: object) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}
