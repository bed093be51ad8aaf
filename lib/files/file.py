"""Files: bytes that a message has, named by a hash of their owner, type and content.

A message keeps the name and the id of a file (`MessageFiles`), and a page opens it by a link
(`lib/identity/file_links.py`). The id is the same each time, so that a file which is sent twice is
stored once, and a message which is sent twice is the same message.
"""

import hashlib
import json
from base64 import b64decode
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from lib.identity.file_links import file_id_in


@dataclass(frozen=True, slots=True, kw_only=True)
class NewFile:
    """A file of a message, to be stored with it.

    Attributes:
        id: see `file_id_of`.
        media_type: its type.
        filename: None: it has no name.
        data: its bytes; None: it is stored already, such as an upload.
    """

    id: UUID
    media_type: str
    filename: str | None = None
    data: bytes | None


@dataclass(frozen=True, slots=True)
class FileOwner:
    """The owner of files: a user, or the conversation of a guest.

    Attributes:
        user_id: None: a guest.
        conversation_id: the conversation of the message; only a guest's files belong to it.
    """

    user_id: str | None
    conversation_id: UUID

    def file_id_of(self, media_type: str, data: bytes) -> UUID:
        """Return the id of a file: a hash that tells neither its owner nor its bytes."""
        guest = None if self.user_id is not None else str(self.conversation_id)
        content = hashlib.sha256(data).hexdigest()
        name = json.dumps([self.user_id, guest, media_type, content])
        return UUID(bytes=hashlib.sha256(name.encode()).digest()[:16])


@dataclass(frozen=True, slots=True)
class MessageFiles:
    """The files of a message, apart from their bytes.

    Attributes:
        stored: as `chat_messages.files` has them, with an `id` in place of bytes or a link; None:
            the message has none.
        new: the files that are stored beside the message, each once, in the order of their ids;
            not those at other addresses.
    """

    stored: list[dict[str, Any]] | None = None
    new: tuple[NewFile, ...] = ()

    @property
    def new_bytes(self) -> int:
        """The bytes that are stored with the message."""
        return sum(len(file.data) for file in self.new if file.data is not None)


def message_files(owner: FileOwner, files: Iterable[Mapping[str, Any]] | None) -> MessageFiles:
    """Separate the bytes of a message's files from the message.

    Args:
        owner: the owner of the message.
        files: as the message has them: AI SDK `file` parts without their type, whose `url` has the
            bytes (`data:`), or is a link to a stored file; or stored ones, with an `id`.
    """
    if files is None:
        return MessageFiles()
    stored: list[dict[str, Any]] = []
    found: dict[UUID, NewFile] = {}
    for file in files:
        new = _new_file(owner, file)
        if new is None:
            stored.append(dict(file))
            continue
        named = {} if new.filename is None else {"filename": new.filename}
        stored.append({"id": str(new.id), "mediaType": new.media_type} | named)
        # Prefer the file with bytes if two are equal.
        if new.id not in found or found[new.id].data is None:
            found[new.id] = new
    return MessageFiles(stored, tuple(found[file_id] for file_id in sorted(found)))


def _new_file(owner: FileOwner, file: Mapping[str, Any]) -> NewFile | None:
    """Return the file to store; None: the file is elsewhere, at a URL of its own."""
    media_type, filename = file["mediaType"], file.get("filename")
    url: str = file.get("url", "")
    if "id" in file:
        file_id, data = UUID(file["id"]), None
    elif url.startswith("data:"):
        data = b64decode(url.partition(",")[2])
        file_id = owner.file_id_of(media_type, data)
    elif (linked := file_id_in(url)) is not None:
        file_id, data = linked, None
    else:
        return None
    return NewFile(id=file_id, media_type=media_type, filename=filename, data=data)
