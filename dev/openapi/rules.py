"""What requests must be beyond what their models and query strings tell.

By model and field, "" for the model as a whole. What needs more than one field is in words only.
"""

from typing import Any

from dev.openapi.schemas import REF, Schema
from lib.chat.forms import FilePart, PlainForm, SdkForm, UserMessage
from lib.conversations.bodies import MAX_TITLE_CHARS, Change
from lib.conversations.endpoint import ReadQuery
from lib.conversations.history import HistoryQuery
from lib.conversations.listing import ListQuery
from lib.conversations.mistakes import AnswersQuery, MessageQuery
from lib.tools import tools
from lib.users.bodies import (
    MAX_PASSWORD_BYTES,
    MIN_PASSWORD_CHARS,
    Credentials,
    NewTask,
    TaskChange,
)
from lib.users.tasks import TaskQuery

# More than spaces, and no NUL.
WORDS = r"^[^\u0000]*[^\s\u0000][^\u0000]*$"
MOST_MESSAGE_CHARS = 10_000
TITLE: Schema = {"type": "string", "pattern": WORDS, "minLength": 1, "maxLength": 200}
CHAT_ID = (
    "A UUID is the conversation's id; any other text stands for one, for each user another. "
    "Without a token it needs 16 characters."
)
ALSO_SESSION_ID = f"{CHAT_ID} `session_id` is another name of it."


def _not_all(schema: Schema, *names: str) -> Schema:
    """Say that of some fields at least one is there and is not what a schema says."""
    return {"not": {"properties": dict.fromkeys(names, schema)}}


def _cursor(kind: str) -> Schema:
    told = "The `next_cursor` of the page before."
    return {"pattern": None, "minLength": 1, "format": f"{kind}-cursor", "description": told}


def _tool_choice() -> Schema:
    told = "The tool that the model must call first; for users."
    named: Schema = {"type": "string", "enum": sorted(tools())}
    return {"anyOf": [named, {"type": "null"}], "description": told}


def _persona() -> Schema:
    named: Schema = {"type": "string", "pattern": r"^\w[\w .'-]{0,63}$"}
    return {"anyOf": [named, {"type": "null"}]}


RULES: dict[type[Any], dict[str, Schema]] = {
    PlainForm: {
        "message": {
            "pattern": WORDS,
            "minLength": 1,
            "maxLength": MOST_MESSAGE_CHARS,
            "description": "At most as many characters as MAX_MESSAGE_CHARS says (1000).",
        },
        "conversation_id": {"description": f"{ALSO_SESSION_ID} Without one, a new one is made."},
        "message_id": {"description": "Sent again with the same id, it is answered once."},
        "stream": {"description": "A UI message stream is wanted, as with `Accept`."},
        "tool_choice": _tool_choice(),
        "persona": _persona(),
    },
    SdkForm: {
        "": _not_all({"type": "null"}, "messages", "message"),
        "id": {"description": CHAT_ID},
        "messages": {
            "anyOf": [
                {"type": "array", "items": {"$ref": f"{REF}SentMessage"}},
                {"type": "null"},
            ],
            "description": "Of these only the newest user message is read.",
        },
        "message": {
            "anyOf": [{"$ref": f"{REF}SentMessage"}, {"type": "null"}],
            "description": "Instead of `messages`: the newest alone.",
        },
        "messageId": {"description": "The message that is edited, or the answer to make again."},
        "tool_choice": _tool_choice(),
        "persona": _persona(),
    },
    UserMessage: {
        "parts": {
            "items": {
                "oneOf": [{"$ref": f"{REF}SentTextPart"}, {"$ref": f"{REF}SentFilePart"}],
                "discriminator": {
                    "propertyName": "type",
                    "mapping": {"text": f"{REF}SentTextPart", "file": f"{REF}SentFilePart"},
                },
            },
            "description": "At least some text, or an image; at most 10 images.",
        },
    },
    FilePart: {
        "url": {
            "pattern": r"^(https://[a-z0-9]|data:image/(png|jpeg|gif|webp);base64,[A-Za-z0-9+/]+={0,2}$)",
            "description": "`https://…`, or `data:`, the media type, `;base64,…`.",
        }
    },
    Change: {
        "": _not_all(False, "title", "status", "claim"),  # pyright: ignore[reportArgumentType]
        "title": {
            "anyOf": None,
            "type": "string",
            "pattern": WORDS,
            "minLength": 1,
            "maxLength": MAX_TITLE_CHARS,
        },
        "status": {"anyOf": None, "$ref": f"{REF}ConversationStatus"},
        "claim": {
            "anyOf": None,
            "const": True,
            "description": "Give an anonymous conversation to the user who asks.",
        },
    },
    TaskChange: {
        "": _not_all({"type": "null"}, "title", "description", "completed"),
        "title": {"anyOf": [TITLE, {"type": "null"}]},
    },
    NewTask: {"title": TITLE},
    Credentials: {
        "email": {"pattern": r"^[^\s\u0000]+@[^\s@\u0000]+$"},
        "password": {
            "format": "password",
            "minLength": MIN_PASSWORD_CHARS,
            "maxLength": MAX_PASSWORD_BYTES,
            "description": f"At most {MAX_PASSWORD_BYTES} bytes.",
        },
    },
    HistoryQuery: {
        "conversation_id": {"description": ALSO_SESSION_ID},
        "before": _cursor("history"),
        "include": {"description": "Also what was replaced, or what the operator has written."},
    },
    ListQuery: {"cursor": _cursor("conversations")},
    ReadQuery: {
        "cursor": _cursor("conversations"),
        "q": {"description": 'What to search for: words, `"a phrase"`, `or`, `-not`.'},
        "id": {"description": f"One conversation. {CHAT_ID}"},
        "export": {"description": "Everything of the user's."},
    },
    AnswersQuery: {
        "cursor": _cursor("mistakes"),
        "from": {"description": "First day, by UTC; 30 days unless it is given."},
        "to": {"description": "Last day, by UTC."},
        "usage": {"description": "What answers have cost, by day and model."},
        "is_mistake": {"description": "The answers that are marked as mistakes."},
    },
    MessageQuery: {
        "id": {"description": "The answer's id."},
        "conversation_id": {"description": ALSO_SESSION_ID},
    },
    TaskQuery: {"cursor": _cursor("tasks")},
}
