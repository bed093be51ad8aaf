"""Keys of anonymous conversations: the key opens its conversation, the id alone does not.

A key is 256 random bits and a code that binds them to one id: an HMAC by the deployment's secrets.
The code is checked when the conversation is created, and later the database compares the hash of
the whole key. So a client can make no key of its own, and a changed secret locks no page out.
"""

import hmac
import re
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from uuid import UUID

from starlette.requests import Request

from lib.identity.clients import hashed
from lib.problems import InvalidRequest

HEADER = "x-conversation-key"
PREFIX = "pk_"
RANDOM_BYTES = 32
CODE_BYTES = 16
# 48 bytes are 64 characters of base64url, without padding.
KEY = re.compile(rf"{PREFIX}[A-Za-z0-9_-]{{64}}")
NOT_A_KEY = "is no key of a conversation: POST /api/conversations makes one, with its id"


def new_key(conversation_id: UUID) -> str:
    """Return a new key for the conversation that will have this id."""
    random = secrets.token_bytes(RANDOM_BYTES)
    return PREFIX + urlsafe_b64encode(random + _code(conversation_id, random)).decode()


def is_genuine(key: str, conversation_id: UUID) -> bool:
    """Tell whether this deployment has made the key, for this id, with the secrets of today."""
    content = urlsafe_b64decode(key.removeprefix(PREFIX))
    random, code = content[:RANDOM_BYTES], content[RANDOM_BYTES:]
    return hmac.compare_digest(code, _code(conversation_id, random))


def key_of(request: Request) -> str | None:
    """Return the key that a request has in its header; None: it has none.

    Raises:
        InvalidRequest: when the header is not of a key's form, or there are several.
    """
    keys = request.headers.getlist(HEADER)
    if not keys:
        return None
    if len(keys) > 1 or not KEY.fullmatch(keys[0]):
        raise InvalidRequest(errors=[{"field": HEADER, "detail": NOT_A_KEY}])
    return keys[0]


def _code(conversation_id: UUID, random: bytes) -> bytes:
    digest = hashed("conversation key", f"{conversation_id} {random.hex()}").rpartition(" ")[2]
    return bytes.fromhex(digest)[:CODE_BYTES]
