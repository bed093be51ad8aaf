"""Ids that clients send, and what they stand for."""

import json
import re
from uuid import UUID, uuid5

from lib.http.queries import Reader, text, whole_number
from lib.identity.callers import Caller
from lib.problems import InvalidRequest

# Of Parley's own: ids made from it never meet those that somebody else derives.
NAMESPACE = UUID("0b1f7d4e-6a2c-5c39-9a51-3c1d3a0c7e42")
CANONICAL_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
MIN_ANONYMOUS_CHARS = 16
MAX_CHARS = 255
# An id that a client made, of a conversation or of a message.
CLIENT_ID = text(least=1, most=MAX_CHARS)
# The same of a conversation.
CHAT_ID = Reader(
    CLIENT_ID.read,
    **CLIENT_ID.schema,
    description="The UUID of a conversation, or any other text, which stands for one conversation "
    "of each user. Without a token it needs 16 characters.",
)
# A bigint of Postgres.
ROW_ID = whole_number(0, 2**63 - 1)


def conversation_id_of(chat_id: str, caller: Caller, field: str = "conversation_id") -> UUID:
    """Turn what a client calls a conversation into its id.

    A UUID is the id itself. Any other text (`useChat` makes 16 random characters) becomes a UUIDv5
    (RFC 9562) over owner and text, so it is the same every time, and never another owner's.

    Args:
        chat_id: what the client sent.
        caller: who sent it.
        field: the name that it was sent under.

    Raises:
        InvalidRequest: too short for an anonymous caller, who is let in by knowing it.
    """
    if CANONICAL_UUID.fullmatch(chat_id):
        return UUID(chat_id)
    if caller.user_id is None and len(chat_id) < MIN_ANONYMOUS_CHARS:
        detail = f"must be a UUID or have at least {MIN_ANONYMOUS_CHARS} characters, for secrecy"
        raise InvalidRequest(errors=[{"field": field, "detail": detail}])
    return uuid5(NAMESPACE, json.dumps([caller.user_id, chat_id]))
