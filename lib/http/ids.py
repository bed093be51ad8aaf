"""Ids that clients send, and the ids in the database that they stand for."""

import json
import re
from uuid import UUID, uuid5

from lib.http.queries import Reader, text, whole_number
from lib.identity.callers import Caller

# Parley's own namespace, so that its ids never equal ids that another program derives.
NAMESPACE = UUID("0b1f7d4e-6a2c-5c39-9a51-3c1d3a0c7e42")
CANONICAL_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
MAX_CHARS = 255
# The id of a conversation or of a message, made by a client.
CLIENT_ID = text(least=1, most=MAX_CHARS)
# The id of a conversation.
CHAT_ID = Reader(
    CLIENT_ID.read,
    **CLIENT_ID.schema,
    description="The UUID of a conversation, or any other text, which stands for one conversation "
    "of each user.",
)
# A positive bigint of Postgres.
ROW_ID = whole_number(0, 2**63 - 1)


def conversation_id_of(chat_id: str, caller: Caller) -> UUID:
    """Return the id of the conversation that a client names.

    A UUID is the id itself. Any other text (`useChat` makes 16 random characters) becomes a UUIDv5
    (RFC 9562) over owner and text: always the same, and never that of another owner.

    Args:
        chat_id: the client's name for the conversation.
        caller: the owner.
    """
    if CANONICAL_UUID.fullmatch(chat_id):
        return UUID(chat_id)
    return uuid5(NAMESPACE, json.dumps([caller.user_id, chat_id]))
