"""The files that the model makes for an answer: checked like those that users send, and bounded."""

from lib.answers._files.kept import KeptFiles
from lib.answers.part_writer import PartWriter
from lib.files.images import check_image, image_type
from lib.model.reply import FilePiece, Reply
from lib.runtime.log import log

# Of one answer.
MAX_FILES = 10
MAX_MADE_BYTES = 16_000_000


class MadeFiles:
    """The files of one answer."""

    def __init__(self, parts: PartWriter, files: KeptFiles) -> None:
        """Take the writer that shows them, and what stores them."""
        self._parts = parts
        self._files = files
        self._count = 0
        self._bytes = 0
        self._left_out_count = 0

    async def add(self, piece: FilePiece) -> bool:
        """Show a file; return whether it could be shown: a broken one, or one too many, cannot."""
        media_type = image_type(piece.data)
        size = self._bytes + len(piece.data)
        if media_type is None or self._count == MAX_FILES or size > MAX_MADE_BYTES:
            self._left_out_count += 1
            return False
        try:
            check_image(piece.data, media_type)
        except ValueError:
            self._left_out_count += 1
            return False
        self._count, self._bytes = self._count + 1, size
        # A text ends before a picture, so that the two stand in the order in which they came.
        self._parts.end_block()
        self._parts.add(await self._files.keep(media_type, piece.data))
        return True

    def log_left_out(self, reply: Reply) -> None:
        """Log how many files of a reply are not shown, if there are any."""
        count, self._left_out_count = self._left_out_count + reply.left_out_count, 0
        if count:
            log("model_files_left_out", count=count)
