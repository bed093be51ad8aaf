"""Conversations of other products: trees of messages, of which one branch is shown."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from lib.conversations.message import FinishReason
from lib.imports.drafts import Draft, DraftConversation, DraftMessage, derived_message_id
from lib.imports.values import object_in

SEPARATOR = "\n\n"
MAX_MODEL_CHARS = 255


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """A message of the branch.

    Attributes:
        source_id: its id.
        created_at: None: unknown.
        model_name: of an answer; '': unknown.
        finish_reason: of an answer.
    """

    source_id: str
    is_question: bool
    content: str
    created_at: datetime | None
    model_name: str = ""
    finish_reason: FinishReason | None = None


def branch_ids(nodes: Mapping[str, Any], last_id: str, parent: str) -> list[str]:
    """Return the ids of the nodes from the first one to `last_id`.

    Args:
        nodes: by id.
        last_id: the end of the branch.
        parent: the field of a node that has the id of the node before it.
    """
    ids = dict[str, None]()
    node_id: object = last_id
    # A circle ends where it began.
    while isinstance(node_id, str) and node_id in nodes and node_id not in ids:
        ids[node_id] = None
        node_id = object_in(nodes[node_id]).get(parent)
    return [*reversed(ids)]


def add_chain(
    draft: Draft,
    conversation: DraftConversation,
    links: Iterable[Link],
    begun_at: datetime | None,
) -> None:
    """Add the messages of a branch to their conversation.

    Answers side by side become one, with the id and the time of the last: they are the pieces of
    one answer, between which a tool ran. A message without a time has that of the one before it.

    Args:
        draft: counts the messages that are left out.
        conversation: the conversation.
        links: the branch.
        begun_at: the time of the conversation; None: unknown.
    """
    question: DraftMessage | None = None
    last: DraftMessage | None = None
    pieces = list[str]()
    time = begun_at
    for link in links:
        time = link.created_at or time
        if time is None:
            draft.leave_out("message", "no_time")
            continue
        message_id = derived_message_id(conversation, link.source_id)
        if not link.is_question and last is not None and last.role == "assistant":
            last.message_id, last.created_at = message_id, time
            pieces.append(link.content)
            last.model_name = link.model_name[:MAX_MODEL_CHARS] or last.model_name
            last.finish_reason = link.finish_reason
            continue
        _join(last, pieces)
        last = DraftMessage(
            message_id=message_id,
            role="user" if link.is_question else "assistant",
            content=link.content,
            created_at=time,
            question=None if link.is_question else question,
            model_name=link.model_name[:MAX_MODEL_CHARS] or None,
            finish_reason=link.finish_reason,
        )
        conversation.messages.append(last)
        pieces = [link.content]
        question = last if link.is_question else None
    _join(last, pieces)


def _join(message: DraftMessage | None, pieces: list[str]) -> None:
    if message is not None and len(pieces) > 1:
        message.content = SEPARATOR.join(filter(None, pieces))


def pieces_of(
    nodes: Mapping[str, Any], is_question: Callable[[Any], bool], max_bytes: int
) -> Iterator[dict[str, Any]]:
    """Yield the nodes of a branch in pieces, each of which begins with a question.

    Args:
        nodes: by id, in the order of the branch.
        is_question: tells whether a node begins a turn.
        max_bytes: of the JSON of a piece, unless a single turn has more.
    """
    piece, size = dict[str, Any](), 0
    for turn in _turns(nodes, is_question):
        turn_size = len(json.dumps(turn, ensure_ascii=False).encode("utf-8", "replace"))
        if piece and size + turn_size > max_bytes:
            yield piece
            piece, size = {}, 0
        piece |= turn
        size += turn_size
    yield piece


def _turns(
    nodes: Mapping[str, Any], is_question: Callable[[Any], bool]
) -> Iterator[dict[str, Any]]:
    turn = dict[str, Any]()
    for node_id, node in nodes.items():
        if turn and is_question(node):
            yield turn
            turn = {}
        turn[node_id] = node
    yield turn
