"""POST /api/files: uploads, in one piece or several, of files that messages name later.

A message with the bytes in it is limited by Vercel's 4.5 MB for a body. An upload is not: each of
its pieces is a request of its own. A message then has the link in place of the bytes. An upload
that no message has is deleted a day later (`delete_unused_files`).
"""

from dataclasses import dataclass
from functools import partial
from typing import Any
from uuid import UUID, uuid4

from starlette.requests import Request
from starlette.responses import Response

from lib.database.acting import remember_user
from lib.database.client import Database
from lib.database.statements import Call, Nothing, Statement
from lib.files.file import FileOwner
from lib.files.kinds import FileType, check_beginning, check_file, clean_name, readable_type
from lib.files.limits import MAX_MESSAGE_BYTES
from lib.files.reading import FILE_ID
from lib.files.storing import STORE_FILE
from lib.http.bodies import read_bytes
from lib.http.ids import CHAT_ID, conversation_id_of
from lib.http.queries import parameter, parse_query, query_string, text, whole_number
from lib.http.responses import json_response
from lib.identity.callers import Caller, caller_of
from lib.identity.file_links import plain_link, signed_link
from lib.problems import FileStorageFull, InvalidRequest, NotFound, Unauthenticated
from lib.settings import settings
from lib.turns.quota import subjects_of

# Of one piece: less than Vercel takes; and so many that an upload has few pieces, because each of
# them writes those before it again.
MAX_PIECE_BYTES = 4 * 1024 * 1024
MIN_PIECE_BYTES = 1024 * 1024


@query_string
class UploadQuery:
    """The query of POST /api/files.

    Attributes:
        media_type: of the file; with the first piece. Where it names no kind, the ending of
            `filename` does.
        filename: its name; with the first piece.
        size: bytes of the whole file; with the first piece.
        id: of the upload, as the response to its first piece has it; with each later piece.
        offset: the place of the piece in the file: the `received` of the response before.
        conversation_id: for a guest: the conversation, which must exist, and have the key.
    """

    media_type: str = parameter(text(0, 255), default="")
    filename: str | None = parameter(text(1, 255), default=None)
    size: int | None = parameter(whole_number(1, MAX_MESSAGE_BYTES), default=None)
    id: UUID | None = parameter(FILE_ID, default=None)
    offset: int = parameter(whole_number(0, MAX_MESSAGE_BYTES), default=0)
    conversation_id: str | None = parameter(CHAT_ID, default=None)

    def __post_init__(self) -> None:
        """Check that it names either a new file or a piece of an upload."""
        if self.id is None and (self.size is None or self.offset):
            raise ValueError("the first piece has size, and later ones id and offset")


@dataclass(frozen=True, slots=True)
class Upload:
    """The row of add_upload_piece.

    Attributes:
        media_type: of the file.
        filename: None: it has no name.
        size: bytes of the whole file.
        file_id: the file that it has become; None: it is an upload still.
        received: bytes that have come by now.
        whole: all of them, where the upload is complete and no file yet; None otherwise.
    """

    media_type: str
    filename: str | None
    size: int
    file_id: UUID | None
    received: int
    whole: bytes | None


COUNT_BYTES = Statement("chat/count_bytes", Nothing)
ADD_UPLOAD_PIECE = Statement("chat/add_upload_piece", Upload)
FINISH_UPLOAD = Statement("chat/finish_upload", Nothing)


async def upload_piece(database: Database, request: Request) -> Response:
    """Answer POST: store one piece of a file; with the last one, check the file.

    One round trip; one more for the last of several pieces.

    Raises:
        FileStorageFull: when the caller would have more than MAX_USER_BYTES of files.
        InvalidRequest: when the file is not of its type, too large, or the piece does not fit.
        NotFound: when the caller has no such upload, or does not reach the conversation.
        StorageQuotaExceeded: when the caller has stored the bytes of a day.
        Unauthenticated: when a guest may not send files.
        Problem: see `caller_of`, `read_bytes` and `Database.run_as`.
    """
    caller = await caller_of(request)
    query = parse_query(request, UploadQuery)
    content = await read_bytes(request, MAX_PIECE_BYTES)
    uploads = _Uploads(database, caller, _owner(caller, query))
    if not content:
        raise _invalid("", "the body must have bytes of the file")
    if query.id is not None:
        return await uploads.go_on(query.id, query.offset, content)
    assert query.size is not None
    return await uploads.begin(query.media_type, query.filename, query.size, content)


def _owner(caller: Caller, query: UploadQuery) -> FileOwner:
    if caller.user_id is not None:
        # For a user, the statements ignore the conversation, so any id will do.
        return FileOwner(caller.user_id, uuid4())
    if not settings().anonymous_files:
        raise Unauthenticated("Sign in to send files.")
    if query.conversation_id is None:
        raise _invalid("conversation_id", "is needed without a token")
    return FileOwner(None, conversation_id_of(query.conversation_id, caller))


