"""The form of our streams, judged by the AI SDK's own code, against a recorded answer.

What is sent here is what our server sends. Where these tests and the server disagree, the SDK
decides: its schema for parts is strict, and a part that it refuses ends the answer.
"""

import json
import threading
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, override

import pytest

from tests.node.sdk import VERSIONS, Step, Version, read_stream, run_chat

CONVERSATION = "11111111-1111-4111-8111-111111111111"
START = {
    "type": "start",
    "messageId": "m1",
    "messageMetadata": {"conversation_id": CONVERSATION},
}
ANSWER = [
    START,
    {"type": "start-step"},
    {"type": "text-start", "id": "0"},
    {"type": "text-delta", "id": "0", "delta": "Good "},
    {"type": "text-delta", "id": "0", "delta": "morning"},
    {"type": "text-delta", "id": "0", "delta": "!"},
    {"type": "text-end", "id": "0"},
    {"type": "finish-step"},
    {"type": "finish", "finishReason": "stop", "messageMetadata": {"output_tokens": 3}},
]
# "unknown" was one of them until version 5; 6 and 7 refuse it.
FINISH_REASONS = ("stop", "length", "content-filter", "tool-calls", "error", "other")
REFUSAL = {"code": "turn_in_progress", "detail": "Another message is being answered."}

each_version = pytest.mark.parametrize("version", VERSIONS, ids=lambda version: f"ai{version}")


def sse(*parts: dict[str, Any]) -> bytes:
    """Return the bytes of a whole response."""
    lines = [*(json.dumps(part) for part in parts), "[DONE]"]
    return "".join(f"data: {line}\n\n" for line in lines).encode()


class Recorded(ThreadingHTTPServer):
    """A server with one recorded answer to everything.

    Attributes:
        status: 200 answers with the recording, others with a refusal.
        parts: the recording; none: there is nothing to resume.
        hold: while it is clear, the answer stands still after its second word.
        cuts: so many times the connection breaks just before the answer's end.
    """

    daemon_threads = True

    def __init__(self) -> None:
        """Listen on a free port."""
        super().__init__(("127.0.0.1", 0), Handler)
        self.status = 200
        self.parts: list[dict[str, Any]] = ANSWER
        self.hold = threading.Event()
        self.hold.set()
        self.cuts = 0

    @property
    def base_url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    """Answers one request from the recording."""

    protocol_version = "HTTP/1.1"
    server: Recorded  # pyright: ignore[reportIncompatibleVariableOverride]

    def do_GET(self) -> None:
        """Answer who wants to resume."""
        self._answer(self.server.status if self.server.parts else 204)

    def do_POST(self) -> None:
        """Answer who says something."""
        self.rfile.read(int(self.headers["content-length"]))
        self._answer(self.server.status)

    @override
    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""

    def _answer(self, status: int) -> None:
        self.send_response(status)
        if status == 204:
            self.end_headers()
        elif status == 200:
            self._stream()
        else:
            self._send_whole("application/problem+json", json.dumps(REFUSAL).encode())

    def _send_whole(self, content_type: str, body: bytes) -> None:
        self.send_header("content-type", content_type)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _stream(self) -> None:
        self.send_header("content-type", "text/event-stream")
        self.send_header("x-vercel-ai-ui-message-stream", "v1")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        with suppress(ConnectionError):
            for event in sse(*self.server.parts).split(b"\n\n")[:-1]:
                self._send_chunk(event + b"\n\n")
                if b'"morning"' in event:
                    self.server.hold.wait(10)
            if self.server.cuts:
                self.server.cuts -= 1
            else:
                self._send_chunk(b"")
        self.close_connection = True

    def _send_chunk(self, data: bytes) -> None:
        self.wfile.write(b"%x\r\n%b\r\n" % (len(data), data))
        self.wfile.flush()


@pytest.fixture
def recorded() -> Iterator[Recorded]:
    """Serve the recorded answer."""
    with Recorded() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.hold.set()
        server.shutdown()
        thread.join()


@each_version
def test_an_answer_becomes_a_message_with_text_and_metadata(version: Version) -> None:
    result = read_stream(version, sse(*ANSWER))

    assert result["error"] is None
    assert result["message"] == {
        "id": "m1",
        "role": "assistant",
        "metadata": {"conversation_id": CONVERSATION, "output_tokens": 3},
        "parts": [
            {"type": "step-start"},
            {"type": "text", "text": "Good morning!", "state": "done"},
        ],
    }


@each_version
def test_what_else_we_send_is_understood(version: Version) -> None:
    result = read_stream(
        version,
        sse(
            START,
            {"type": "message-metadata", "messageMetadata": {"title": "Greetings"}},
            {
                "type": "data-conversation",
                "data": {"id": CONVERSATION, "title": "Greetings"},
                "transient": True,
            },
            *({"type": "finish", "finishReason": reason} for reason in FINISH_REASONS),
            {"type": "abort"},
        ),
    )

    assert result["error"] is None
    assert result["message"].get("metadata", {})["title"] == "Greetings"


@each_version
@pytest.mark.parametrize(
    "part",
    [
        {"type": "finish", "finishReason": "aborted"},
        {"type": "finish", "finishReason": None},
        {"type": "text-start", "id": 0},
        {"type": "text-start", "id": "0", "providerMetadata": None},
        {"type": "ping"},
    ],
    ids=json.dumps,
)
def test_a_part_that_is_not_in_the_protocol_ends_the_answer(
    version: Version, part: dict[str, Any]
) -> None:
    error = read_stream(version, sse(START, part))["error"]

    assert error is not None
    assert error["name"] == "AI_TypeValidationError"


