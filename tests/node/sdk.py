"""Let the AI SDK read our streams, and hold a conversation with our server, as `useChat` does.

    result = read_stream(7, sse_bytes)
    assert result["message"]["parts"] == [...]

    result = run_chat(5, base_url, [{"do": "send", "text": "hello"}, {"do": "regenerate"}])
    assert [request["status"] for request in result["requests"]] == [200, 200]

Both run node and wait for it: in a test with a server in the same event loop, call them through
`anyio.to_thread.run_sync`. Where node or its packages are missing, they skip the test.
"""

import json
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NotRequired, Self, TypedDict, cast

import pytest

type Version = Literal[5, 6, 7]
VERSIONS: tuple[Version, ...] = (5, 6, 7)
type Transport = Literal["default", "workflow"]
_HERE = Path(__file__).parent


class UIMessage(TypedDict):
    """A message as the SDK holds it."""

    id: str
    role: Literal["user", "assistant", "system"]
    parts: list[dict[str, Any]]
    metadata: NotRequired[dict[str, Any]]


class SdkError(TypedDict):
    """An error as the SDK raised it; the last two are told by version 7 only."""

    name: str | None
    message: str
    statusCode: int | None
    responseBody: str | None


class ReadResult(TypedDict):
    """What a stream came to; a part that the SDK refuses ends it with an error.

    There is a message from the first part on that shows something, which most tests can rely on.
    """

    message: UIMessage
    error: SdkError | None


class Step(TypedDict, total=False):
    """One thing that the user does; `chat.mjs` says which fields belong to which."""

    do: Literal["send", "edit", "regenerate", "resume", "reload", "wait"]
    text: str
    message: int | str
    messageId: str
    after: int
    then: Literal["stop", "delete", "leave"]
    milliseconds: int


class ChatState(TypedDict):
    """What the page shows at one moment."""

    messages: list[UIMessage]
    status: Literal["submitted", "streaming", "ready", "error"]
    error: SdkError | None


class RecordedRequest(TypedDict):
    """A request that the SDK sent; `status` is None where no answer came."""

    method: str
    url: str
    headers: dict[str, str]
    body: dict[str, Any] | None
    status: int | None
    responseHeaders: dict[str, str] | None


class Finish(TypedDict):
    """What `onFinish` was told of an answer."""

    messageId: str
    isAbort: bool
    isDisconnect: bool
    isError: bool
    finishReason: NotRequired[str]


class ChatResult(ChatState):
    """The page in the end, after each step, what went over the network, and what `onData` got."""

    chatId: str
    steps: list[ChatState]
    requests: list[RecordedRequest]
    data: list[dict[str, Any]]
    finishes: list[Finish]


class Conditions(TypedDict, total=False):
    """What is odd about the network of a page.

    `routes`: ends of paths, and the base URLs of the functions that they lead to; the first that
    fits counts. `duration`: how many seconds the platform gives each function. `cuts`: after how
    many events the first, second, … stream breaks. `resumeDelay`: how many milliseconds it takes
    until a request to resume arrives.
    """

    routes: Sequence[tuple[str, str]]
    duration: float
    cuts: Sequence[int]
    resumeDelay: float


class PageStep(TypedDict, total=False):
    """One thing that happens to a React page; `page.mjs` says which fields belong to which."""

    do: Literal["open", "send", "stop", "leave", "wait"]
    text: str
    length: int


class PageResult(ChatState):
    """A React page in the end, after each step, and what went over the network."""

    chatId: str
    steps: list[ChatState]
    requests: list[RecordedRequest]


class WorkflowCall(TypedDict, total=False):
    """One call of the bare transport; `workflow.mjs` says which fields belong to which."""

    do: Literal["send", "reconnect"]
    text: str
    startIndex: int


class WorkflowRead(TypedDict):
    """What a call gave: the types of the parts, the text in them, and what broke it."""

    types: list[str]
    text: str
    error: SdkError | None


class WorkflowResult(TypedDict):
    """What each call gave, and what went over the network."""

    calls: list[WorkflowRead]
    requests: list[RecordedRequest]


def read_stream(version: Version, sse: bytes) -> ReadResult:
    """Rebuild the message from the bytes of a response, with the SDK's own strict parser."""
    return cast("ReadResult", _run_node(["read_stream.mjs", str(version)], sse))


