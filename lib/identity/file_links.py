"""Links to files: an address that opens one file for a while, without a token.

A page shows a picture by `<img src>`, which sends no headers. So a link has a signature: an HMAC by
the deployment's secrets over the file's id and the time at which the link ends. A link ends at a
full hour, one to two hours after it was made, so that a page which is loaded again finds the same
address in its cache. For the owner, with a token or a key, the link works for ever.
"""

import hmac
import time
from urllib.parse import parse_qs, urlsplit
from uuid import UUID

from lib.identity.clients import hashed

PATH = "/api/files"
PERIOD_SECONDS = 3600
SIGNATURE_CHARS = 32


def plain_link(file_id: UUID | str, conversation_id: UUID | None = None) -> str:
    """Return the link that opens a file for its owner alone.

    Args:
        file_id: the file.
        conversation_id: the conversation in which the file is, whose key opens it for a guest;
            None: the file is a user's, and perhaps in no conversation yet.
    """
    where = "" if conversation_id is None else f"&conversation_id={conversation_id}"
    return f"{PATH}?id={file_id}{where}"


def signed_link(link: str) -> str:
    """Return a link that opens a file for a while, also without a token.

    Args:
        link: a plain link; any other URL stays as it is.
    """
    file_id = file_id_in(link)
    if file_id is None:
        return link
    expires = int(time.time()) // PERIOD_SECONDS * PERIOD_SECONDS + 2 * PERIOD_SECONDS
    return f"{link}&expires={expires}&signature={_signature(file_id, expires)}"


def unsigned_link(link: str) -> str:
    """Return the plain link of a signed one; any other URL stays as it is."""
    return link.partition("&expires=")[0] if link.startswith(f"{PATH}?") else link


def is_signed(file_id: UUID, expires: int, signature: str) -> bool:
    """Tell whether a link to a file has been made here, and has not ended."""
    genuine = hmac.compare_digest(signature.encode(), _signature(file_id, expires).encode())
    return genuine and expires > time.time()


def file_id_in(url: str) -> UUID | None:
    """Return the id in a link to a stored file, signed or not; None: the URL is no such link."""
    if not url.startswith(f"{PATH}?"):
        return None
    ids = parse_qs(urlsplit(url).query).get("id", [])
    try:
        return UUID(ids[0]) if len(ids) == 1 else None
    except ValueError:
        return None


def _signature(file_id: UUID, expires: int) -> str:
    return hashed("file link", f"{file_id} {expires}")[-SIGNATURE_CHARS:]
