"""GET /api/files: the bytes of one file, for its owner or by a signed link."""

import re
from dataclasses import dataclass, replace
from urllib.parse import quote
from uuid import UUID

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from lib.database.client import Database
from lib.database.statements import Call, Statement
from lib.files.images import READERS
from lib.http.ids import CHAT_ID, conversation_id_of
from lib.http.queries import Reader, parameter, parse_query, query_string, text, whole_number
from lib.identity.callers import Caller, caller_of
from lib.identity.file_links import SIGNATURE_CHARS, is_signed
from lib.problems import NotFound
from lib.settings import settings

# Of one round trip. A response may be longer than Vercel's 4.5 MB, if it is streamed.
PIECE_BYTES = 2 * 1024 * 1024
# The types that a browser may show by themselves: they hold no script. All others are downloaded.
SHOWN = {*READERS}
RANGE = re.compile(r"bytes=(\d{1,15})-(\d{0,15})")
LINK_ENDED = "This link has ended. Load the page again for a new one."


def _uuid(value: str) -> UUID:
    try:
        return UUID(value)
    except ValueError:
        raise ValueError("must be a UUID") from None


FILE_ID = Reader(_uuid, type="string", format="uuid")


@query_string
class FileQuery:
    """The query of GET /api/files.

    Attributes:
        id: the file.
        conversation_id: for a guest: the conversation that the file is in.
        expires: of a signed link: its end, in seconds of Unix time.
        signature: of a signed link.
    """

    id: UUID = parameter(FILE_ID)
    conversation_id: str | None = parameter(CHAT_ID, default=None)
    expires: int = parameter(whole_number(0, 2**40), default=0)
    signature: str = parameter(text(0, SIGNATURE_CHARS), default="")

    @property
    def is_signed(self) -> bool:
        """The link was made here, and has not ended."""
        return bool(self.signature) and is_signed(self.id, self.expires, self.signature)


@dataclass(frozen=True, slots=True)
class FileContent:
    """The row of find_file and find_linked_file.

    Attributes:
        media_type: the file's type.
        filename: None: it has no name.
        size: bytes of the whole file.
        content: the bytes that were wanted.
    """

    media_type: str
    filename: str | None
    size: int
    content: bytes


FIND_FILE = Statement("files/find_file", FileContent)
FIND_LINKED_FILE = Statement("files/find_linked_file", FileContent)


@dataclass(frozen=True, slots=True)
class FileReader:
    """Reads one file for one request.

    Attributes:
        database: the database that has it.
        file_id: the file.
        caller: the reader; None: the link is signed, and shows it to every reader.
        conversation_id: the conversation that the link names; None: none.
    """

    database: Database
    file_id: UUID
    caller: Caller | None
    conversation_id: UUID | None

    async def read(self, first_byte: int, byte_count: int) -> FileContent:
        """Return some bytes of the file. One round trip.

        Raises:
            NotFound: when the reader reaches no such file.
            Problem: see `Database.run_as`.
        """
        wanted = {"file_id": self.file_id, "first_byte": first_byte, "byte_count": byte_count}
        retention = {"retention_days": settings().retention_days, "now": None}
        if self.caller is None:
            pieces = await self.database.run(FIND_LINKED_FILE(**wanted, **retention))
        else:
            caller, place = self.caller, self.conversation_id
            reachable = caller.reachable(place) if place is not None else None
            call: Call[FileContent] = FIND_FILE(
                conversation_id=place, user_id=caller.user_id, **wanted, **retention
            )
            pieces = await self.database.run_as(caller, reachable, call)
        if not pieces:
            raise NotFound
        return pieces[0]

    def following(self) -> "FileReader":
        """Return the reader for the round trips after the first one, which has admitted it."""
        return self if self.caller is None else replace(self, caller=self.caller.following())


async def read_file(database: Database, request: Request) -> ASGIApp:
    """Answer GET: the file, a range of it, or 304 where the reader has it.

    One round trip, and one more for each further PIECE_BYTES.

    Raises:
        NotFound: when the caller has no such file, and the link is not signed.
        Problem: see `caller_of`, `parse_query` and `Database.run_as`.
    """
    query = parse_query(request, FileQuery)
    caller = None if query.is_signed else await caller_of(request)
    place = None
    if caller is not None and query.conversation_id is not None:
        place = conversation_id_of(query.conversation_id, caller)
    reader = FileReader(database, query.id, caller, place)
    etag = f'"{query.id}"'
    first_byte, last_byte = _range(request, etag)
    is_known = etag in request.headers.get("if-none-match", "")
    try:
        piece = await reader.read(first_byte, 0 if is_known else PIECE_BYTES)
    except NotFound as problem:
        if query.signature and caller is not None and caller.user_id is None:
            raise NotFound(LINK_ENDED) from problem
        raise
    headers = _headers(piece, etag)
    if is_known:
        return Response(status_code=304, headers=headers)
    if first_byte >= piece.size:
        headers["content-range"] = f"bytes */{piece.size}"
        return Response(status_code=416, headers=headers)
    end = min(last_byte + 1, piece.size)
    status = 200
    if "range" in request.headers and (first_byte, end) != (0, piece.size):
        status = 206
        headers["content-range"] = f"bytes {first_byte}-{end - 1}/{piece.size}"
    headers["content-length"] = str(end - first_byte)
    return StoredFileResponse(reader.following(), piece, first_byte, end, status, headers)


class StoredFileResponse:
    """The response: reads each piece while it sends, so it needs the memory of one."""

    def __init__(
        self,
        reader: FileReader,
        first_piece: FileContent,
        first_byte: int,
        end: int,
        status: int,
        headers: dict[str, str],
    ) -> None:
        """Take the first piece, and the places of the first byte and behind the last one."""
        self._reader = reader
        self._first_piece = first_piece
        self._first_byte = first_byte
        self._end = end
        self._status = status
        self._headers = headers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the bytes; a file that is deleted meanwhile breaks off."""
        del receive
        raw = [(name.encode(), value.encode()) for name, value in self._headers.items()]
        await send({"type": "http.response.start", "status": self._status, "headers": raw})
        at, content = self._first_byte, self._first_piece.content
        while at < self._end and scope["method"] != "HEAD":
            if not content:
                content = (await self._reader.read(at, PIECE_BYTES)).content
            sent = content[: self._end - at]
            at, content = at + len(sent), b""
            await send({"type": "http.response.body", "body": sent, "more_body": True})
        await send({"type": "http.response.body", "body": b""})


def _range(request: Request, etag: str) -> tuple[int, int]:
    """Return the first and the last byte that a request wants: all, if it names no one range."""
    match = RANGE.fullmatch(request.headers.get("range", ""))
    if match is None or request.headers.get("if-range", etag) != etag:
        return 0, 2**31
    first, last = int(match[1]), int(match[2] or 2**31)
    return (first, last) if first <= last and first < 2**31 - 1 else (0, 2**31)


def _headers(file: FileContent, etag: str) -> dict[str, str]:
    """Return the headers of a file. A file is the user's: no script of it may run here."""
    disposition = "inline" if file.media_type in SHOWN else "attachment"
    if file.filename is not None:
        disposition += f"; filename*=UTF-8''{quote(file.filename, safe='')}"
    return {
        "content-type": file.media_type,
        "content-disposition": disposition,
        "content-security-policy": "default-src 'none'; sandbox; frame-ancestors 'none'",
        "x-content-type-options": "nosniff",
        # A link lasts at least an hour. With another token the same address is another file.
        "cache-control": "private, max-age=3600",
        "vary": "authorization, x-conversation-key",
        "etag": etag,
        "accept-ranges": "bytes",
    }
