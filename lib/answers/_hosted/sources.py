"""The sources that a model cites: each is written once, with the place that it belongs to."""

from lib.answers.part_writer import PartWriter
from lib.conversations.parts import Source
from lib.model.reply import SourcePiece

# Of one answer. A provider that repeats itself must not fill the row of the answer, which each page
# of history reads.
MAX_SOURCES = 100


class Sources:
    """The sources of one answer."""

    def __init__(self, parts: PartWriter) -> None:
        """Take the writer of the answer's parts."""
        self._parts = parts
        self._seen = set[tuple[object, ...]]()
        self._waiting: list[SourcePiece] = []

    def add(self, piece: SourcePiece) -> None:
        """Write a source, unless its reply has no text yet: without that it has no place."""
        self._waiting.append(piece)
        if self._parts.has_text_in_step:
            self._write()

    def end_reply(self) -> None:
        """Write the sources that came before the text; without a text there is nothing to cite."""
        if self._parts.has_text_in_step:
            self._write()
        self._waiting = []

    def _write(self) -> None:
        waiting, self._waiting = self._waiting, []
        for piece in waiting:
            start = None if piece.start is None else self._parts.place_in_answer(piece.start)
            # The length stays: a passage lies in one text.
            end = None if start is None else start + (piece.end or 0) - (piece.start or 0)
            named = (piece.url, piece.filename, piece.title if piece.url is None else None)
            key = (*named, start, end)
            if key in self._seen or len(self._seen) == MAX_SOURCES:
                continue
            self._seen.add(key)
            self._parts.add(
                Source(
                    id=self._parts.new_source_id(),
                    url=piece.url,
                    title=piece.title,
                    media_type=piece.media_type,
                    filename=piece.filename,
                    start=start,
                    end=end,
                )
            )
