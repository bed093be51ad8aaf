"""Files that an answer shows: stored before their part is written, so that readers can open it.

A round trip of its own for each file. So the bytes are there, too, when the function is killed
before the answer is stored. `finish_turn` then records the file with the answer. If the round trip
has failed, it sends the bytes again.
"""

from uuid import UUID

from lib.conversations.parts import File
from lib.conversations.steps import Step
from lib.database.client import Database
from lib.files.file import FileOwner, NewFile
from lib.files.storing import store_file
from lib.identity.file_links import plain_link
from lib.runtime.log import log
from lib.turns.finish import shown_files
from lib.turns.turn import Turn


class KeptFiles:
    """Stores the files of one answer."""

    def __init__(self, database: Database, turn: Turn) -> None:
        """Take the turn of the answer, and the database that stores its files."""
        self._database = database
        self._turn = turn
        self._stored_ids: set[UUID] = set()
        self._unstored: dict[UUID, NewFile] = {}

    async def keep(self, media_type: str, data: bytes, filename: str | None = None) -> File:
        """Store a file that the model or a tool has made; return its part. One round trip.

        Args:
            media_type: its type.
            data: its bytes.
            filename: None: it has no name.
        """
        turn = self._turn
        owner = FileOwner(turn.caller.user_id, turn.conversation_id)
        file_id = owner.file_id_of(media_type, data)
        if file_id not in self._stored_ids:
            file = NewFile(id=file_id, media_type=media_type, filename=filename, data=data)
            self._unstored[file_id] = file
            try:
                await store_file(self._database, turn.caller, owner, file)
            except Exception as error:  # noqa: BLE001 (finish_turn sends the bytes again)
                log("answer_file_not_stored", cause=type(error).__name__)
            else:
                self._stored_ids.add(file_id)
                # Two tools may show the same file at once.
                self._unstored.pop(file_id, None)
        link = plain_link(file_id, turn.conversation_id)
        return File(url=link, media_type=media_type, filename=filename)

    def files(self, steps: list[Step]) -> list[NewFile]:
        """Return the files of the answer, without the bytes of those that are stored.

        Args:
            steps: of the answer; those that an earlier attempt has taken may show files, too.
        """
        return [self._unstored.get(file.id, file) for file in shown_files(steps)]
