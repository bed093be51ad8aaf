"""One conversation read, renamed, archived, claimed or deleted."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import UUID

from lib.conversations.conversation import LOCK_CONVERSATION, ConversationId, retry_after
from lib.conversations.listing import ConversationDetails
from lib.database.acting import remember_user
from lib.database.client import Database
from lib.database.statements import Call, Statement
from lib.http.ids import CHAT_ID
from lib.http.queries import parameter, query_string
from lib.identity.callers import Caller
from lib.identity.erasures import log_erasure
from lib.problems import NotFound, RefusedByRule, TurnInProgress
from lib.settings import settings

if TYPE_CHECKING:
    from lib.conversations.bodies import Change


# Small, because each conversation holds up to MAX_CONVERSATION_MESSAGES messages, and a statement
# has a limit of time.
DELETE_BATCH = 50
# Of the 30 seconds that a function has, so that batches still have time where all was too much.
DELETE_TIMEOUT_MS = 12_000
# The largest integer of Postgres.
ALL = 2**31 - 1
SOME_KEPT = (
    "Some of your conversations are deleted, but a rule in this application's database keeps "
    "others. Ask its operator."
)


@dataclass(frozen=True, slots=True)
class Claim:
    """The row of claim_conversation.

    Attributes:
        is_claimed: the conversation is the caller's now.
        lease_remaining_seconds: of the running turn that prevents it; None: the claim succeeded.
    """

    is_claimed: bool
    lease_remaining_seconds: float | None


FIND_CONVERSATION_SUMMARY = Statement(
    "conversations/find_conversation_summary", ConversationDetails
)
CHANGE_CONVERSATION = Statement("conversations/change_conversation", ConversationId)
CLAIM_CONVERSATION = Statement("conversations/claim_conversation", Claim)
DELETE_CONVERSATION = Statement("conversations/delete_conversation", ConversationId)
ERASE_CONVERSATION = Statement("conversations/erase_conversation", ConversationId)
DELETE_CONVERSATIONS = Statement(
    "conversations/delete_conversations", ConversationId, timeout_ms=DELETE_TIMEOUT_MS
)


@query_string
class ConversationQuery:
    """The query of /api/conversations that names one conversation."""

    id: str = parameter(CHAT_ID)


def conversation_change() -> "type[Change]":
    """Return the model of the body of PATCH."""
    from lib.conversations.bodies import Change

    return Change


async def find_conversation(
    database: Database, caller: Caller, conversation_id: UUID
) -> ConversationDetails:
    """Return one conversation of the caller.

    One round trip: find_conversation_summary.

    Raises:
        NotFound: when the caller has no such conversation.
        Problem: see `Database.run_as`.
    """
    summaries = await database.run_as(
        caller, caller.reachable(conversation_id), _summary_call(caller, conversation_id)
    )
    return _first(summaries)


async def change_conversation(
    database: Database, caller: Caller, conversation_id: UUID, change: "Change"
) -> ConversationDetails:
    """Rename, archive or reactivate a conversation of the caller, or set its instructions.

    One round trip: change_conversation and find_conversation_summary.

    Raises:
        NotFound: when the caller has no such conversation.
        Problem: see `Database.run_as`.
    """
    _, summaries = await database.run_as(
        caller,
        caller.reachable(conversation_id),
        CHANGE_CONVERSATION(
            **_parameters(caller, conversation_id),
            title=change.title,
            status=change.status,
            instructions=change.new_instructions,
        ),
        _summary_call(caller, conversation_id),
    )
    return _first(summaries)


async def claim_conversation(
    database: Database, caller: Caller, conversation_id: UUID
) -> ConversationDetails:
    """Give a conversation without an owner to a user, with all its messages; return it.

    One round trip: claim_conversation and find_conversation_summary. Safe to repeat: a claim of
    the caller's own conversation changes nothing.

    Raises:
        NotFound: when no conversation without an owner has this id and the caller's key, and none
            of the caller's this id.
        TurnInProgress: when an answer is being made in the conversation.
        Problem: see `Database.run_as`.
    """
    _, _, claims, summaries = await database.run_as(
        caller,
        conversation_id,
        remember_user(caller),
        # A statement of its own, as in begin_turn: the claim must see an answer that is stored
        # while the lock is waited for.
        LOCK_CONVERSATION(conversation_id=conversation_id, user_id=None),
        CLAIM_CONVERSATION(**_parameters(caller, conversation_id)),
        _summary_call(caller, conversation_id),
    )
    if claims and not claims[0].is_claimed:
        raise TurnInProgress(
            "An answer is just being made in this conversation. Claim it after that.",
            retry_after_seconds=retry_after(claims[0].lease_remaining_seconds),
        )
    return _first(summaries)


async def delete_conversation(database: Database, caller: Caller, conversation_id: UUID) -> None:
    """Delete a conversation of the caller with all its messages.

    One round trip: delete_conversation; with a conversation's key erase_conversation, which also
    deletes it when a user has claimed it. An answer that is being made in it ends cleanly.

    Raises:
        NotFound: when the caller has no such conversation.
        Problem: see `Database.run_as`.
    """
    has_key = caller.user_id is None and caller.conversation_key is not None
    call = (
        ERASE_CONVERSATION(conversation_id=conversation_id)
        if has_key
        else DELETE_CONVERSATION(**_parameters(caller, conversation_id))
    )
    deleted = await database.run_as(caller, caller.reachable(conversation_id), call)
    log_erasure("conversation", [_first(deleted).id])


async def delete_conversations(database: Database, caller: Caller) -> None:
    """Delete all conversations of a user.

    One round trip for each DELETE_BATCH conversations: delete_conversations.

    Raises:
        Problem: see `Database.run_as`; the batches before it stay deleted.
        RefusedByRule: likewise, and its text says so.
    """
    call = DELETE_CONVERSATIONS(user_id=caller.user_id, batch_size=DELETE_BATCH)
    are_some_gone = False
    while True:
        try:
            deleted = await database.run_as(caller, None, call)
        except RefusedByRule as problem:
            if not are_some_gone:
                raise
            raise RefusedByRule(SOME_KEPT) from problem
        are_some_gone = bool(deleted)
        log_erasure("conversation", [row.id for row in deleted])
        if len(deleted) < DELETE_BATCH:
            return


def delete_all_conversations_call(caller: Caller) -> Call[ConversationId]:
    """Return the call that deletes all conversations of a user in one transaction."""
    return DELETE_CONVERSATIONS(user_id=caller.user_id, batch_size=ALL)


def _parameters(caller: Caller, conversation_id: UUID) -> dict[str, Any]:
    return {
        "conversation_id": conversation_id,
        "user_id": caller.user_id,
        "retention_days": settings().retention_days,
        "now": None,
    }


def _summary_call(caller: Caller, conversation_id: UUID) -> Call[ConversationDetails]:
    return FIND_CONVERSATION_SUMMARY(**_parameters(caller, conversation_id))


def _first[Row](rows: list[Row]) -> Row:
    if not rows:
        raise NotFound
    return rows[0]
