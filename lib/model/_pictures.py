"""The pictures of a reply: decoded, each once, and counted where they cannot be taken.

Providers send a picture as a `data:` URL or as bare base64. A link is not taken: Parley would show
a picture that it has not looked at, from a host that learns who looks.
"""

import hashlib
from binascii import Error, a2b_base64
from typing import Any, cast

from lib.model.reply import FilePiece, Piece, Reply

# Of one picture: 8 MB.
MAX_BASE64_CHARS = 4 * 8_000_000 // 3
# Blocks of content that are pictures: OpenRouter and LiteLLM, Responses, gateways to Anthropic.
PICTURE_BLOCKS = {"image_url", "output_image", "image"}


class Pictures:
    """The pictures of one reply."""

    def __init__(self, reply: Reply) -> None:
        """Take the reply to count in what is left out."""
        self._reply = reply
        # Some gateways send all pictures once more with the last chunk.
        self._seen = set[bytes]()

    def __bool__(self) -> bool:
        """Return whether there is one."""
        return bool(self._seen)

    def read(self, blocks: list[Any], pieces: list[Piece]) -> None:
        """Add the pictures in some blocks to the pieces."""
        for block in blocks:
            self.add(_picture_in(block), pieces)

    def add(self, picture: object, pieces: list[Piece]) -> None:
        """Add a picture to the pieces.

        Args:
            picture: a `data:` URL, or base64 alone; anything else is left out.
            pieces: gets it, unless the reply has had it.
        """
        data = _bytes_of(picture)
        if not data:
            self._reply.left_out_count += 1
            return
        digest = hashlib.sha256(data).digest()
        if digest not in self._seen:
            self._seen.add(digest)
            pieces.append(FilePiece(data))


def is_picture(block: object) -> bool:
    """Return whether a block of content is a picture."""
    return isinstance(block, dict) and cast("dict[str, Any]", block).get("type") in PICTURE_BLOCKS


def _picture_in(block: object) -> object:
    if not isinstance(block, dict):
        return block
    fields = cast("dict[str, Any]", block)
    url = fields.get("image_url") or fields.get("url") or fields.get("b64_json")
    return cast("dict[str, Any]", url).get("url") if isinstance(url, dict) else url


def _bytes_of(picture: object) -> bytes:
    """Return the bytes of a picture; none if it is a link, too large or broken."""
    if not isinstance(picture, str):
        return b""
    if picture.startswith("data:"):
        beginning, _, picture = picture.partition(",")
        if not beginning.endswith(";base64"):
            return b""
    if len(picture) > MAX_BASE64_CHARS or "://" in picture[:20]:
        return b""
    try:
        return a2b_base64(picture)
    except (Error, ValueError):
        return b""
