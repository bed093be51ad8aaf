"""What becomes of a conversation: read, renamed, archived, claimed, deleted."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import UUID

import psycopg

from lib.conversations.conversation import LOCK_CONVERSATION, PATIENCE, ConversationId
from lib.conversations.listing import ConversationSummary
from lib.database.acting import remember_user
from lib.database.client import Database
from lib.database.statements import Call, Statement
from lib.http.ids import CLIENT_ID
from lib.http.queries import parameter, query_string
from lib.identity.callers import Caller
from lib.problems import AccountUnknown, NotFound, TurnInProgress
from lib.settings import settings

if TYPE_CHECKING:
    from lib.conversations.bodies import Change


# Each with up to MAX_CONVERSATION_MESSAGES messages, in one statement of ten seconds at most.
DELETE_BATCH = 50


@dataclass(frozen=True, slots=True)
class Claim:
    """The row of claim_conversation."""

    is_claimed: bool
    lease_remaining_seconds: float | None


FIND_CONVERSATION_SUMMARY = Statement(
    "conversations/find_conversation_summary", ConversationSummary
)
CHANGE_CONVERSATION = Statement("conversations/change_conversation", ConversationId)
CLAIM_CONVERSATION = Statement("conversations/claim_conversation", Claim)
DELETE_CONVERSATION = Statement("conversations/delete_conversation", ConversationId)
DELETE_CONVERSATIONS = Statement("conversations/delete_conversations", ConversationId)


@query_string
class OneQuery:
    """The query of /api/conversations that names one."""

    id: str = parameter(CLIENT_ID)


def conversation_change() -> "type[Change]":
    """Return the model of the body of PATCH."""
    from lib.conversations.bodies import Change

    return Change


async def find_conversation(
    database: Database, caller: Caller, conversation_id: UUID
) -> ConversationSummary:
    """Return one conversation of the caller.

    One round trip: find_conversation_summary.

    Raises:
        NotFound: there is no such conversation of this caller.
        Problem: see `Database.run_as`.
    """
    found = await database.run_as(
        caller, caller.reachable(conversation_id), _summary(caller, conversation_id)
    )
    return _only(found)


async def change_conversation(
    database: Database, caller: Caller, conversation_id: UUID, change: "Change"
) -> ConversationSummary:
    """Rename a conversation of the caller, archive it or make it active again; return it.

    One round trip: change_conversation and find_conversation_summary.

    Raises:
        NotFound: there is no such conversation of this caller.
        Problem: see `Database.run_as`.
    """
    _, found = await database.run_as(
        caller,
        caller.reachable(conversation_id),
        CHANGE_CONVERSATION(
            **_whose(caller, conversation_id), title=change.title, status=change.status
        ),
        _summary(caller, conversation_id),
    )
    return _only(found)


async def claim_conversation(
    database: Database, caller: Caller, conversation_id: UUID
) -> ConversationSummary:
    """Give a conversation without an owner to a user, with all its messages; return it.

    One round trip: claim_conversation and find_conversation_summary. Claiming one's own changes
    nothing, so it may be repeated.

    Raises:
        NotFound: there is none without an owner under that id, nor one of this caller.
        TurnInProgress: an answer is just being made there.
        AccountUnknown: this user cannot be added to an application's own `users`.
        Problem: see `Database.run_as`.
    """
    nobodys = {"conversation_id": conversation_id, "user_id": None}
    try:
        _, _, claims, found = await database.run_as(
            caller,
            conversation_id,
            remember_user(caller),
            # First, as in begin_turn: what an answer stored while this waited must be claimed too.
            LOCK_CONVERSATION(**nobodys),
            CLAIM_CONVERSATION(**_whose(caller, conversation_id)),
            _summary(caller, conversation_id),
        )
    except psycopg.errors.NotNullViolation as error:
        # An application's own `users`, whose rows need more than a token says.
        raise AccountUnknown from error
    if claims and not claims[0].is_claimed:
        raise TurnInProgress(
            "An answer is just being made in this conversation. Claim it after that.",
            retry_after_seconds=min(claims[0].lease_remaining_seconds or PATIENCE, PATIENCE),
        )
    return _only(found)


async def delete_conversation(database: Database, caller: Caller, conversation_id: UUID) -> None:
    """Delete a conversation of the caller with all its messages.

    One round trip: delete_conversation. An answer that is being made there ends cleanly.

    Raises:
        NotFound: there is no such conversation of this caller.
        Problem: see `Database.run_as`.
    """
    deleted = await database.run_as(
        caller,
        caller.reachable(conversation_id),
        DELETE_CONVERSATION(**_whose(caller, conversation_id)),
    )
    _only(deleted)


async def delete_conversations(database: Database, caller: Caller) -> None:
    """Delete all conversations of a user.

    One round trip for DELETE_BATCH conversations: delete_conversations.

    Raises:
        Problem: see `Database.run_as`; what was deleted before it stays deleted.
    """
    call = DELETE_CONVERSATIONS(user_id=caller.user_id, batch_size=DELETE_BATCH)
    while len(await database.run_as(caller, None, call)) == DELETE_BATCH:
        pass


def _whose(caller: Caller, conversation_id: UUID) -> dict[str, Any]:
    return {
        "conversation_id": conversation_id,
        "user_id": caller.user_id,
        "retention_days": settings().retention_days,
        "now": None,
    }


def _summary(caller: Caller, conversation_id: UUID) -> Call[ConversationSummary]:
    return FIND_CONVERSATION_SUMMARY(**_whose(caller, conversation_id))


def _only[Row](rows: list[Row]) -> Row:
    if not rows:
        raise NotFound
    return rows[0]
