"""The conversation that a message goes to: its id, and the rights of an anonymous sender to it."""

from dataclasses import dataclass, replace
from uuid import UUID, uuid4

from lib.http.ids import conversation_id_of
from lib.identity.callers import Caller
from lib.identity.conversation_keys import HEADER, is_genuine, new_key
from lib.problems import InvalidRequest, NotFound, Problem
from lib.turns.request import ChatRequest

KEY_WITHOUT_ID = "goes with a conversation_id: send the id that was made with it"
GUESSABLE = (
    "without a token or a key, the id is a password, and this one can be guessed: use "
    "crypto.randomUUID(), or POST /api/conversations for an id with a key"
)


@dataclass(frozen=True, slots=True)
class Place:
    """The conversation of one message.

    Attributes:
        conversation_id: its id.
        caller: the sender, with the right to create the conversation or without it.
        made_key: the key that this request has made; None: it made none.
        fault: the reason why the id cannot begin a conversation; None: it can.
        field: the field that carried the id.
    """

    conversation_id: UUID
    caller: Caller
    made_key: str | None = None
    fault: str | None = None
    field: str = ""

    def headers(self) -> dict[str, str]:
        """Return the headers that tell the client where its message went."""
        headers = {"x-conversation-id": str(self.conversation_id)}
        return headers if self.made_key is None else headers | {HEADER: self.made_key}

    def refusal(self, problem: NotFound) -> Problem:
        """Return the problem to tell when the sender does not reach the conversation.

        An id that can be guessed is refused alike, whether it is free or another caller's.
        """
        if self.fault is None:
            return problem
        return InvalidRequest(errors=[{"field": self.field, "detail": self.fault}])


def place_of(caller: Caller, request: ChatRequest) -> Place:
    """Return the conversation that a message names, or a new one.

    Only an anonymous caller's right to create it is in question: with a key, the key must be one
    that this deployment has made for the id; without, the id must be hard to guess. The database
    asks for that right only where the conversation is missing, so a conversation outlives a change
    of the deployment's secrets, and goes on under an id that would be refused today.

    Raises:
        InvalidRequest: when the request has a key, but no id.
    """
    if caller.user_id is not None:
        chat_id = request.chat_id
        return Place(uuid4() if chat_id is None else conversation_id_of(chat_id, caller), caller)
    key = caller.conversation_key
    if request.chat_id is None:
        if key is not None:
            raise InvalidRequest(errors=[{"field": HEADER, "detail": KEY_WITHOUT_ID}])
        conversation_id = uuid4()
        made_key = new_key(conversation_id)
        caller = replace(caller, conversation_key=made_key, approach="create")
        return Place(conversation_id, caller, made_key)
    conversation_id = conversation_id_of(request.chat_id, caller)
    fault = None
    if key is None:
        # Late, because most messages of a page with keys never need it.
        from lib.chat.guessable import is_guessable

        fault = GUESSABLE if is_guessable(request.chat_id) else None
        may_create = fault is None
    else:
        may_create = is_genuine(key, conversation_id)
    if request.message_id is None:
        # An answer that is made again creates no conversation, and no quota counts the attempt.
        caller = replace(caller, approach="read")
    else:
        caller = replace(caller, approach="create" if may_create else "continue")
    return Place(conversation_id, caller, None, fault, request.chat_id_field)
