"""Answers that cite sources, as tests script and read them."""

from typing import Any

from tests.support.model_server import Reply, chunk
from tests.support.product import Parley

PAGE = "https://example.com/cats?a=1#top"
SOURCE = {"type": "source-url", "sourceId": "source-1", "url": PAGE, "title": "Cats"}


def cited(start: int, end: int, url: object = PAGE, title: object = "Cats") -> dict[str, Any]:
    """Return an annotation as Chat Completions has it."""
    fields = {"url": url, "title": title, "start_index": start, "end_index": end}
    return {"type": "url_citation", "url_citation": fields}


def flat(annotation: dict[str, Any]) -> dict[str, Any]:
    """Return an annotation as Responses has it."""
    return {"type": annotation["type"]} | annotation["url_citation"]


def placed(start: int, end: int) -> dict[str, Any]:
    """Return the field of a source's part that has its place."""
    return {"providerMetadata": {"parley": {"start": start, "end": end}}}


def citation(start: int, end: int, **fields: Any) -> dict[str, Any]:
    """Return a citation of a text, as version 7 of the AI SDK has it."""
    source = {"type": "source", "sourceType": "url", "id": "source-1", "url": PAGE, "title": "Cats"}
    return {"source": source | fields, "startIndex": start, "endIndex": end}


def answering(*deltas: dict[str, Any], finish_reason: str | None = "stop") -> Reply:
    """Return a reply of these deltas."""
    end = [] if finish_reason is None else [chunk({}, finish_reason)]
    return Reply(chunks=[*map(chunk, deltas), *end])


async def answer_of(parley: Parley) -> dict[str, Any]:
    """Return the newest message of history."""
    return (await parley.history())["messages"][-1]


def sources_in(parts: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the sources among parts."""
    return [part for part in parts if part["type"].startswith("source-")]


# Annotations of odd forms, which name no source.
ODD: list[Any] = [
    None,
    "url_citation",
    5,
    [],
    {},
    {"type": "url_citation"},
    {"type": "url_citation", "url_citation": None},
    {"type": "url_citation", "url_citation": "https://example.com"},
    {"type": "url_citation", "url_citation": {"url": {"href": PAGE}}},
    {"type": ["url_citation"]},
    {"type": "file_citation"},
    {"type": "file_citation", "filename": 5, "file_id": "\0"},
    {"type": "note", "text": "x"},
]
