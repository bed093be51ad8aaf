"""/api/conversations, /api/history and /api/messages."""

from dev.openapi.operations import Answer, Operation, as_json
from lib.conversations.changes import ConversationQuery
from lib.conversations.endpoint import DeleteQuery, ReadQuery
from lib.conversations.history import HistoryQuery
from lib.conversations.mistakes import AnswersQuery, MessageQuery
from lib.imports.endpoint import ImportQuery
from lib.problems import (
    ConversationKeyRequired,
    InvalidRequest,
    NotFound,
    SearchTooSlow,
    StorageQuotaExceeded,
    TurnInProgress,
)

OPERATIONS = {
    ("POST", "/api/conversations"): Operation(
        name="beginConversation",
        summary="Get an id and a key, or import conversations",
        text="""Without `import` nothing is stored: the conversation begins with its first message,
            to `POST /api/chat`. Without a token, the key opens it and the id alone does not. With
            `import`, and a token, the body is an export, or a part of it of up to 4 MB: JSON lines,
            or an array. What is stored already is not stored again. 404 where the operator has
            switched imports off.""",
        caller="guest",
        query=ImportQuery,
        optional_content={
            "application/json": {"type": "array", "items": {"type": "object"}},
            "application/x-ndjson": {"type": "object"},
        },
        answers={
            200: as_json("ImportReport", "An import: what was stored."),
            201: as_json(
                "NewConversation",
                "An id and, without a token, a key.",
                "x-conversation-id",
                "x-conversation-key",
            ),
        },
        problems=(NotFound, StorageQuotaExceeded),
    ),
    ("GET", "/api/conversations"): Operation(
        name="readConversations",
        summary="List, search, read or export",
        text="""With `id` one conversation, which needs no token where nobody owns it. With `export`
            everything of the user's: a JSON object a line. The last one is of the type `end`; where
            its `complete` is false, its `cursor` goes on with the rest. Else one page, most
            recently used first; with `q` what holds those words, best first, in one page without
            `cursor`; 404 where the operator has switched the search off.""",
        caller="guest",
        query=ReadQuery,
        answers={
            200: Answer(
                "A page, one conversation, or lines.",
                {
                    "application/json": "ConversationOrPage",
                    "application/x-ndjson": "ExportLine",
                },
                ("x-conversation-id", "content-disposition"),
            )
        },
        problems=(NotFound, SearchTooSlow),
    ),
    ("PATCH", "/api/conversations"): Operation(
        name="changeConversation",
        summary="Rename, archive or claim one, or set its instructions",
        caller="guest",
        query=ConversationQuery,
        body="ConversationChange",
        answers={200: as_json("ConversationDetails", "The conversation.", "x-conversation-id")},
        problems=(ConversationKeyRequired, NotFound, TurnInProgress),
    ),
    ("DELETE", "/api/conversations"): Operation(
        name="deleteConversations",
        summary="Delete one or all",
        caller="guest",
        query=DeleteQuery,
        answers={204: Answer("It is deleted, or they are.")},
        problems=(NotFound,),
    ),
    ("GET", "/api/history"): Operation(
        name="readHistory",
        summary="Read the messages of one conversation",
        text="A page holds the newest messages, oldest first.",
        caller="guest",
        query=HistoryQuery,
        answers={
            200: as_json(
                "HistoryPage",
                "One page.",
                "x-conversation-id",
                links={"readHistory": {"before": "$response.body#/next_cursor"}},
            )
        },
        problems=(NotFound,),
    ),
    ("GET", "/api/messages"): Operation(
        name="readAnswers",
        summary="Find mistakes, or what answers have cost",
        text="Either `is_mistake` or `usage` is needed.",
        caller="user",
        query=AnswersQuery,
        answers={
            200: Answer(
                "A page of mistakes, the same as lines for fine-tuning, or usage.",
                {
                    "application/json": "MistakesOrUsage",
                    "application/jsonl": "MistakeExample",
                },
                ("x-next-cursor",),
            )
        },
    ),
    ("PATCH", "/api/messages"): Operation(
        name="markMistake",
        summary="Mark an answer as a mistake, or take that back",
        caller="guest",
        query=MessageQuery,
        body="MistakeMark",
        answers={200: as_json("AssistantMessage", "The answer.")},
        problems=(InvalidRequest, NotFound),
    ),
}
