"""The sources in a reply, and the searches that found them, in the forms of all providers.

An annotation of any other form is left out, because it must not cost the answer.
"""

from collections.abc import Iterator
from typing import Any, cast

from lib.model.reply import HostedCallPiece, SourcePiece
from lib.texts import MAX_URL_CHARS, page_url, storable_text

MAX_TITLE_CHARS = 500
MAX_NAME_CHARS = 255
# A place beyond it is none: no answer is as long.
MAX_PLACE = 10_000_000
# By the end of a file's name. The package `mimetypes` reads the system's own tables, which differ.
MEDIA_TYPES = {
    "pdf": "application/pdf",
    "txt": "text/plain",
    "md": "text/markdown",
    "csv": "text/csv",
    "html": "text/html",
    "json": "application/json",
    "doc": "application/msword",
    "docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "pptx": "application/vnd.openxmlformats-officedocument.presentationml.presentation",
    "png": "image/png",
    "jpg": "image/jpeg",
    "jpeg": "image/jpeg",
}
# Fields of a search: its kind, and the words, the page, or the words within a page.
ACTION = ("type", "query", "url", "pattern")
NOT_SEARCHED = "The search has failed."
# Of one search.
MAX_PAGES = 50
DOCUMENTS = {"file_citation", "container_file_citation", "file_path"}


def sources_in(annotations: object, offset: int = 0) -> Iterator[SourcePiece]:
    """Yield the sources in a list of annotations.

    Args:
        annotations: as the provider sends them.
        offset: characters of the reply's text before the text that they count from; a negative
            number where the provider counts characters that are no part of the reply's text.
    """
    for annotation in cast("list[object]", annotations) if isinstance(annotations, list) else []:
        source = _source(annotation, offset)
        if source is not None:
            yield source


def pages_in(pages: object) -> Iterator[SourcePiece]:
    """Yield the sources in a list of pages, each its address or an object with `url` and `title`.

    Perplexity and x.ai send such lists beside the choices.
    """
    for page in cast("list[object]", pages) if isinstance(pages, list) else []:
        fields = _fields({"url": page} if isinstance(page, str) else page)
        if (url := page_url(fields.get("url"))) is not None:
            yield SourcePiece(url=url, title=_title(fields.get("title")))


def search_in(item: dict[str, Any], key: str) -> HostedCallPiece:
    """Return a search of the web that is over, by its item in Responses."""
    action = _fields(item.get("action"))
    arguments = {name: text for name in ACTION if (text := _text(action.get(name), MAX_URL_CHARS))}
    status = item.get("status")
    if status not in ("completed", None):
        return HostedCallPiece(key=key, name="web_search", arguments=arguments, error=NOT_SEARCHED)
    pages = [page.url for page in pages_in(action.get("sources"))][:MAX_PAGES]
    output: dict[str, Any] = {"status": "completed"} | ({"sources": pages} if pages else {})
    return HostedCallPiece(key=key, name="web_search", arguments=arguments, output=output)


def _source(annotation: object, offset: int) -> SourcePiece | None:
    fields = _fields(annotation)
    kind = fields.get("type")
    # Chat Completions puts the fields into an object of the type's name.
    fields = fields | _fields(fields.get(kind) if isinstance(kind, str) else None)
    start, end = _place(fields, offset)
    if kind == "url_citation":
        url = page_url(fields.get("url"))
        if url is None:
            return None
        return SourcePiece(url=url, title=_title(fields.get("title")), start=start, end=end)
    if kind not in DOCUMENTS:
        return None
    filename, file_id = _name(fields.get("filename")), _name(fields.get("file_id"))
    title = _title(fields.get("title")) or filename or file_id
    if title is None:
        return None
    media_type = MEDIA_TYPES.get((filename or "").rpartition(".")[2].lower())
    return SourcePiece(title=title, media_type=media_type, filename=filename, start=start, end=end)


def _place(fields: dict[str, Any], offset: int) -> tuple[int, int] | tuple[None, None]:
    start, end = fields.get("start_index"), fields.get("end_index")
    if type(start) is not int or type(end) is not int:
        return None, None
    start, end = start + offset, end + offset
    return (start, end) if 0 <= start < end <= MAX_PLACE else (None, None)


def _title(title: object) -> str | None:
    return _text(title, MAX_TITLE_CHARS)


def _name(name: object) -> str | None:
    return _text(name, MAX_NAME_CHARS)


def _text(text: object, max_chars: int) -> str | None:
    """Return a text in one line; None: it is none, or blank."""
    if not isinstance(text, str):
        return None
    # Cut first: a title of a million characters is not worth their cost.
    return " ".join(storable_text(text[:max_chars]).split()) or None


def _fields(value: object) -> dict[str, Any]:
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}
