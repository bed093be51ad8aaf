"""Storing files with their message, in the transaction of the statement that stores the message."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from lib.database.client import Database
from lib.database.statements import Call, Statement
from lib.files.file import FileOwner, NewFile
from lib.files.limits import MAX_MESSAGE_BYTES
from lib.identity.callers import Caller
from lib.problems import NotFound
from lib.settings import settings


@dataclass(frozen=True, slots=True)
class StoredFiles:
    """The row of store_message_files.

    Attributes:
        file_count: files of the message; 0: the message was not stored.
    """

    file_count: int


@dataclass(frozen=True, slots=True)
class StoredFile:
    """The row of store_file.

    Attributes:
        is_reached: False: the caller does not reach the conversation.
        used_bytes: bytes of the owner's other files.
        is_stored: the file is stored now; False: it is not reached, or the owner would have too
            many bytes.
    """

    is_reached: bool
    used_bytes: int
    is_stored: bool


STORE_FILE = Statement("files/store_file", StoredFile)
STORE_MESSAGE_FILES = Statement("files/store_message_files", StoredFiles)


def store_call(
    owner: FileOwner, message_id: str, files: Sequence[NewFile], turn_id: UUID | None = None
) -> Call[StoredFiles]:
    """Return the call that stores the files of a message.

    Args:
        owner: the owner of the message.
        message_id: the message's id, as clients see it.
        files: each once.
        turn_id: of a question: token of the attempt that stores it; None: an answer.
    """
    return STORE_MESSAGE_FILES(
        conversation_id=owner.conversation_id,
        user_id=owner.user_id,
        message_id=message_id,
        turn_id=turn_id,
        file_ids=[file.id for file in files],
        media_types=[file.media_type for file in files],
        filenames=[file.filename for file in files],
        contents=[file.data for file in files],
        # No limit for an answer: its tokens are paid for already.
        max_user_bytes=settings().max_user_bytes if turn_id is not None else 0,
        max_message_bytes=MAX_MESSAGE_BYTES,
        now=None,
    )


async def store_file(database: Database, caller: Caller, owner: FileOwner, file: NewFile) -> None:
    """Store a file of an answer that is still being made. One round trip.

    Raises:
        NotFound: when the caller does not reach the conversation (any more).
        Problem: see `Database.run_as`.
    """
    [stored] = await database.run_as(
        caller,
        caller.reachable(owner.conversation_id),
        STORE_FILE(
            conversation_id=owner.conversation_id,
            user_id=owner.user_id,
            file_id=file.id,
            media_type=file.media_type,
            filename=file.filename,
            size=len(file.data or b""),
            content=file.data,
            is_upload=False,
            is_of_answer=True,
            max_user_bytes=0,
            now=None,
        ),
    )
    if not stored.is_stored:
        raise NotFound
