"""The connections to the provider: real sockets, from `stream_answer` to servers of each test."""

import asyncio
import gzip
import itertools
import json
import re
import socket
import ssl
import struct
import threading
import time
from collections.abc import AsyncGenerator, Callable, Generator, Iterator
from contextlib import aclosing, closing, contextmanager, suppress
from pathlib import Path
from socket import SO_LINGER, SOL_SOCKET
from typing import Any
from urllib.parse import urlsplit

import pytest

from lib.model import _provider, _shape
from lib.model.client import stream_answer
from lib.model.cost import Spending
from lib.model.reply import Reply
from lib.model.request import ModelRequest, UserMessage
from lib.problems import ConversationTooLong, ModelFailed, ModelTimeout
from lib.settings import Settings
from tests.support.models import a_model
from tests.support.raw_servers import make_certificate, read_request, serving

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
LAST_CHUNK = b"0\r\n\r\n"
# A question that is larger than the sockets between them hold.
UNREADABLE = "y" * 12_000_000
PROXY_VARIABLES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


def event(text: str, finish_reason: str | None = None) -> bytes:
    """Return an event of the provider's stream."""
    choice = {"delta": {"content": text}, "finish_reason": finish_reason}
    return b"data: " + json.dumps({"choices": [choice]}).encode() + b"\n\n"


def chunk(content: bytes) -> bytes:
    """Return a piece of a body as HTTP/1.1 sends it (RFC 9112, section 7.1)."""
    return b"%x\r\n%b\r\n" % (len(content), content)


def answer_of(text: str) -> bytes:
    """Return a response that has this answer."""
    return HEAD + chunk(event(text, "stop") + b"data: [DONE]\n\n") + LAST_CHUNK


ANSWER = answer_of("ok")
UNREAD_ANSWER = answer_of("another user's answer")


class Provider:
    """A way to ask the provider at a URL, as a turn does."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Take the way to replace the settings."""
        self._monkeypatch = monkeypatch
        # Requests are counted, in the settings of a process.
        monkeypatch.setenv("DATABASE_URL", "postgresql://localhost/x")
        self.key = "sk-test"
        self.silence_seconds: float | None = None

    def stream(
        self, url: str, text: str = "Hello!", reply: Reply | None = None
    ) -> AsyncGenerator[Any]:
        """Return the pieces of an answer."""
        settings = Settings(
            database_url="postgresql://localhost/x",
            openai_api_key=self.key,
            openai_base_url=url,
            model_silence_seconds=self.silence_seconds,
        )
        for module in (_provider, _shape):
            self._monkeypatch.setattr(module, "settings", lambda: settings)
        request = ModelRequest(a_model("test-model", settings), (UserMessage((text,)),))
        return stream_answer(request, reply or Reply(), Spending())

    async def ask(self, url: str, text: str = "Hello!") -> str:
        """Return the text of an answer."""
        async with aclosing(self.stream(url, text)) as pieces:
            return "".join([piece async for piece in pieces])


