"""The parts of the AI SDK's UI message stream that Parley sends (lib/streams/parts.py)."""

from dev.openapi.schemas import REF, Schema
from lib.streams.parts import FINISH_REASONS

TEXT: Schema = {"type": "string"}
ID: Schema = {"type": "string", "format": "uuid"}
COUNT: Schema = {"type": "integer", "minimum": 0}
URL: Schema = {"type": "string", "pattern": "^https?://"}
ANYTHING: Schema = {"type": "object", "additionalProperties": True}


def _object(description: str, /, **properties: Schema) -> Schema:
    """Return an object; a field whose name ends with `_OPTIONAL` may be left out."""
    fields = {name.removesuffix(_OPTIONAL): schema for name, schema in properties.items()}
    return {
        "type": "object",
        "description": description,
        "properties": fields,
        "required": [name for name in properties if not name.endswith(_OPTIONAL)],
        "additionalProperties": False,
    }


# In the SDK's names there is none.
_OPTIONAL = "?"
# The provider itself has run the tool.
_HOSTED: dict[str, Schema] = {"providerExecuted?": {"type": "boolean", "const": True}}
_PLACE = {
    "providerMetadata?": _object(
        "The place.",
        parley=_object(
            "The passage that the source belongs to, in characters of the answer's `content`.",
            start=COUNT,
            end=COUNT,
        ),
    )
}


# By type: the meaning of a part, and its other fields.
CHUNKS: dict[str, tuple[str, dict[str, Schema]]] = {
    "start": (
        "An answer begins; `messageId` is its id.",
        {
            "messageId": TEXT,
            "messageMetadata": _object("The metadata of the beginning.", conversation_id=ID),
        },
    ),
    "start-step": ("The model is asked, or asked again after tools were called.", {}),
    "text-start": ("Text begins.", {"id": TEXT}),
    "text-delta": ("A piece of text.", {"id": TEXT, "delta": TEXT}),
    "text-end": (
        "Text ends. `citations` are its passages with a source, for version 7 of the SDK.",
        {
            "id": TEXT,
            "citations?": {"type": "array", "items": {"$ref": f"{REF}Citation"}, "minItems": 1},
        },
    ),
    "reasoning-start": ("A thought of the model begins.", {"id": TEXT}),
    "reasoning-delta": ("A piece of a thought.", {"id": TEXT, "delta": TEXT}),
    "reasoning-end": ("A thought ends.", {"id": TEXT}),
    "tool-input-start": ("A tool call begins.", {"toolCallId": TEXT, "toolName": TEXT} | _HOSTED),
    "tool-input-delta": (
        "A piece of a tool call's arguments, as JSON text.",
        {"toolCallId": TEXT, "inputTextDelta": TEXT},
    ),
    "tool-input-available": (
        "The arguments of a tool call.",
        {"toolCallId": TEXT, "toolName": TEXT, "input": ANYTHING} | _HOSTED,
    ),
    "tool-output-available": (
        "The output of a tool; with `preliminary`, what it has come to so far.",
        {"toolCallId": TEXT, "output": {}, "preliminary?": {"type": "boolean", "const": True}}
        | _HOSTED,
    ),
    "tool-output-error": (
        "The error of a tool.",
        {"toolCallId": TEXT, "errorText": TEXT} | _HOSTED,
    ),
    "source-url": (
        "A page that the answer cites.",
        {"sourceId": TEXT, "url": URL, "title?": TEXT} | _PLACE,
    ),
    "source-document": (
        "A document that the answer cites.",
        {"sourceId": TEXT, "mediaType": TEXT, "title": TEXT, "filename?": TEXT} | _PLACE,
    ),
    "file": (
        "A file that the model or a tool has made; its link lasts for one to two hours.",
        {"mediaType": TEXT, "url": TEXT},
    ),
    "data-conversation": (
        "The model has given the conversation a title; this is no part of the message.",
        {
            "data": _object("The conversation's new title.", id=ID, title=TEXT),
            "transient": {"type": "boolean", "const": True},
        },
    ),
    "data-summary": (
        "From this answer on the model gets a summary of the earlier messages; no part of it.",
        {
            "data": _object(
                "The conversation, and when the summary was made.",
                id=ID,
                created_at={"type": "string", "format": "date-time"},
            ),
            "transient": {"type": "boolean", "const": True},
        },
    ),
    "finish-step": ("A step is over.", {}),
    "finish": (
        "The answer is over, and stored.",
        {
            "finishReason": {"type": "string", "enum": [*FINISH_REASONS.values(), "other"]},
            "messageMetadata": {"$ref": f"{REF}AnswerMetadata"},
        },
    ),
    "abort": ("The answer was stopped; the text until then is stored.", {}),
    "error": ("The answer has failed; the text is for the user.", {"errorText": TEXT}),
}
# Of any name, so it has no `const` as its type.
DATA_CHUNK = _object(
    "Something that a tool shows on the page. With an `id`, it takes the place of the part of the "
    "same type and id.",
    type={"type": "string", "pattern": "^data-(?!conversation$|summary$)[a-z0-9-]{1,64}$"},
    data={},
    **{"id?": TEXT},
)


def chunk_schemas() -> dict[str, Schema]:
    """Return a component for each type of part, their union, and the event that carries one."""
    names = {kind: _name_of(kind) for kind in CHUNKS}
    chunks = {
        names[kind]: _object(text, type={"type": "string", "const": kind}, **fields)
        for kind, (text, fields) in CHUNKS.items()
    } | {"DataChunk": DATA_CHUNK}
    # Without a discriminator, which cannot name the types of all data.
    union: Schema = {"oneOf": [{"$ref": REF + name} for name in chunks]}
    part: Schema = {
        "type": "string",
        "contentMediaType": "application/json",
        "contentSchema": {"$ref": f"{REF}UIMessageChunk"},
    }
    event: Schema = {
        "type": "object",
        "description": "An event: its `data` is a part or, as the last one, `[DONE]`.",
        "properties": {"data": {"anyOf": [{"type": "string", "const": "[DONE]"}, part]}},
        "required": ["data"],
    }
    return chunks | {"UIMessageChunk": union, "UIMessageEvent": event}


def _name_of(kind: str) -> str:
    return kind.removeprefix("data-").title().replace("-", "") + "Chunk"