@dataclass(frozen=True, slots=True)
class _Uploads:
    """The uploads of one caller."""

    database: Database
    caller: Caller
    owner: FileOwner

    async def begin(
        self, media_type: str, filename: str | None, size: int, content: bytes
    ) -> Response:
        """Store a whole file, or the first of its pieces."""
        if size > settings().max_file_bytes:
            most = settings().max_file_bytes
            raise _invalid("size", f"must be at most {most:,} bytes, and is {size:,}")
        if len(content) > size:
            raise _invalid("size", f"is {size:,}, and the body has {len(content):,} bytes")
        is_whole = len(content) == size
        if not is_whole:
            _check_piece(content)
        name = clean_name(filename or "") or None
        found = _type_of(media_type, name)
        _check(found, content, is_whole=is_whole)
        file_id = self.owner.file_id_of(found.media_type, content) if is_whole else uuid4()
        store = STORE_FILE(
            **self._owned(),
            file_id=file_id,
            media_type=found.media_type,
            filename=name,
            size=size,
            content=content,
            is_upload=not is_whole,
            is_of_answer=False,
            max_user_bytes=settings().max_user_bytes,
            now=None,
        )
        *_, [stored] = await self._run(remember_user(self.caller), self._count(content), store)
        if not stored.is_reached:
            raise NotFound
        if not stored.is_stored:
            most = settings().max_user_bytes
            raise FileStorageFull.with_left(max(most - stored.used_bytes, 0), most)
        return self._response(file_id, found.media_type, size, len(content))

    async def go_on(self, upload_id: UUID, offset: int, content: bytes) -> Response:
        """Store a later piece; with the last one, check the whole file."""
        add = ADD_UPLOAD_PIECE(
            **self._owned(),
            upload_id=upload_id,
            first_byte=offset,
            content=content,
            min_piece_bytes=MIN_PIECE_BYTES,
        )
        _, uploads = await self._run(self._count(content), add)
        if not uploads:
            raise NotFound
        [upload] = uploads
        if upload.received != offset + len(content):
            if upload.received == offset:
                _check_piece(content)
            detail = f"the upload has {upload.received:,} bytes of {upload.size:,}: go on there"
            raise _invalid("offset", detail)
        file_id = upload.file_id or upload_id
        if upload.whole is not None:
            file_id = await self._finish(upload_id, upload, upload.whole)
        return self._response(file_id, upload.media_type, upload.size, upload.received)

    async def _finish(self, upload_id: UUID, upload: Upload, whole: bytes) -> UUID:
        """Check an upload that is complete; return the file that it becomes, or remove it."""
        finish = partial(FINISH_UPLOAD, **self._owned(), upload_id=upload_id, now=None)
        try:
            found = _type_of(upload.media_type, upload.filename)
            _check(found, whole, is_whole=True)
        except InvalidRequest:
            await self._run(finish(file_id=None))
            raise
        file_id = self.owner.file_id_of(upload.media_type, whole)
        await self._run(finish(file_id=file_id))
        return file_id

    def _owned(self) -> dict[str, Any]:
        return {"conversation_id": self.owner.conversation_id, "user_id": self.owner.user_id}

    def _count(self, content: bytes) -> Call[Nothing]:
        subjects = subjects_of(self.caller)
        return COUNT_BYTES(
            counted_subjects=[subject.name for subject in subjects],
            bytes_per_day=[subject.bytes_per_day for subject in subjects],
            stored_bytes=len(content),
            counted_at=None,
        )

    async def _run(self, *calls: Call[Any]) -> Any:  # noqa: ANN401 (as many as calls)
        reachable = self.caller.reachable(self.owner.conversation_id)
        return await self.database.run_as(self.caller, reachable, *calls)

    def _response(self, file_id: UUID, media_type: str, size: int, received: int) -> Response:
        is_guest = self.owner.user_id is None
        link = plain_link(file_id, self.owner.conversation_id if is_guest else None)
        is_complete = received == size
        return json_response(
            {
                "id": file_id,
                "url": signed_link(link) if is_complete else None,
                "media_type": media_type,
                "size": size,
                "received": received,
            },
            status=201 if is_complete else 202,
        )


def _check(found: FileType, content: bytes, *, is_whole: bool) -> None:
    """Check that a file, or its beginning, is of its type.

    Raises:
        InvalidRequest: when it is not; says why.
    """
    try:
        if is_whole:
            check_file(content, found)
        else:
            check_beginning(content, found)
    except ValueError as error:
        raise _invalid("", str(error).replace("url ", "the body ", 1)) from error


def _check_piece(content: bytes) -> None:
    """Check the size of a piece that is not the last one.

    Raises:
        InvalidRequest: when it is too small.
    """
    if len(content) < MIN_PIECE_BYTES:
        detail = f"a piece before the last one must have at least {MIN_PIECE_BYTES:,} bytes"
        raise _invalid("", detail)


def _type_of(media_type: str, filename: str | None) -> FileType:
    try:
        return readable_type(media_type, filename)
    except ValueError as error:
        raise _invalid("media_type", str(error)) from error


def _invalid(field: str, detail: str) -> InvalidRequest:
    return InvalidRequest(errors=[{"field": field, "detail": detail}])
