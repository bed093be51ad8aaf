"""/api/chat and /api/chat/{id}/stream."""

from dev.openapi.operations import Answer, Operation, as_json
from dev.openapi.schemas import Schema
from lib.chat.stream import StreamQuery
from lib.problems import (
    AnswerInterrupted,
    AnswerNotStored,
    AnswerStopped,
    AnswerWithheld,
    ConversationArchived,
    ConversationFull,
    ConversationMovedOn,
    ConversationTooLong,
    FileNotStored,
    FileRefused,
    FilesTooLarge,
    FileStorageFull,
    MessageIdTaken,
    ModelFailed,
    ModelNotConfigured,
    ModelOverloaded,
    ModelRefused,
    ModelTimeout,
    NotFound,
    NothingToAnswer,
    QuotaExceeded,
    StorageQuotaExceeded,
    TokenQuotaExceeded,
    TurnInProgress,
)

ID: Schema = {
    "type": "string",
    "minLength": 1,
    "description": "What the client calls the conversation in `POST /api/chat`.",
}
CONVERSATION = "$response.header.x-conversation-id"
STREAM_HEADERS = ("x-conversation-id", "x-workflow-run-id", "x-vercel-ai-ui-message-stream")

ANSWERED = Answer(
    "The answer, as JSON or as a UI message stream.",
    {"application/json": "ChatAnswer", "text/event-stream": "UIMessageEvent"},
    (*STREAM_HEADERS, "x-conversation-key", "idempotent-replayed", "ratelimit"),
    {
        "readHistory": {"conversation_id": CONVERSATION},
        "readConversations": {"id": CONVERSATION},
        "changeConversation": {"id": CONVERSATION},
        "deleteConversations": {"id": CONVERSATION},
        "resumeAnswer": {"id": CONVERSATION},
        "stopAnswer": {"id": CONVERSATION},
        "markMistake": {
            "id": "$response.body#/message/id",
            "conversation_id": CONVERSATION,
        },
    },
)
OPERATIONS = {
    ("GET", "/api/models"): Operation(
        name="listModels",
        summary="List the models that the caller may choose among",
        caller="guest",
        answers={200: as_json("ModelList", "The one that answers without a choice comes first.")},
    ),
    ("POST", "/api/chat"): Operation(
        name="chat",
        summary="Say something, get an answer",
        text="""A UI message stream is answered if `stream` asks for it, or `Accept:
            text/event-stream`, or the body is as `useChat` sends it. Once a stream has begun, a
            failure is a part of it. The body has at most 4 MB.""",
        caller="guest",
        body="ChatRequest",
        answers={200: ANSWERED},
        problem_headers=("x-conversation-id", "x-conversation-key", "ratelimit"),
        problems=(
            NotFound,
            TurnInProgress,
            ConversationMovedOn,
            ConversationArchived,
            ConversationFull,
            MessageIdTaken,
            AnswerStopped,
            AnswerNotStored,
            NothingToAnswer,
            QuotaExceeded,
            StorageQuotaExceeded,
            TokenQuotaExceeded,
            StorageQuotaExceeded,
            TokenQuotaExceeded,
            ModelNotConfigured,
            ModelFailed,
            ModelRefused,
            ModelOverloaded,
            ModelTimeout,
            AnswerWithheld,
            FileRefused,
            FileNotStored,
            FilesTooLarge,
            FileStorageFull,
            ConversationTooLong,
            AnswerInterrupted,
        ),
    ),
    ("GET", "/api/chat/{id}/stream"): Operation(
        name="resumeAnswer",
        summary="Come back to an answer that is being made",
        text="""The stream of the running answer from its first part on, or of one that ended within
            the last minute and was not stopped.""",
        caller="guest",
        path={"id": ID},
        query=StreamQuery,
        answers={
            200: Answer(
                "The stream.",
                {"text/event-stream": "UIMessageEvent"},
                (*STREAM_HEADERS, "x-workflow-stream-tail-index"),
            ),
            204: Answer("There is none, or no such conversation."),
        },
    ),
    ("DELETE", "/api/chat/{id}/stream"): Operation(
        name="stopAnswer",
        summary="Stop the answer that is being made",
        text="What there was of it is stored. To close the connection does not stop it.",
        caller="guest",
        path={"id": ID},
        answers={204: Answer("Nothing is being made any more.")},
    ),
}
