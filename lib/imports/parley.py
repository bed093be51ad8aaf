"""Parley's own export: JSON lines, each a row with its `type` (lib/conversations/export.py).

The lines `conversation` and `message` are taken, replaced messages too. The messages of a
conversation are ordered by `id`, the number that they had, and an answer's `reply_to` is the number
of its question. Files, tasks, tokens, the provider's own state and what an analysis has said of a
message are left out: the bytes of a file stand in other lines, and the rest tells of another
deployment. System messages are left out as well, because a caller can send none.
"""

from collections.abc import Sequence
from typing import Any, get_args
from uuid import UUID

from lib.conversations.message import MAX_NOTE_CHARS, FinishReason
from lib.conversations.parts import Data, Text
from lib.conversations.user_parts import SEPARATOR, UserPart, stored_user_parts
from lib.http.ids import CANONICAL_UUID
from lib.imports.answers import answer_columns, data_of, small_object
from lib.imports.drafts import Draft, DraftConversation, DraftMessage, Kind
from lib.imports.values import id_in, is_storable, iso_time, list_in, object_in, text_in
from lib.texts import storable_text

KINDS: tuple[Kind, ...] = get_args(Kind)
FINISH_REASONS: tuple[FinishReason, ...] = get_args(FinishReason)
# The lines that are no rows.
MARKS = ("cursor", "end")
# As `forms.py` allows them in a message that is sent.
MAX_METADATA_BYTES = 16 * 1024
MAX_DATA_BYTES = 16 * 1024
MAX_DATA_PARTS = 10
MAX_MODEL_CHARS = 255


def add_lines(draft: Draft, lines: Sequence[object]) -> None:
    """Add the lines of an export, or of a part of it, to a draft."""
    messages = list[dict[str, Any]]()
    for line in lines:
        fields = object_in(line)
        kind = fields.get("type")
        draft.is_recognized = draft.is_recognized or kind in MARKS or kind in KINDS
        if kind == "conversation":
            _add_conversation(draft, fields)
        elif kind == "message":
            messages.append(fields)
        elif kind in KINDS:
            draft.leave_out(kind, "not_imported")
        elif kind not in MARKS:
            draft.leave_out("line", "unreadable")
    # The number of a row orders the messages of a conversation; a time may be that of two.
    messages.sort(key=lambda fields: _number(fields.get("id")) or 0)
    questions = dict[tuple[str, int], DraftMessage]()
    for fields in messages:
        _add_message(draft, fields, questions)


def _conversation(draft: Draft, source_id: object) -> DraftConversation | None:
    if not isinstance(source_id, str) or not CANONICAL_UUID.fullmatch(source_id):
        return None
    conversation = draft.conversation("parley", source_id.lower())
    # The caller's own, if this is the account that was exported.
    conversation.source_id = UUID(source_id)
    return conversation


def _add_conversation(draft: Draft, fields: dict[str, Any]) -> None:
    updated_at = iso_time(fields.get("updated_at"))
    conversation = _conversation(draft, fields.get("id"))
    if conversation is None:
        draft.leave_out("conversation", "unreadable")
        return
    conversation.is_whole = False
    conversation.title = text_in(fields, "title") or None
    conversation.titled_at = iso_time(fields.get("titled_at"))
    conversation.created_at = iso_time(fields.get("created_at"))
    conversation.updated_at = updated_at
    if fields.get("status") == "archived":
        conversation.status = "archived"


def _add_message(
    draft: Draft, fields: dict[str, Any], questions: dict[tuple[str, int], DraftMessage]
) -> None:
    role = fields.get("role")
    if role == "system":
        draft.leave_out("message", "hidden")
        return
    message_id = id_in(fields, "message_id")
    content = fields.get("content")
    conversation = _conversation(draft, fields.get("conversation_id"))
    if (
        conversation is None
        or message_id is None
        or role not in ("user", "assistant")
        or not isinstance(content, str)
    ):
        draft.leave_out("message", "unreadable")
        return
    created_at = iso_time(fields.get("created_at"))
    if created_at is None:
        draft.leave_out("message", "no_time")
        return
    source = str(conversation.source_id)
    reply_to = _number(fields.get("reply_to"))
    question = None if reply_to is None else questions.get((source, reply_to))
    message = DraftMessage(
        message_id=message_id,
        role=role,
        content=content,
        created_at=created_at,
        updated_at=iso_time(fields.get("updated_at")),
        superseded_at=iso_time(fields.get("superseded_at")),
        columns=_marks(fields),
    )
    if role == "user":
        _add_question_columns(draft, message, fields)
        if (number := _number(fields.get("id"))) is not None:
            questions[source, number] = message
    else:
        message.question = question
        message.answers_stored = reply_to is not None and question is None
        message.finish_reason = _finish_reason(fields.get("finish_reason"))
        message.model_name = text_in(fields, "model_name")[:MAX_MODEL_CHARS] or None
        for name in ("model", "requested_model"):
            named = storable_text(text_in(fields, name))
            message.columns[name] = named[:MAX_MODEL_CHARS] or None
        message.columns |= answer_columns(content, fields.get("tool_calls"), fields.get("steps"))
    conversation.messages.append(message)


def _marks(fields: dict[str, Any]) -> dict[str, Any]:
    note = text_in(fields, "mistake_note")
    is_note = 1 <= len(note) <= MAX_NOTE_CHARS and is_storable(note)
    return {
        "is_mistake": fields.get("is_mistake") is True and fields.get("role") == "assistant",
        "mistake_note": note if is_note and fields.get("role") == "assistant" else None,
    }


def _add_question_columns(draft: Draft, message: DraftMessage, fields: dict[str, Any]) -> None:
    """Add what stands beside the text of a question; the text tells files where it tells nothing.

    A message of files alone would be empty, and its answer would answer nothing.
    """
    message.columns["metadata"] = small_object(fields.get("metadata"), MAX_METADATA_BYTES)
    message.columns["steps"] = _question_steps(message.content, fields.get("steps"))
    files = [object_in(file) for file in list_in(fields.get("files"))]
    draft.leave_out("file", "not_imported", len(files))
    if files and not message.content.strip():
        names = (text_in(file, "filename") for file in files)
        message.content = "\n".join(f"[file: {name}]" if name else "[file]" for name in names)
        message.columns["steps"] = None


def _question_steps(content: str, steps: object) -> list[list[dict[str, Any]]] | None:
    """Return the column `steps` of a question without its files; None: the text tells all."""
    parts = list[UserPart]()
    start = size = 0
    for each in map(object_in, list_in(next(iter(list_in(steps)), None))):
        match each:
            case {"type": "text", "chars": int(chars)} if 0 <= chars <= len(content) - start:
                parts.append(Text(content[start : start + chars]))
                start += chars + len(SEPARATOR)
            case {"type": "data"}:
                data = data_of(each)
                if data is None:
                    return None
                size += len(str(data.data))
                parts.append(data)
            case {"type": "file"}:
                pass
            case _:
                return None
    is_whole = start == len(content) + len(SEPARATOR) or (not content and start == 0)
    count = sum(isinstance(part, Data) for part in parts)
    if not is_whole or count > MAX_DATA_PARTS or size > MAX_DATA_BYTES:
        return None
    return stored_user_parts(parts)


def _finish_reason(value: object) -> FinishReason | None:
    return next((reason for reason in FINISH_REASONS if reason == value), None)


def _number(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None
