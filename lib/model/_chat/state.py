"""The state of a reply: fields that must go back to a provider of Chat Completions with it.

Some providers refuse a history without these fields (DeepSeek without `reasoning_content`), and
some refuse a history in which they are changed (Anthropic, by its signatures).
"""

import json
from typing import Any, cast

from lib.model.reply import merged_state
from lib.runtime.log import log
from lib.texts import storable_text, whole_characters

# Of a reply. Each later request carries it.
MAX_STATE_CHARS = 1_000_000
# The cost of an item beside its texts, so that a flood of empty items has an end too.
ITEM_CHARS = 8
# Fields of a block that are pieces of one text.
BLOCK_TEXTS = {"text", "summary", "thinking", "data"}
# Blocks of these types come whole, so two in a row are two.
WHOLE_BLOCKS = {"reasoning.encrypted", "redacted_thinking"}


class _Text:
    """A text that comes in pieces; to add them up each time would copy it each time."""

    __slots__ = ("pieces",)

    def __init__(self, *pieces: str) -> None:
        """Take the first pieces."""
        self.pieces = [*pieces]


class ReplyState:
    """The state of one reply, merged from the deltas of its stream."""

    def __init__(self) -> None:
        """Start with nothing to send back."""
        self._fields: dict[str, Any] = {}
        self._chars = 0
        self._is_too_long = False

    @property
    def has_content(self) -> bool:
        """The content is a list of blocks, which goes back in place of the text."""
        return "content" in self._fields

    def add_text(self, name: str, piece: str) -> None:
        """Add a piece of a field that is one text."""
        if self._has_room(piece):
            self._fields.setdefault(name, _Text()).pieces.append(piece)

    def add_blocks(self, name: str, pieces: list[Any]) -> None:
        """Add pieces of the blocks of a field that is a list."""
        if self._has_room(pieces):
            blocks = self._fields.setdefault(name, [])
            for piece in pieces:
                _add_block(blocks, piece)

    def add_object(self, name: str, value: dict[str, Any]) -> None:
        """Add to a field that is an object."""
        if self._has_room(value):
            self._fields[name] = merged_state(self._fields.get(name), value)

    def of_call(self, fields: dict[str, Any]) -> dict[str, Any] | None:
        """Return fields of a call as they can be sent back; None: there is no room for them."""
        return sendable(fields) if self._has_room(fields) else None

    def take(self) -> dict[str, Any] | None:
        """Return the state; None: nothing must go back, or it is too much."""
        return sendable(self._fields) if self._fields else None

    def _has_room(self, value: object) -> bool:
        """Count a value; when all are too much, drop them, because a part would be refused."""
        self._chars += _chars(value)
        if self._chars > MAX_STATE_CHARS and not self._is_too_long:
            self._is_too_long = True
            self._fields = {}
            log("provider_state_too_long", chars=self._chars)
        return not self._is_too_long


def sendable(fields: dict[str, Any]) -> dict[str, Any] | None:
    """Return fields with whole characters; None: they cannot be written as JSON.

    Two halves of a character may have come in two pieces, and a lone one cannot be sent.
    """
    try:
        text = json.dumps(fields, ensure_ascii=False, allow_nan=False, default=_joined)
    except (ValueError, RecursionError):
        return None
    return json.loads(whole_characters(text))


def text_of(content: list[Any]) -> str:
    """Return the text in a content that is a list, as an answer stores it; '' if it is blank."""
    blocks = [cast("dict[str, Any]", block) for block in content if isinstance(block, dict)]
    texts = [block.get("text") for block in blocks if block.get("type", "text") == "text"]
    text = storable_text("".join(text for text in texts if isinstance(text, str)))
    return text if text.strip() else ""


def _joined(text: _Text) -> str:
    return "".join(text.pieces)


def _chars(value: object) -> int:
    if isinstance(value, str):
        return len(value) + ITEM_CHARS
    if isinstance(value, dict):
        return sum(map(_chars, cast("dict[str, object]", value).values()), ITEM_CHARS)
    if isinstance(value, list):
        return sum(map(_chars, cast("list[object]", value)), ITEM_CHARS)
    return ITEM_CHARS


def _add_block(blocks: list[Any], piece: object) -> None:
    """Add a piece of a block to the block that it goes on with, or begin another one."""
    if not isinstance(piece, dict):
        blocks.append(piece)
        return
    fields = cast("dict[str, Any]", piece)
    block = _open_block(blocks, fields)
    if block is None:
        blocks.append(dict(fields))
        return
    for name, value in fields.items():
        _add_value(block, name, value)


def _open_block(blocks: list[Any], piece: dict[str, Any]) -> dict[str, Any] | None:
    """Return the block that a piece goes on with: by its index, or without one, the last block."""
    kind, index, block_id = piece.get("type"), piece.get("index"), piece.get("id")
    for block in reversed(blocks if index is not None else blocks[-1:]):
        if not isinstance(block, dict):
            continue
        fields = cast("dict[str, Any]", block)
        if fields.get("type") != kind or fields.get("index") != index:
            continue
        if block_id and fields.get("id") not in (None, block_id):
            return None
        if index is None and (kind in WHOLE_BLOCKS or _is_signed_before(fields, piece)):
            return None
        return fields
    return None


def _is_signed_before(block: dict[str, Any], piece: dict[str, Any]) -> bool:
    """Return whether a block has its signature, which ends it, and the piece has more text."""
    return bool(block.get("signature")) and any(piece.get(name) for name in BLOCK_TEXTS)


def _add_value(block: dict[str, Any], name: str, value: object) -> None:
    old = block.get(name)
    if value is None or (value == "" and old is not None):
        return
    if isinstance(old, list) and isinstance(value, list):
        for piece in cast("list[object]", value):
            _add_block(cast("list[Any]", old), piece)
    elif name not in BLOCK_TEXTS or not isinstance(value, str):
        block[name] = value
    elif isinstance(old, _Text):
        old.pieces.append(value)
    elif not isinstance(old, str):
        block[name] = value
    # Sealed data that is there already has come once more.
    elif name != "data" or old != value:
        block[name] = _Text(old, value)