def run_chat(
    version: Version,
    base_url: str,
    steps: Sequence[Step],
    *,
    chat_id: str | None = None,
    messages: Sequence[UIMessage] = (),
    headers: Mapping[str, str] | None = None,
    resume_delay: float = 0,
) -> ChatResult:
    """Play steps, one after another, with the chat behind `useChat` in its default settings.

    Args:
        version: the SDK's major version.
        base_url: of the server; requests go to `/api/chat` and `/api/chat/<chat_id>/stream`.
        steps: what the user does.
        chat_id: the SDK makes one of 16 characters where there is none.
        messages: what the page begins with, such as the messages of GET /api/history.
        headers: sent with each request, such as `Authorization`.
        resume_delay: seconds until the request to resume arrives at the server.
    """
    plan = {
        "version": version,
        "baseUrl": base_url,
        "resumeDelay": resume_delay * 1000,
        "chatId": chat_id,
        "messages": messages,
        "headers": headers,
        "steps": steps,
    }
    return cast("ChatResult", _run_node(["chat.mjs"], json.dumps(plan).encode()))


def run_page(
    base_url: str,
    steps: Sequence[PageStep],
    *,
    chat_id: str,
    token: str,
    transport: Transport = "default",
    conditions: Conditions | None = None,
) -> PageResult:
    """Play steps on a React page that is written as README says, with the real `useChat`.

    Args:
        base_url: of the server.
        steps: what happens.
        chat_id: the chat's id.
        token: what `getToken` gives.
        transport: which of README's.
        conditions: what is odd about the network.
    """
    plan = {
        "baseUrl": base_url,
        "chatId": chat_id,
        "token": token,
        "transport": transport,
        "steps": steps,
    }
    return cast(
        "PageResult", _run_node(["page.mjs"], json.dumps(plan | dict(conditions or {})).encode())
    )


def run_workflow(
    base_url: str, calls: Sequence[WorkflowCall], *, chat_id: str, cuts: Sequence[int] = ()
) -> WorkflowResult:
    """Call the bare `WorkflowChatTransport`, and read what it gives to the end.

    Args:
        base_url: of the server.
        calls: what is called.
        chat_id: the chat's id.
        cuts: see `Conditions`.
    """
    plan = {"baseUrl": base_url, "calls": calls, "chatId": chat_id, "cuts": cuts}
    return cast("WorkflowResult", _run_node(["workflow.mjs"], json.dumps(plan).encode()))


def texts_of(messages: Sequence[UIMessage]) -> list[str]:
    """Return what a page shows."""
    return ["".join(part.get("text", "") for part in each["parts"]) for each in messages]


def validate_messages(version: Version, messages: list[dict[str, Any]]) -> object:
    """Return what the SDK's own check has against messages; None: nothing."""
    written = json.dumps(messages).encode()
    result = _run_node(["validate.mjs", str(version)], written)
    return cast("dict[str, object]", result)["error"]


class StreamReader:
    """One process of node that reads many streams with all versions of the SDK."""

    def __init__(self) -> None:
        """Start it."""
        self._process = subprocess.Popen(
            [_node(), "read_streams.mjs"], cwd=_HERE, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """End the process."""
        self._process.communicate(timeout=30)

    def read(
        self, streams: Sequence[bytes], messages: Sequence[Mapping[str, Any]] = ()
    ) -> dict[Version, list[ReadResult]]:
        """Return the message that each version reads from each stream.

        Args:
            streams: the bytes of responses.
            messages: such as those of GET /api/history, to which no version may object.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        work = {"streams": [stream.decode() for stream in streams], "messages": messages}
        self._process.stdin.write(json.dumps(work).encode() + b"\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        assert line, "node has ended"
        results = json.loads(line)
        for version in VERSIONS:
            assert results[str(version)]["error"] is None, (version, results[str(version)]["error"])
        return {version: results[str(version)]["read"] for version in VERSIONS}


def _node() -> str:
    node = shutil.which("node")
    if node is None or not (_HERE / "node_modules/ai").is_dir():
        pytest.skip("node or the AI SDK is not installed: run `npm ci` in tests/node")
    return node


def _run_node(arguments: Sequence[str], standard_input: bytes) -> object:
    done = subprocess.run(
        [_node(), *arguments],
        cwd=_HERE,
        input=standard_input,
        capture_output=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr.decode()
    return json.loads(done.stdout)


def seen_by(version: Version, parts: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return parts as a version keeps them: `citations` are of version 7 alone."""
    if version == 7:
        return parts
    return [{name: value for name, value in part.items() if name != "citations"} for part in parts]
