"""/api/files."""

from dev.openapi.operations import Answer, Operation, as_json
from lib.chat.uploads import UploadQuery
from lib.files.reading import FileQuery
from lib.problems import FileStorageFull, NotFound, PayloadTooLarge, StorageQuotaExceeded

BYTES = {"*/*": "FileBytes"}
OPERATIONS = {
    ("GET", "/api/files"): Operation(
        name="readFile",
        summary="Open a file of a message",
        text="""For its owner, or by a signed link, which history has and which lasts for one to two
            hours. A picture is shown, any other file is downloaded. With `Range` a part of it.""",
        caller="guest",
        query=FileQuery,
        answers={
            200: Answer("The file.", BYTES, ("content-disposition",)),
            206: Answer("The bytes that `Range` names.", BYTES, ("content-disposition",)),
            304: Answer("The reader has the file.", headers=("content-disposition",)),
            416: Answer("The file ends before that.", headers=("content-disposition",)),
        },
        problems=(NotFound,),
    ),
    ("POST", "/api/files"): Operation(
        name="uploadFile",
        summary="Upload a file, or a piece of one",
        text="""The first piece has `size`, `media_type` and `filename`, and each later one the
            `id` and the `received` of the answer before, as `offset`. A piece has at most 4 MB, and
            all but the last at least 1 MB. The `url` of the complete file stands for it in a
            message; without a message it is deleted a day later. Without a token `conversation_id`
            is needed, of a conversation that has a message, and files must be allowed for
            guests.""",
        caller="guest",
        query=UploadQuery,
        has_binary_body=True,
        answers={
            201: as_json("Upload", "The file is complete."),
            202: as_json("Upload", "More pieces are missing."),
        },
        problems=(FileStorageFull, NotFound, PayloadTooLarge, StorageQuotaExceeded),
    ),
}
