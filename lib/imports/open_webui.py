"""open-webui's export of chats: an array of chats.

A chat has `id`, `title`, `created_at`, `archived` and `chat`, which has `title`, `history` and
`messages`. `history.messages` has all versions of the messages by id, each with `parentId`, `role`,
`content` and `timestamp`, in seconds of Unix time; `history.currentId` is the last one that is
shown. Early versions have the list `messages` alone.

Left out are the versions that open-webui does not show, system messages, and what an answer has in
`<details>` of the types below: thoughts, and the output of tools. A file stands in the text as
`[image]` or `[file: its name]`.
"""

from collections.abc import Iterator
from typing import Any

from lib.imports.chains import Link, add_chain, branch_ids, pieces_of
from lib.imports.drafts import Draft
from lib.imports.values import id_in, list_in, object_in, text_in, unix_time

DETAILS = tuple(f'<details type="{kind}"' for kind in ("reasoning", "tool_calls", "code_interp"))
DETAILS_BEGIN, DETAILS_END = "<details", "</details>"
# Of a message.
READ = {"parentId", "role", "content", "timestamp", "model", "modelName"}
# Of a chat of an early version, the messages have no id.
NAMED = "messages.{}"


def add_conversation(draft: Draft, entry: object) -> None:
    """Add one chat of the export to a draft."""
    fields = object_in(entry)
    chat = object_in(fields.get("chat")) or fields
    messages, last_id = _messages(chat)
    source_id = id_in(fields, "id") or id_in(chat, "id")
    if source_id is None or messages is None:
        draft.leave_out("conversation", "unreadable")
        return
    draft.is_recognized = True
    conversation = draft.conversation("open-webui", source_id)
    conversation.title = text_in(fields, "title") or text_in(chat, "title")
    conversation.created_at = unix_time(fields.get("created_at")) or unix_time(
        chat.get("timestamp")
    )
    if fields.get("archived") is True:
        conversation.status = "archived"
    ids = branch_ids(messages, last_id, "parentId")
    draft.leave_out("message", "other_version", len(messages) - len(ids))
    add_chain(draft, conversation, _links(draft, messages, ids), conversation.created_at)


def split_conversation(entry: dict[str, Any], max_bytes: int) -> Iterator[dict[str, Any]]:
    """Yield a chat in pieces, each a chat with a part of the branch.

    See `lib.imports.chatgpt.split_conversation`.
    """
    chat = object_in(entry.get("chat")) or entry
    messages, last_id = _messages(chat)
    messages = messages or {}
    kept = {name: value for name, value in entry.items() if not isinstance(value, dict | list)}
    named = {name: value for name, value in chat.items() if not isinstance(value, dict | list)}
    nodes = {each: _smaller(messages[each]) for each in branch_ids(messages, last_id, "parentId")}
    for piece in pieces_of(nodes, lambda node: node.get("role") == "user", max_bytes):
        history = {"messages": piece, "currentId": next(reversed(piece), None)}
        yield kept | {"chat": named | {"history": history}}


def _smaller(message: object) -> dict[str, Any]:
    """Return a message without what an import does not read, such as the bytes of its pictures."""
    fields = object_in(message)
    files = [
        {"type": object_in(each).get("type"), "name": text_in(object_in(each), "name")}
        for each in list_in(fields.get("files"))
    ]
    return {name: fields[name] for name in READ & fields.keys()} | {"files": files}


def _messages(chat: dict[str, Any]) -> tuple[dict[str, Any] | None, str]:
    """Return the messages of a chat by id, and the id of the last one; None: it has none."""
    history = object_in(chat.get("history"))
    messages = object_in(history.get("messages"))
    if messages:
        current = history.get("currentId")
        if isinstance(current, str) and current in messages:
            return messages, current
        parents = {text_in(object_in(each), "parentId") for each in messages.values()}
        return messages, next((name for name in reversed(messages) if name not in parents), "")
    if "messages" not in chat and "history" not in chat:
        return None, ""
    chained: dict[str, Any] = {}
    before: str | None = None
    for place, each in enumerate(list_in(chat.get("messages"))):
        name = id_in(object_in(each), "id") or NAMED.format(place)
        chained[name] = object_in(each) | {"parentId": before}
        before = name
    return chained, before or ""


def _links(draft: Draft, messages: dict[str, Any], ids: list[str]) -> Iterator[Link]:
    for message_id in ids:
        message = object_in(messages[message_id])
        role = message.get("role")
        if role not in ("user", "assistant"):
            draft.leave_out("message", "hidden")
            continue
        is_question = role == "user"
        content = _text(message.get("content"))
        files = filter(None, map(_file, list_in(message.get("files"))))
        yield Link(
            source_id=message_id,
            is_question=is_question,
            content="\n".join(filter(None, [content if is_question else plain(content), *files])),
            created_at=unix_time(message.get("timestamp")),
            model_name="" if is_question else text_in(message, "model", "modelName"),
            finish_reason=None if is_question else "stop",
        )


def plain(content: str) -> str:
    """Return an answer without its thoughts and the output of tools."""
    kept: list[str] = []
    place = 0
    while (start := content.find(DETAILS_BEGIN, place)) >= 0:
        end = content.find(DETAILS_END, start)
        if end < 0:
            break
        is_left_out = content.startswith(DETAILS, start)
        kept.append(content[place : start if is_left_out else end + len(DETAILS_END)])
        place = end + len(DETAILS_END)
    return "".join([*kept, content[place:]]).strip()


def _text(content: object) -> str:
    if isinstance(content, str):
        return content
    parts = map(object_in, list_in(content))
    return "\n".join(
        filter(
            None,
            (
                "[image]" if part.get("type") == "image_url" else text_in(part, "text")
                for part in parts
            ),
        )
    )


def _file(file: object) -> str:
    fields = object_in(file)
    if fields.get("type") == "image":
        return "[image]"
    name = text_in(fields, "name") or text_in(object_in(fields.get("file")), "filename")
    return f"[file: {name}]" if name else "[file]" if fields else ""