@pytest.fixture
async def provider(monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[Provider]:
    """Return a way to ask, in an environment without proxies."""
    for variable in PROXY_VARIABLES:
        monkeypatch.delenv(variable, raising=False)
        monkeypatch.delenv(variable.upper(), raising=False)
    yield Provider(monkeypatch)
    await _provider._close()
    # The event loop closes aborted sockets in its next round.
    await asyncio.sleep(0)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a file with a certificate of 127.0.0.1 and its key."""
    path = tmp_path_factory.mktemp("tls") / "certificate.pem"
    make_certificate(path)
    return path


@pytest.fixture
def trusted_certificate(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the same, and have the environment trust it."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    return certificate


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer each request of a connection."""
    while await read_request(reader):
        writer.write(ANSWER)


async def stay_silent(_reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    """Accept a connection, and do nothing."""
    await asyncio.sleep(300)


class Counted:
    """A server's handler that counts its connections."""

    def __init__(self, response: bytes = ANSWER) -> None:
        """Take the response to each request."""
        self.connections = 0
        self._response = response

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer each request of a connection."""
        self.connections += 1
        while await read_request(reader):
            writer.write(self._response)


@contextmanager
def threaded_server(serve: Callable[[socket.socket], None]) -> Generator[str]:
    """Serve beside the event loop, which a test keeps busy; yield the URL."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(30)
        thread = threading.Thread(target=serve, args=(listener,))
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        thread.join()


async def test_three_answers_in_a_row_take_one_connection(provider: Provider) -> None:
    serve = Counted()

    async with serving(serve) as url:
        assert [await provider.ask(url) for _ in range(3)] == ["ok"] * 3

    assert serve.connections == 1


@pytest.mark.parametrize("last_words", [b"", b"HTTP/1.1 408 Request Timeout\r\n\r\n"])
async def test_an_idle_connection_that_the_provider_has_closed_is_not_reused(
    provider: Provider, last_words: bytes
) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(ANSWER)
        await asyncio.sleep(0.05)
        writer.write(last_words)
        writer.close()

    async with serving(serve) as url:
        assert await provider.ask(url) == "ok"
        await asyncio.sleep(0.1)
        assert await provider.ask(url) == "ok"


async def test_a_connection_closed_while_the_event_loop_is_busy_is_not_reused(
    provider: Provider,
) -> None:
    has_closed = threading.Event()

    def answer_once_a_connection(listener: socket.socket) -> None:
        for _ in range(2):
            connection, _ = listener.accept()
            with connection:
                connection.recv(65_536)
                connection.sendall(ANSWER)
            has_closed.set()

    with threaded_server(answer_once_a_connection) as url:
        assert await provider.ask(url) == "ok"
        # Keeps the event loop busy.
        has_closed.wait()
        assert await provider.ask(url) == "ok"


async def test_a_connection_that_was_idle_for_too_long_is_not_reused(
    provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lib.model._connection.IDLE_SECONDS", 0.05)
    serve = Counted()

    async with serving(serve) as url:
        assert await provider.ask(url) == "ok"
        await asyncio.sleep(0.1)
        assert await provider.ask(url) == "ok"

    assert serve.connections == 2


@pytest.mark.parametrize("extra", [UNREAD_ANSWER, UNREAD_ANSWER[:30], b"\r\n", b"HTTP/"])
async def test_bytes_that_arrive_on_an_idle_connection_are_not_the_next_answer(
    provider: Provider, extra: bytes
) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await read_request(reader):
            writer.write(ANSWER)
            await asyncio.sleep(0.02)
            writer.write(extra)

    async with serving(serve) as url:
        for _ in range(3):
            assert await provider.ask(url) == "ok"
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("extra", [UNREAD_ANSWER, UNREAD_ANSWER[:30], b"\r\n"])
async def test_bytes_behind_the_end_of_an_answer_are_not_the_next_answer(
    provider: Provider, extra: bytes
) -> None:
    async with serving(Counted(ANSWER + extra)) as url:
        assert [await provider.ask(url) for _ in range(3)] == ["ok"] * 3


async def test_bytes_that_arrive_while_the_event_loop_is_busy_are_not_the_next_answer(
    provider: Provider,
) -> None:
    first_was_read, extra_was_sent = threading.Event(), threading.Event()

    def answer_twice(listener: socket.socket) -> None:
        first, _ = listener.accept()
        with first:
            first.recv(65_536)
            first.sendall(ANSWER)
            first_was_read.wait()
            first.sendall(UNREAD_ANSWER)
            extra_was_sent.set()
            second, _ = listener.accept()
            with second:
                second.recv(65_536)
                second.sendall(answer_of("second"))

    with threaded_server(answer_twice) as url:
        assert await provider.ask(url) == "ok"
        first_was_read.set()
        # Keeps the event loop busy.
        extra_was_sent.wait()
        assert await provider.ask(url) == "second"


async def test_a_connection_whose_response_goes_on_after_done_is_not_reused(
    provider: Provider,
) -> None:
    connections: list[None] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(None)
        while await read_request(reader):
            writer.write(ANSWER.removesuffix(LAST_CHUNK))
            await asyncio.sleep(0.05)
            writer.write(chunk(event("too late")) + LAST_CHUNK)

    async with serving(serve) as url:
        assert [await provider.ask(url) for _ in range(3)] == ["ok"] * 3

    assert len(connections) == 3


async def test_each_of_200_answers_goes_to_its_own_question(provider: Provider) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            try:
                head = await reader.readuntil(b"\r\n\r\n")
            except (asyncio.IncompleteReadError, ConnectionResetError):
                return
            [length] = re.findall(rb"(?i)content-length: *(\d+)", head)
            request = json.loads(await reader.readexactly(int(length)))
            number = request["messages"][0]["content"]
            await asyncio.sleep(0.001 * (int(number) % 7))
            writer.write(HEAD + chunk(event(number)))
            await asyncio.sleep(0)
            writer.write(chunk(event("!", "stop")) + chunk(b"data: [DONE]\n\n") + LAST_CHUNK)

    async def ask(number: int) -> None:
        async with aclosing(provider.stream(url, str(number))) as pieces:
            assert await anext(pieces) == str(number)
            # Some stop after the first piece.
            if number % 5:
                assert [piece async for piece in pieces] == ["!"]

    async with serving(serve) as url:
        for first in range(0, 200, 20):
            await asyncio.gather(*(ask(first + offset) for offset in range(20)))


async def test_150_answers_stream_at_once(provider: Provider) -> None:
    """By default, aiohttp opens at most 100 connections."""
    arrived, all_have_arrived = itertools.count(1), asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        if next(arrived) == 150:
            all_have_arrived.set()
        await all_have_arrived.wait()
        writer.write(ANSWER)
        await writer.drain()

    async with serving(serve) as url, asyncio.timeout(60):
        texts = await asyncio.gather(*(provider.ask(url) for _ in range(150)))

    assert texts == ["ok"] * 150


async def test_a_fast_provider_waits_for_a_slow_reader(provider: Provider) -> None:
    # 40 MB: the sockets between them hold 10.
    piece, sent = "x" * 100_000, asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(HEAD)
        for _ in range(400):
            writer.write(chunk(event(piece)))
            await writer.drain()
        sent.set()
        writer.write(chunk(event("", "stop") + b"data: [DONE]\n\n") + LAST_CHUNK)
        await writer.drain()

    async with serving(serve) as url, aclosing(provider.stream(url)) as pieces:
        assert await anext(pieces) == piece
        await asyncio.sleep(0.2)
        assert not sent.is_set()
        assert [other async for other in pieces] == [piece] * 399


async def test_a_large_request_arrives_whole_at_a_provider_that_reads_slowly(
    provider: Provider,
) -> None:
    text = "y" * 4_000_000
    received = bytearray()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        [length] = re.findall(rb"(?i)content-length: *(\d+)", head)
        while len(received) < int(length):
            received.extend(await reader.read(200_000))
            await asyncio.sleep(0.001)
        writer.write(ANSWER)
        await writer.drain()

    async with serving(serve) as url:
        assert await provider.ask(url, text) == "ok"

    assert json.loads(received)["messages"][0]["content"] == text


async def test_a_compressed_answer_is_read(provider: Provider) -> None:
    body = gzip.compress(event("ok", "stop") + b"data: [DONE]\n\n")
    head = HEAD.replace(b"content-type", b"content-encoding: gzip\r\ncontent-type")

    async with serving(Counted(head + chunk(body) + LAST_CHUNK)) as url:
        assert await provider.ask(url) == "ok"


async def test_early_hints_before_an_answer_are_skipped(provider: Provider) -> None:
    hints = b"HTTP/1.1 103 Early Hints\r\nlink: </style.css>\r\n\r\n"

    async with serving(Counted(hints + ANSWER)) as url:
        assert await provider.ask(url) == "ok"


async def test_a_response_header_of_20_kilobytes_is_read(provider: Provider) -> None:
    head = HEAD.replace(b"content-type", b"x-policy: " + b"p" * 20_000 + b"\r\ncontent-type")

    async with serving(Counted(ANSWER.replace(HEAD, head))) as url:
        assert await provider.ask(url) == "ok"


async def test_a_refused_connection_is_a_failure_and_not_a_time_out(provider: Provider) -> None:
    async with serving(answer) as url:
        pass

    with pytest.raises(ModelFailed) as failure:
        await provider.ask(url)

    assert not isinstance(failure.value, ModelTimeout)


async def test_a_host_without_an_address_is_a_failure_and_not_a_time_out(
    provider: Provider,
) -> None:
    with pytest.raises(ModelFailed) as failure:
        await provider.ask("http://no-such-host.invalid")

    assert not isinstance(failure.value, ModelTimeout)


def _end(writer: asyncio.StreamWriter) -> None:
    writer.close()


def _reset(writer: asyncio.StreamWriter) -> None:
    writer.get_extra_info("socket").setsockopt(SOL_SOCKET, SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


@pytest.mark.parametrize("leave", [_end, _reset])
@pytest.mark.parametrize(
    "words",
    [
        b"",
        b"HTTP/1.1 2",
        b"SSH-2.0-OpenSSH_9.6\r\n\r\n",
        HEAD + chunk(event("ok")),
        HEAD + chunk(event("ok"))[:9],
        HEAD + chunk(event("ok")) + b"no length\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n" + event("ok"),
        b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n" + event("ok"),
    ],
)
async def test_an_answer_that_is_cut_or_not_http_is_a_failure_and_not_a_time_out(
    provider: Provider, words: bytes, leave: Callable[[asyncio.StreamWriter], None]
) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(words)
        await asyncio.sleep(0.05)
        leave(writer)

    async with serving(serve) as url:
        with pytest.raises(ModelFailed) as failure:
            await provider.ask(url)

    assert not isinstance(failure.value, ModelTimeout)


@pytest.mark.parametrize(
    ("credentials", "path", "sent"),
    [
        ("", "/v1", b"POST /v1/chat/completions HTTP/1.1\r\n"),
        ("", "/a%7Eb%2Fc/v1", b"POST /a%7Eb%2Fc/v1/chat/completions HTTP/1.1\r\n"),
        ("user:secret@", "/v1", b"POST /v1/chat/completions HTTP/1.1\r\n"),
        ("", "/v1?v=1", b"POST /v1/chat/completions?v=1 HTTP/1.1\r\n"),
        ("", "/v1/?v=1&b=a%2Fc", b"POST /v1/chat/completions?v=1&b=a%2Fc HTTP/1.1\r\n"),
        ("user:secret@", "/v1?v=1", b"POST /v1/chat/completions?v=1 HTTP/1.1\r\n"),
    ],
    ids=[
        "plain",
        "with escapes",
        "with credentials",
        "with a query",
        "with a slash and a query",
        "with credentials and a query",
    ],
)
async def test_a_base_url_is_sent_as_it_is_written(
    provider: Provider, credentials: str, path: str, sent: bytes
) -> None:
    heads: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await read_request(reader))
        writer.write(ANSWER)

    async with serving(serve) as url:
        assert await provider.ask(url.replace("://", f"://{credentials}") + path) == "ok"

    assert heads[0].startswith(sent)
    assert b"secret" not in heads[0]
    assert heads[0].lower().count(b"authorization:") == 1


@pytest.mark.parametrize(
    ("host", "gets_it"), [("a.openai.azure.com", True), ("azure.com.test", False)]
)
async def test_azure_also_gets_the_key_as_its_own_header(
    provider: Provider, resolve: dict[str, list[str]], host: str, *, gets_it: bool
) -> None:
    heads: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await read_request(reader))
        writer.write(ANSWER)

    resolve[host] = ["127.0.0.1"]
    async with serving(serve) as url:
        path = "/openai/deployments/mini?api-version=2024-10-21"
        assert await provider.ask(f"http://{host}:{urlsplit(url).port}{path}") == "ok"

    begin = b"POST /openai/deployments/mini/chat/completions?api-version=2024-10-21 HTTP/1.1\r\n"
    assert heads[0].startswith(begin)
    assert b"\r\nauthorization: bearer sk-test\r\n" in heads[0].lower()
    assert (b"\r\napi-key: sk-test\r\n" in heads[0].lower()) == gets_it


async def test_a_key_that_cannot_be_sent_in_a_header_is_a_failure(provider: Provider) -> None:
    provider.key = "sk-\n1"

    async with serving(answer) as url:
        with pytest.raises(ModelFailed):
            await provider.ask(url)


@pytest.mark.parametrize("words", [b"", HEAD, HEAD + chunk(event("ok"))])
async def test_a_provider_that_falls_silent_for_longer_than_it_may_is_a_time_out(
    provider: Provider, words: bytes
) -> None:
    provider.silence_seconds = 0.1

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(words)
        await asyncio.sleep(300)

    async with serving(serve) as url, asyncio.timeout(60):
        with pytest.raises(ModelTimeout):
            await provider.ask(url)


@pytest.mark.parametrize("begun", [b"", HEAD, HEAD + chunk(event("o"))])
async def test_a_provider_may_be_silent_for_longer_than_it_may_take_to_connect(
    provider: Provider, monkeypatch: pytest.MonkeyPatch, begun: bytes
) -> None:
    monkeypatch.setattr(_provider, "CONNECT_TIMEOUT_SECONDS", 1.0)
    whole = HEAD + chunk(event("o")) + chunk(event("k", "stop")) + LAST_CHUNK

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(begun)
        await asyncio.sleep(2)
        writer.write(whole.removeprefix(begun))

    async with serving(serve) as url, asyncio.timeout(60):
        assert await provider.ask(url) == "ok"


async def test_a_provider_that_does_not_read_the_request_is_a_time_out(
    provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    provider.silence_seconds = 0.1
    monkeypatch.setattr(_provider, "CONNECT_TIMEOUT_SECONDS", 0.5)

    async def serve(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await asyncio.sleep(300)

    async with serving(serve) as url, asyncio.timeout(60):
        with pytest.raises(ModelTimeout):
            await provider.ask(url, UNREADABLE)


async def test_a_refusal_that_comes_before_the_request_was_read_is_read(
    provider: Provider,
) -> None:
    refusal = b"HTTP/1.1 413 Content Too Large\r\ncontent-length: 0\r\n\r\n"

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(refusal)
        await asyncio.sleep(300)

    async with serving(serve) as url, asyncio.timeout(60):
        # The second must not wait behind the unsent bytes of the first.
        for _ in range(2):
            with pytest.raises(ConversationTooLong):
                await provider.ask(url, UNREADABLE)


async def test_a_provider_that_stops_reading_the_request_and_does_not_answer_is_a_failure(
    provider: Provider,
) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write_eof()
        await asyncio.sleep(300)

    async with serving(serve) as url, asyncio.timeout(60):
        with pytest.raises(ModelFailed):
            await provider.ask(url, UNREADABLE)


@pytest.mark.parametrize("words", [b"", HEAD, HEAD + chunk(event("ok"))])
@pytest.mark.parametrize("is_encrypted", [False, True])
async def test_a_stopped_answer_ends_its_request_at_once(
    provider: Provider, trusted_certificate: Path, words: bytes, *, is_encrypted: bool
) -> None:
    begun, ended = asyncio.Event(), asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(words)
        begun.set()
        with suppress(ConnectionResetError):
            assert await reader.read() == b""
        ended.set()

    async with serving(serve, trusted_certificate if is_encrypted else None) as url:
        task = asyncio.create_task(provider.ask(url))
        await begun.wait()
        await asyncio.sleep(0.05)
        assert not ended.is_set()

        task.cancel()

        await asyncio.wait_for(ended.wait(), 30)
        await asyncio.wait({task})


async def test_a_stopped_answer_whose_request_is_still_being_sent_ends_it_at_once(
    provider: Provider,
) -> None:
    begun, ended = asyncio.Event(), asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(HEAD + chunk(event("ok")))
        begun.set()
        await asyncio.sleep(0.3)
        with suppress(ConnectionResetError):
            while await reader.read(1_000_000):
                pass
        ended.set()

    async with serving(serve) as url:
        async with aclosing(provider.stream(url, UNREADABLE)) as pieces:
            assert await anext(pieces) == "ok"
        await asyncio.wait_for(ended.wait(), 30)


async def test_a_stopped_answer_frees_its_socket_though_the_provider_reads_nothing(
    provider: Provider,
) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(HEAD + chunk(event("ok")))
        await asyncio.sleep(300)

    async with serving(serve) as url:
        open_before = _open_files()
        async with aclosing(provider.stream(url, UNREADABLE)) as pieces:
            assert await anext(pieces) == "ok"
            # Until the sockets are full, and some of the request waits in the process.
            await asyncio.sleep(0.3)
            assert _open_files() == open_before + 2
        await asyncio.sleep(0.05)

        # The provider's.
        assert _open_files() == open_before + 1


async def test_closing_ends_the_idle_connections(provider: Provider) -> None:
    ended = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await answer(reader, writer)
        ended.set()

    async with serving(serve) as url:
        await provider.ask(url)
        assert not ended.is_set()

        await _provider._close()

        await asyncio.wait_for(ended.wait(), 30)
        assert await provider.ask(url) == "ok"


@pytest.fixture
def silent_address() -> Iterator[tuple[str, int]]:
    """Return an address where connections are neither accepted nor refused."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.2", 0))
        listener.listen(0)
        fillers = [socket.socket() for _ in range(3)]
        for filler in fillers:
            filler.setblocking(False)
            with suppress(BlockingIOError):
                filler.connect(listener.getsockname())
        yield listener.getsockname()
        for filler in fillers:
            filler.close()


@pytest.fixture
def resolve(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[str]]:
    """Return names and their addresses, which tests fill in."""
    names: dict[str, list[str]] = {}
    found = socket.getaddrinfo

    def getaddrinfo(host: Any, port: Any, *args: Any, **options: Any) -> Any:
        addresses = names.get(host, [host])
        return [info for address in addresses for info in found(address, port, *args, **options)]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return names


async def test_a_host_whose_first_address_is_silent_answers_by_its_second_within_a_second(
    provider: Provider, silent_address: tuple[str, int], resolve: dict[str, list[str]]
) -> None:
    host, port = silent_address
    resolve["two-addresses.test"] = [host, "127.0.0.1"]

    async with serving(answer, port=port):
        started = time.monotonic()
        assert await provider.ask(f"http://two-addresses.test:{port}") == "ok"

    assert time.monotonic() - started < 1


async def test_a_host_whose_first_address_refuses_answers_by_its_second(
    provider: Provider, resolve: dict[str, list[str]]
) -> None:
    resolve["two-addresses.test"] = ["127.0.0.3", "127.0.0.1"]

    async with serving(answer) as url:
        port = urlsplit(url).port
        assert await provider.ask(f"http://two-addresses.test:{port}") == "ok"


async def test_a_host_whose_addresses_are_all_silent_is_a_time_out(
    provider: Provider, silent_address: tuple[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_provider, "CONNECT_TIMEOUT_SECONDS", 0.2)
    host, port = silent_address

    async with asyncio.timeout(60):
        with pytest.raises(ModelTimeout):
            await provider.ask(f"http://{host}:{port}")


async def test_an_answer_stopped_while_it_connects_leaves_no_socket_open(
    provider: Provider, silent_address: tuple[str, int], resolve: dict[str, list[str]]
) -> None:
    host, port = silent_address
    resolve["silent.test"] = [host, host]
    open_before = _open_files()
    task = asyncio.create_task(provider.ask(f"http://silent.test:{port}"))
    await asyncio.sleep(0.4)

    task.cancel()
    await asyncio.wait({task})
    await asyncio.sleep(0.05)

    assert _open_files() == open_before


async def test_over_https_the_certificate_of_the_provider_is_checked(
    provider: Provider, trusted_certificate: Path
) -> None:
    async with serving(answer, trusted_certificate) as url:
        for text in ("z" * 1_000_000, "Hello!"):
            assert await provider.ask(url, text) == "ok"


@pytest.mark.parametrize("authorities", ["of SSL_CERT_FILE", "in a file", "in a folder"])
async def test_a_provider_with_an_unknown_certificate_gets_no_request(
    provider: Provider, certificate: Path, monkeypatch: pytest.MonkeyPatch, authorities: str
) -> None:
    other = certificate.with_name("other.pem")
    make_certificate(other)
    if authorities == "of SSL_CERT_FILE":
        monkeypatch.setenv("SSL_CERT_FILE", str(other))
    else:
        monkeypatch.delenv("SSL_CERT_FILE", raising=False)
        monkeypatch.delenv("SSL_CERT_DIR", raising=False)
        cafile = str(other) if authorities == "in a file" else None
        paths = ssl.get_default_verify_paths()._replace(cafile=cafile)
        monkeypatch.setattr(ssl, "get_default_verify_paths", lambda: paths)
    serve = Counted()

    async with serving(serve, certificate) as url:
        with pytest.raises(ModelFailed) as failure:
            await provider.ask(url)

    assert not isinstance(failure.value, ModelTimeout)
    assert "CERTIFICATE_VERIFY_FAILED" in str(_causes(failure.value))
    assert serve.connections == 0


async def test_a_provider_with_the_certificate_of_another_host_gets_no_request(
    provider: Provider, trusted_certificate: Path, resolve: dict[str, list[str]]
) -> None:
    resolve["other.test"] = ["127.0.0.1"]
    serve = Counted()

    async with serving(serve, trusted_certificate) as url:
        with pytest.raises(ModelFailed) as failure:
            await provider.ask(f"https://other.test:{urlsplit(url).port}")

    assert "CERTIFICATE_VERIFY_FAILED" in str(_causes(failure.value))
    assert serve.connections == 0


async def test_a_provider_that_does_not_answer_to_tls_is_a_time_out(
    provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_provider, "CONNECT_TIMEOUT_SECONDS", 0.2)

    async with serving(stay_silent) as url, asyncio.timeout(60):
        with pytest.raises(ModelTimeout):
            await provider.ask(url.replace("http:", "https:"))


async def test_a_request_that_is_redirected_to_https_is_encrypted(
    provider: Provider, certificate: Path
) -> None:
    async def redirect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(
            f"HTTP/1.1 307 Temporary Redirect\r\nlocation: {safe_url}\r\n"
            "content-length: 0\r\n\r\n".encode()
        )

    async with serving(answer, certificate) as safe_url, serving(redirect) as url:
        with pytest.raises(ModelFailed) as failure:
            await provider.ask(url)

    # Nobody has told the client to trust the certificate.
    assert "CERTIFICATE_VERIFY_FAILED" in str(_causes(failure.value))


@pytest.mark.parametrize("status", ["302 Found", "307 Temporary Redirect", "308 Permanent"])
@pytest.mark.parametrize("kind", ["to another host", "from https to http"])
async def test_a_redirect_sends_no_message_to_another_host_and_none_in_the_clear(
    provider: Provider, trusted_certificate: Path, status: str, kind: str
) -> None:
    connections = 0

    async def count(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        writer.write(ANSWER)

    async def redirect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(
            f"HTTP/1.1 {status}\r\nlocation: {target}\r\ncontent-length: 0\r\n\r\n".encode()
        )

    is_downgrade = kind == "from https to http"
    async with (
        serving(count, host="127.0.0.1" if is_downgrade else "127.0.0.2") as target,
        serving(redirect, trusted_certificate if is_downgrade else None) as url,
    ):
        with pytest.raises(ModelFailed) as failure:
            await provider.ask(url)

    assert "redirects to another host" in str(_causes(failure.value))
    assert connections == 0


class ForwardProxy:
    """A proxy server's handler: passes plain requests on, and makes tunnels.

    Attributes:
        targets: of the requests that it got: an absolute URL, or host and port of a tunnel.
        credentials: the Proxy-Authorization of each, or ''.
    """

    def __init__(self) -> None:
        """Start without requests."""
        self.targets: list[str] = []
        self.credentials: list[str] = []

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Pass on one connection."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        method, target = head.split(" ")[:2]
        self.targets.append(target)
        found = re.search(r"(?i)\r\nproxy-authorization: *(.*)\r", head)
        self.credentials.append(found[1] if found else "")
        parts = urlsplit(target if "://" in target else f"//{target}")
        upstream_reader, upstream = await asyncio.open_connection(parts.hostname, parts.port)
        if method == "CONNECT":
            writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        else:
            upstream.write(head.replace(target, parts.path or "/", 1).encode())
        with closing(upstream):
            await asyncio.gather(_copy(reader, upstream), _copy(upstream_reader, writer))


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionResetError):
        while received := await reader.read(65_536):
            writer.write(received)
            await writer.drain()
    writer.close()


@pytest.mark.parametrize("proxy_is_https", [False, True])
@pytest.mark.parametrize("target_is_https", [False, True])
@pytest.mark.parametrize("variable", ["http_proxy", "HTTPS_PROXY", "ALL_PROXY"])
async def test_a_proxy_of_the_environment_passes_requests_on(
    provider: Provider,
    trusted_certificate: Path,
    monkeypatch: pytest.MonkeyPatch,
    variable: str,
    *,
    target_is_https: bool,
    proxy_is_https: bool,
) -> None:
    proxy = ForwardProxy()
    async with (
        serving(answer, trusted_certificate if target_is_https else None) as url,
        serving(proxy, trusted_certificate if proxy_is_https else None) as proxy_url,
    ):
        monkeypatch.setenv(variable, proxy_url)

        assert [await provider.ask(url) for _ in range(2)] == ["ok"] * 2

    is_for_target = variable == "ALL_PROXY" or (variable == "HTTPS_PROXY") == target_is_https
    request_target = urlsplit(url).netloc if target_is_https else f"{url}/chat/completions"
    assert set(proxy.targets) == ({request_target} if is_for_target else set())


@pytest.mark.parametrize("target_is_https", [False, True])
async def test_a_proxy_gets_the_user_and_password_of_its_url(
    provider: Provider,
    trusted_certificate: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    target_is_https: bool,
) -> None:
    proxy = ForwardProxy()
    async with (
        serving(answer, trusted_certificate if target_is_https else None) as url,
        serving(proxy) as proxy_url,
    ):
        monkeypatch.setenv("ALL_PROXY", proxy_url.replace("//", "//ann:p%40ss@"))

        assert await provider.ask(url) == "ok"

    assert proxy.credentials == ["Basic YW5uOnBAc3M="]


async def test_a_host_named_in_no_proxy_is_asked_directly(
    provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy = ForwardProxy()
    async with serving(answer) as url, serving(proxy) as proxy_url:
        monkeypatch.setenv("ALL_PROXY", proxy_url)
        monkeypatch.setenv("NO_PROXY", "example.com,127.0.0.1")

        assert await provider.ask(url) == "ok"

    assert proxy.targets == []


@pytest.mark.parametrize("target", ["http://127.0.0.1:9", "https://127.0.0.1:9"])
async def test_a_proxy_that_asks_for_a_password_is_a_failure(
    provider: Provider, monkeypatch: pytest.MonkeyPatch, target: str
) -> None:
    refusal = b"HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n"
    async with serving(Counted(refusal)) as proxy_url:
        monkeypatch.setenv("ALL_PROXY", proxy_url)

        with pytest.raises(ModelFailed) as failure:
            await provider.ask(target)

    assert not isinstance(failure.value, ModelTimeout)


async def test_a_proxy_that_refuses_connections_is_a_failure_and_not_a_time_out(
    provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving(answer) as proxy_url:
        pass
    monkeypatch.setenv("ALL_PROXY", proxy_url)

    with pytest.raises(ModelFailed) as failure:
        await provider.ask("http://127.0.0.1:9")

    assert not isinstance(failure.value, ModelTimeout)


async def test_a_socks_proxy_is_a_failure_that_names_it(
    provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving(answer) as url:
        monkeypatch.setenv("ALL_PROXY", "socks5://127.0.0.1:9")

        with pytest.raises(ModelFailed) as failure:
            await provider.ask(url)

    assert "socks5" in str(_causes(failure.value))


def _open_files() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def _causes(error: BaseException | None) -> list[BaseException]:
    causes: list[BaseException] = []
    while error is not None:
        causes.append(error)
        error = error.__cause__
    return causes
