"""ChatGPT's export: `conversations.json`, an array of conversations.

OpenAI documents no schema. A conversation has `id` or `conversation_id`, `title`, `create_time`,
`is_archived`, `current_node` and `mapping`: nodes by id, each with `parent` and `message`. A
message has `author.role`, `content`, `create_time` in seconds of Unix time or null, `recipient`,
`weight` and `metadata`.

The branch that ends with `current_node` is taken. Left out are system and tool messages, what the
model sent to tools, its thoughts, hidden messages, and the branches that ChatGPT does not show. A
picture or a recording stands in the text as `[image]` or `[audio]`; a recording's transcript is
text.
"""

import re
from collections.abc import Iterator
from typing import Any

from lib.conversations.message import FinishReason
from lib.imports.chains import Link, add_chain, branch_ids, pieces_of
from lib.imports.drafts import Draft
from lib.imports.values import id_in, list_in, object_in, text_in, unix_time

# `content_type` of messages that people read.
SHOWN = ("text", "multimodal_text")
# Marks of sources, between characters of private use.
CITATION = re.compile("\ue200[^\ue200\ue201]*\ue201")
FINISH_REASONS: dict[str, FinishReason] = {"max_tokens": "length", "interrupted": "aborted"}
# Of a message's metadata.
READ = {
    "finish_details",
    "is_user_system_message",
    "is_visually_hidden_from_conversation",
    "model_slug",
}
MEDIA = {
    "image_asset_pointer": "[image]",
    "audio_asset_pointer": "[audio]",
    "video_container_asset_pointer": "[video]",
}


def add_conversation(draft: Draft, entry: object) -> None:
    """Add one conversation of the export to a draft."""
    fields = object_in(entry)
    mapping = object_in(fields.get("mapping"))
    source_id = id_in(fields, "conversation_id", "id")
    if source_id is None or "mapping" not in fields:
        draft.leave_out("conversation", "unreadable")
        return
    draft.is_recognized = True
    conversation = draft.conversation("chatgpt", source_id)
    conversation.title = text_in(fields, "title")
    conversation.created_at = unix_time(fields.get("create_time"))
    if fields.get("is_archived") is True:
        conversation.status = "archived"
    ids = branch_ids(mapping, _last_id(fields, mapping), "parent")
    draft.leave_out("message", "other_version", len(_shown(mapping)) - len(_shown(mapping, ids)))
    add_chain(draft, conversation, _links(draft, mapping, ids), conversation.created_at)


def split_conversation(entry: dict[str, Any], max_bytes: int) -> Iterator[dict[str, Any]]:
    """Yield a conversation in pieces, each a conversation with a part of the branch.

    For one that is larger than a request. The pieces have no other branches, and of each message
    only what `add_conversation` reads.

    Args:
        entry: the conversation.
        max_bytes: see `pieces_of`.
    """
    mapping = object_in(entry.get("mapping"))
    ids = branch_ids(mapping, _last_id(entry, mapping), "parent")
    kept = {name: value for name, value in entry.items() if not isinstance(value, dict | list)}
    nodes = {node_id: _smaller(mapping[node_id]) for node_id in ids}
    for piece in pieces_of(nodes, lambda node: _role(node) == "user", max_bytes):
        yield kept | {"mapping": piece, "current_node": next(reversed(piece), None)}


def _smaller(node: object) -> dict[str, Any]:
    """Return a node without what an import does not read."""
    fields = object_in(node)
    message = object_in(fields.get("message"))
    if not message:
        return {"parent": fields.get("parent"), "message": None}
    metadata = object_in(message.get("metadata"))
    smaller = message | {"metadata": {name: metadata[name] for name in READ & metadata.keys()}}
    if not _is_shown(message):
        smaller["content"] = {"content_type": object_in(message.get("content")).get("content_type")}
    return {"parent": fields.get("parent"), "message": smaller}


def _last_id(fields: dict[str, Any], mapping: dict[str, Any]) -> str:
    """Return the end of the branch; where the export does not name it, the newest leaf."""
    current = fields.get("current_node")
    if isinstance(current, str) and current in mapping:
        return current
    parents = {text_in(object_in(node), "parent") for node in mapping.values()}
    return next((node_id for node_id in reversed(mapping) if node_id not in parents), "")


def _role(node: object) -> str:
    message = object_in(object_in(node).get("message"))
    return text_in(object_in(message.get("author")), "role")


def _is_shown(message: dict[str, Any]) -> bool:
    """Tell whether ChatGPT shows a message as a question or an answer."""
    metadata = object_in(message.get("metadata"))
    return (
        text_in(object_in(message.get("author")), "role") in ("user", "assistant")
        and object_in(message.get("content")).get("content_type", "text") in SHOWN
        and message.get("recipient", "all") in ("all", None)
        and message.get("weight", 1) != 0
        and not metadata.get("is_visually_hidden_from_conversation")
        and not metadata.get("is_user_system_message")
    )


def _shown(mapping: dict[str, Any], ids: list[str] | None = None) -> list[str]:
    """Return those nodes that ChatGPT would show: of all, or of some."""
    return [
        node_id
        for node_id in (mapping if ids is None else ids)
        if _is_shown(object_in(object_in(mapping[node_id]).get("message")))
    ]


def _links(draft: Draft, mapping: dict[str, Any], ids: list[str]) -> Iterator[Link]:
    for node_id in ids:
        message = object_in(object_in(mapping[node_id]).get("message"))
        if not message:
            # The root, and placeholders.
            continue
        if not _is_shown(message):
            draft.leave_out("message", "hidden")
            continue
        is_question = _role(mapping[node_id]) == "user"
        content = _text(object_in(message.get("content")))
        metadata = object_in(message.get("metadata"))
        details = object_in(metadata.get("finish_details"))
        yield Link(
            source_id=id_in(message, "id") or node_id,
            is_question=is_question,
            content=content if is_question else CITATION.sub("", content),
            created_at=unix_time(message.get("create_time")),
            model_name="" if is_question else text_in(metadata, "model_slug"),
            finish_reason=(
                None if is_question else FINISH_REASONS.get(text_in(details, "type"), "stop")
            ),
        )


def _text(content: dict[str, Any]) -> str:
    parts = list_in(content.get("parts")) or [content.get("text")]
    return "\n".join(filter(None, map(_part, parts)))


def _part(part: object) -> str:
    if isinstance(part, str):
        return part
    fields = object_in(part)
    return text_in(fields, "text") or MEDIA.get(text_in(fields, "content_type"), "")
