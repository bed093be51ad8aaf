"""Headers of answers. All answers of functions have Server-Timing."""

from collections.abc import Iterable

from dev.openapi.schemas import Schema
from lib.identity.conversation_keys import KEY

NUMBER: Schema = {"type": "integer", "minimum": 0}
TEXT: Schema = {"type": "string"}
UUID: Schema = {"type": "string", "format": "uuid"}
# By name: the description, the schema, and whether each answer that names the header has it.
HEADERS: dict[str, tuple[str, Schema, bool]] = {
    "server-timing": (
        "Milliseconds until the answer began: of the database, of the model, in all.",
        TEXT | {"pattern": r"^db;dur=[0-9.]+, model;dur=[0-9.]+, total;dur=[0-9.]+$"},
        True,
    ),
    "x-conversation-id": ("The conversation's id.", UUID, False),
    "x-conversation-key": (
        "Opens the conversation that was begun here, and is told once.",
        TEXT | {"pattern": f"^{KEY.pattern}$"},
        False,
    ),
    "x-workflow-run-id": ("The same, for the AI SDK's WorkflowChatTransport.", UUID, False),
    "x-workflow-stream-tail-index": (
        "With a negative `startIndex`: the number of the last part there is; -1: there is none.",
        {"type": "integer", "minimum": -1},
        False,
    ),
    "x-vercel-ai-ui-message-stream": ("Of a stream.", {"type": "string", "const": "v1"}, False),
    "x-next-cursor": ("With `format=jsonl`: leads to the next page, as `cursor`.", TEXT, False),
    "idempotent-replayed": (
        "This is a stored answer, to a message that was sent before.",
        {"type": "string", "const": "true"},
        False,
    ),
    "retry-after": ("Seconds after which it is worth trying again.", NUMBER, False),
    "www-authenticate": ("`Bearer`.", {"type": "string", "const": "Bearer"}, True),
    "content-disposition": ("Of an export, or a file.", TEXT, False),
    "ratelimit": ("What is left in the minute and in the day, of the tightest quota.", TEXT, False),
    "ratelimit-policy": ("Those quotas.", TEXT, False),
    "ratelimit-limit": ("Of the quota that has the least left: answers in all.", NUMBER, False),
    "ratelimit-remaining": ("Of that one: answers left.", NUMBER, False),
    "ratelimit-reset": ("Of that one: seconds until it is full again.", NUMBER, False),
}


def headers_of(names: Iterable[str]) -> dict[str, Schema]:
    """Return the headers of a response, as references; `ratelimit` stands for all of its kind."""
    wanted = ["server-timing", *names]
    if "ratelimit" in wanted:
        wanted += [name for name in HEADERS if name.startswith("ratelimit-")]
    return {name: {"$ref": f"#/components/headers/{name}"} for name in wanted}


def header_components() -> dict[str, Schema]:
    """Return the components that the references mean."""
    return {
        name: {"description": text, "schema": schema, "required": is_required}
        for name, (text, schema, is_required) in HEADERS.items()
    }