@each_version
def test_an_error_part_is_an_error_and_leaves_what_was_said(version: Version) -> None:
    result = read_stream(version, sse(*ANSWER[:5], {"type": "error", "errorText": "Try again."}))

    assert result["error"] is not None
    assert result["error"]["message"] == "Try again."
    assert result["message"]["parts"][1]["text"] == "Good morning"


@each_version
def test_tool_calls_become_one_part_each(version: Version) -> None:
    call: dict[str, Any] = {"toolCallId": "t1", "toolName": "add_task"}
    result = read_stream(
        version,
        sse(
            START,
            {"type": "tool-input-start", **call},
            {"type": "tool-input-delta", "toolCallId": "t1", "inputTextDelta": '{"title": "a"}'},
            {"type": "tool-input-available", **call, "input": {"title": "a"}},
            {"type": "tool-output-available", "toolCallId": "t1", "output": {"id": 1}},
        ),
    )

    (part,) = result["message"]["parts"]
    assert (part["type"], part["state"]) == ("tool-add_task", "output-available")
    assert (part["input"], part["output"]) == ({"title": "a"}, {"id": 1})


@each_version
def test_a_sent_message_is_answered(version: Version, recorded: Recorded) -> None:
    result = run_chat(version, recorded.base_url, [{"do": "send", "text": "hello"}])

    question, answer = result["messages"]
    (request,) = result["requests"]
    assert (result["status"], result["error"]) == ("ready", None)
    assert answer["id"] == "m1"
    assert request["url"] == f"{recorded.base_url}/api/chat"
    assert request["body"] == {
        "id": result["chatId"],
        "messages": [question],
        "trigger": "submit-message",
    }
    assert result["finishes"][0].get("finishReason") == "stop"


@each_version
def test_an_edit_sends_the_same_id_with_another_text(version: Version, recorded: Recorded) -> None:
    result = run_chat(
        version,
        recorded.base_url,
        [{"do": "send", "text": "hello"}, {"do": "edit", "message": 0, "text": "hullo"}],
    )

    first, second = (request["body"] for request in result["requests"])
    assert first is not None
    assert second is not None
    assert second["trigger"] == "submit-message"
    assert second["messageId"] == second["messages"][-1]["id"] == first["messages"][-1]["id"]
    assert second["messages"][-1]["parts"] == [{"type": "text", "text": "hullo"}]


@each_version
@pytest.mark.parametrize("message", [None, -1], ids=["the last", "by its id"])
def test_a_regenerated_answer_replaces_the_last(
    version: Version, recorded: Recorded, message: int | None
) -> None:
    result = run_chat(
        version,
        recorded.base_url,
        [
            {"do": "send", "text": "hello"},
            {"do": "regenerate"} if message is None else {"do": "regenerate", "message": message},
        ],
    )

    body = result["requests"][1]["body"]
    assert body is not None
    assert body["trigger"] == "regenerate-message"
    assert body.get("messageId") == (None if message is None else "m1")
    assert [message["role"] for message in body["messages"]] == ["user"]
    assert [message["role"] for message in result["messages"]] == ["user", "assistant"]


@each_version
def test_a_page_that_resumes_takes_up_the_running_answer(
    version: Version, recorded: Recorded
) -> None:
    result = run_chat(version, recorded.base_url, [{"do": "resume"}], chat_id=CONVERSATION)

    assert result["requests"][0]["method"] == "GET"
    assert result["requests"][0]["url"].endswith(f"/api/chat/{CONVERSATION}/stream")
    assert [message["id"] for message in result["messages"]] == ["m1"]


@each_version
def test_a_page_that_resumes_when_nothing_runs_is_ready(
    version: Version, recorded: Recorded
) -> None:
    recorded.parts = []

    result = run_chat(version, recorded.base_url, [{"do": "resume"}])

    assert result["requests"][0]["status"] == 204
    assert (result["status"], result["error"], result["messages"]) == ("ready", None, [])


@each_version
def test_a_stop_keeps_what_was_said(version: Version, recorded: Recorded) -> None:
    recorded.hold.clear()

    steps: list[Step] = [{"do": "send", "text": "hi", "after": 2, "then": "stop"}]
    result = run_chat(version, recorded.base_url, steps)

    assert result["status"] == "ready"
    assert result["messages"][1]["parts"][1]["text"] == "Good morning"
    assert [finish["isAbort"] for finish in result["finishes"]] == [True]
    assert len(result["requests"]) == 1  # it closes its connection and says nothing


@each_version
def test_a_refusal_is_an_error_whose_text_is_our_body(version: Version, recorded: Recorded) -> None:
    recorded.status = 409

    result = run_chat(version, recorded.base_url, [{"do": "send", "text": "hello"}])

    assert result["status"] == "error"
    assert result["error"] is not None
    told = result["error"]["responseBody"] or result["error"]["message"]
    assert json.loads(told) == REFUSAL


@each_version
def test_a_page_that_lost_its_connection_resumes_with_the_whole_answer(
    version: Version, recorded: Recorded
) -> None:
    recorded.cuts = 1

    result = run_chat(
        version, recorded.base_url, [{"do": "send", "text": "hello"}, {"do": "resume"}]
    )

    lost, resumed = result["steps"]
    texts = [part["text"] for part in resumed["messages"][1]["parts"] if "text" in part]
    assert (lost["status"], resumed["status"]) == ("error", "ready")
    assert result["finishes"][0]["isDisconnect"]
    # Version 5 adds the replay to what it has, until the page is loaded again; it sends nothing
    # by which a server could tell that it needs only the rest.
    assert texts == ["Good morning!"] * (2 if version == 5 else 1)
