"""/api/files: one file of a message, and uploads of files that messages name later.

Accepts   GET ?id=<file>  &conversation_id=<uuid or chat id> (a guest's)  &expires=&signature=;
          Range for one range of bytes, If-None-Match
          POST ?size=&media_type=&filename= with the first bytes of a file, up to 4 MB; then
          ?id=&offset= with the next ones; a guest's with &conversation_id=
Answers   GET 200, 206, 304 the file; pictures to be shown, all others to be downloaded;
          POST {"id", "url", "media_type", "size", "received"}: 201 the file is complete, 202 it
          goes on
Problems  401 unauthenticated, 404 not_found (not yours, or it does not exist, or the link has
          ended), 413, 416, 422 invalid_request, file_storage_full,
          429 storage_quota_exceeded
Database  GET 1 round trip, and 1 for each further 2 MB: find_file.sql, find_linked_file.sql;
          POST 1: count_bytes.sql, store_file.sql, add_upload_piece.sql; 1 more at the end of
          several pieces: finish_upload.sql
"""

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp

from lib.chat.uploads import upload_piece
from lib.database.client import database
from lib.files.reading import read_file
from lib.functions import function


async def get(request: Request) -> ASGIApp:
    """Answer one file."""
    return await read_file(database(), request)


async def post(request: Request) -> Response:
    """Store one piece of a file."""
    return await upload_piece(database(), request)


app = function(GET=get, POST=post)
