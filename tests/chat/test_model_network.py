"""The connections to the model, through the HTTP client that the product uses, to real sockets."""

import asyncio
import re
import socket
import ssl
import struct
import threading
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from socket import SO_LINGER, SOL_SOCKET

import httpx2
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from lib.model._connection import MOST_BYTES, ModelTransport

type Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


async def test_a_connection_is_used_again_for_the_next_request() -> None:
    connections: list[None] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(None)
        while await _request(reader):
            writer.write(OK)

    async with _serving(serve) as url, _client() as client:
        for _ in range(3):
            assert (await client.post(url, content=b"Hello")).text == "ok"

    assert len(connections) == 1


@pytest.mark.parametrize("last_words", [b"", b"HTTP/1.1 408 Request Timeout\r\n\r\n"])
async def test_a_connection_that_the_server_has_left_meanwhile_is_not_used_again(
    last_words: bytes,
) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await _request(reader)
        writer.write(OK)
        await asyncio.sleep(0.05)
        writer.write(last_words)
        writer.close()

    async with _serving(serve) as url, _client() as client:
        assert (await client.get(url)).text == "ok"
        await asyncio.sleep(0.1)
        assert (await client.get(url)).text == "ok"


async def test_a_connection_that_was_left_is_not_used_though_the_loop_has_not_seen_it() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=_answer_once_a_connection, args=(listener, 2)).start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"

        async with _client() as client:
            assert (await client.get(url)).text == "ok"
            # Busy with something else, while the server closes the connection.
            time.sleep(0.3)  # noqa: ASYNC251
            assert (await client.get(url)).text == "ok"


async def test_a_connection_that_has_rested_for_too_long_is_not_used_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("lib.model._connection.IDLE_SECONDS", 0.05)
    connections: list[None] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(None)
        await _say_ok(reader, writer)

    async with _serving(serve) as url, _client() as client:
        for _ in range(2):
            assert (await client.get(url)).text == "ok"
        await asyncio.sleep(0.1)
        assert (await client.get(url)).text == "ok"

    assert len(connections) == 2


async def test_what_is_read_slowly_waits_at_the_server() -> None:
    size, sent = 50 * MOST_BYTES, asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await _request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % size)
        for _ in range(50):
            writer.write(b"x" * MOST_BYTES)
            await writer.drain()
        sent.set()

    async with _serving(serve) as url, _client() as client, client.stream("GET", url) as answer:
        await asyncio.sleep(0.1)
        assert not sent.is_set()
        received = [len(piece) async for piece in answer.aiter_raw()]

    assert sum(received) == size


async def test_a_large_request_comes_whole_to_a_server_that_reads_slowly() -> None:
    body, received = b"y" * 4_000_000, bytearray()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        while len(received) < len(body):
            received.extend(await reader.read(200_000))
            await asyncio.sleep(0.001)
        writer.write(OK)

    async with _serving(serve) as url, _client() as client:
        assert (await client.post(url, content=body)).text == "ok"

    assert received == body


async def test_a_server_that_reads_nothing_is_given_up() -> None:
    async def serve(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await asyncio.sleep(5)

    async with _serving(serve) as url, _client(timeout=0.1) as client:
        with pytest.raises(httpx2.WriteTimeout):
            await client.post(url, content=b"y" * 50_000_000)


async def test_a_server_that_is_silent_is_given_up() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await _request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nok")
        await asyncio.sleep(5)

    async with _serving(serve) as url, _client(timeout=0.1) as client:
        with pytest.raises(httpx2.ReadTimeout):
            await client.get(url)


async def test_a_connection_that_is_reset_is_a_failure_not_an_end() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await _request(reader)
        # Without a length the end of the connection is the end of the answer.
        writer.write(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nok")
        await asyncio.sleep(0.05)
        # Closed with a reset, not in order.
        writer.get_extra_info("socket").setsockopt(SOL_SOCKET, SO_LINGER, struct.pack("ii", 1, 0))

    async with _serving(serve) as url, _client() as client:
        with pytest.raises(httpx2.ReadError):
            await client.get(url)


async def test_a_port_where_nobody_listens_any_more_is_a_connect_error() -> None:
    async with _serving(_say_ok) as url:
        pass
    async with _client() as client:
        with pytest.raises(httpx2.ConnectError):
            await client.get(url)


async def test_over_tls_the_server_is_who_its_certificate_says(
    certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))

    async with _serving(_say_ok, certificate) as url, _client() as client:
        assert (await client.post(url, content=b"z" * 1_000_000)).text == "ok"
        assert (await client.post(url, content=b"Hello")).text == "ok"


async def test_over_tls_a_server_whose_certificate_nobody_knows_is_refused(
    certificate: Path,
) -> None:
    async with _serving(_say_ok, certificate) as url, _client() as client:
        with pytest.raises(httpx2.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
            await client.get(url)


async def test_a_server_that_never_answers_to_tls_is_given_up() -> None:
    async def serve(_: asyncio.StreamReader, __: asyncio.StreamWriter) -> None:
        await asyncio.sleep(5)

    async with _serving(serve) as url, _client(timeout=0.1) as client:
        with pytest.raises(httpx2.ConnectTimeout):
            await client.get(url.replace("http:", "https:"))


async def test_who_closes_a_connection_that_is_in_use_ends_it_at_once() -> None:
    left = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await _request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nok")
        with suppress(ConnectionResetError):
            assert await reader.read() == b""
        left.set()

    async with _serving(serve) as url, _client() as client:
        async with client.stream("GET", url):
            assert not left.is_set()
        await asyncio.wait_for(left.wait(), 1)


async def test_an_answer_that_came_before_the_question_was_taken_is_read() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 413 Content Too Large\r\ncontent-length: 0\r\n\r\n")
        await asyncio.sleep(5)

    async with _serving(serve) as url, _client(timeout=0.5) as client:
        # The second cannot wait behind what is left of the first.
        for _ in range(2):
            assert (await client.post(url, content=b"y" * 20_000_000)).status_code == 413


async def test_a_server_that_leaves_without_a_word_is_a_failure() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await _request(reader)
        writer.close()

    async with _serving(serve) as url, _client() as client:
        with pytest.raises(httpx2.TransportError):
            await client.post(url, content=b"Hello")


async def test_what_is_no_http_is_a_failure() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await _request(reader)
        writer.write(b"SSH-2.0-OpenSSH_9.6\r\n\r\n")

    async with _serving(serve) as url, _client() as client:
        with pytest.raises(httpx2.RemoteProtocolError):
            await client.get(url)


async def test_a_chunked_answer_that_is_cut_is_a_failure_not_an_end() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await _request(reader)
        writer.write(CHUNKED + b"2\r\nok\r\n")
        writer.close()

    async with _serving(serve) as url, _client() as client:
        with pytest.raises(httpx2.RemoteProtocolError):
            await client.get(url)


async def test_hints_before_the_answer_are_passed_over() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await _request(reader)
        writer.write(b"HTTP/1.1 103 Early Hints\r\nlink: </style.css>\r\n\r\n" + OK)

    async with _serving(serve) as url, _client() as client:
        assert (await client.get(url)).text == "ok"


async def test_a_connection_is_used_again_though_the_end_of_its_answer_was_not_read() -> None:
    """As after `[DONE]`: what is left of such an answer is its last chunk."""
    connections: list[None] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(None)
        while await _request(reader):
            writer.write(CHUNKED + b"2\r\nok\r\n0\r\n\r\n")

    async with _serving(serve) as url, _client() as client:
        for _ in range(3):
            async with client.stream("POST", url, content=b"Hello") as answer:
                async for piece in answer.aiter_raw():
                    assert piece == b"ok"
                    break

    assert len(connections) == 1


@pytest.mark.parametrize("read_whole", [True, False])
@pytest.mark.parametrize(
    "more", [b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil", b"\r\n", b"junk"]
)
async def test_what_comes_after_an_answer_is_nobodys(more: bytes, *, read_whole: bool) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await _request(reader):
            writer.write(CHUNKED + b"2\r\nok\r\n0\r\n\r\n" + more)

    async with _serving(serve) as url, _client() as client:
        for _ in range(3):
            async with client.stream("GET", url) as answer:
                pieces = answer.aiter_raw()
                assert await anext(pieces) == b"ok"
                assert not read_whole or [piece async for piece in pieces] == []


async def test_a_server_that_takes_no_more_of_a_question_but_does_not_answer_has_failed() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write_eof()
        await asyncio.sleep(5)

    async with _serving(serve) as url, _client() as client:
        async with asyncio.timeout(2):
            with pytest.raises(httpx2.TransportError):
                await client.post(url, content=b"y" * 20_000_000)


async def test_a_question_that_is_sent_on_to_https_is_encrypted(certificate: Path) -> None:
    async def send_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await _request(reader)
        head = f"HTTP/1.1 307 Temporary Redirect\r\nlocation: {safe}\r\ncontent-length: 0\r\n\r\n"
        writer.write(head.encode())

    serving = _serving(_say_ok, certificate), _serving(send_on)
    async with serving[0] as safe, serving[1] as url, _client() as client:
        # As nobody knows the certificate.
        with pytest.raises(httpx2.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
            await client.post(url, content=b"Hello", follow_redirects=True)


async def test_each_answer_goes_to_who_asked() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := await _request(reader):
            [path] = re.findall(rb"GET /(\d+) ", head)
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(path))
            await asyncio.sleep(0.001 * (int(path) % 7))
            writer.write(path)

    async def ask(client: httpx2.AsyncClient, url: str, number: int) -> None:
        async with client.stream("GET", f"{url}/{number}") as answer:
            # Some leave before they have read.
            if number % 5:
                assert await answer.aread() == str(number).encode()

    async with _serving(serve) as url, _client() as client:
        for begin in range(0, 200, 20):
            await asyncio.gather(*(ask(client, url, begin + each) for each in range(20)))


async def test_a_header_that_cannot_be_sent_is_refused() -> None:
    async with _serving(_say_ok) as url, _client() as client:
        with pytest.raises(httpx2.LocalProtocolError):
            await client.get(url, headers={"authorization": "Bearer sk-\n1"})


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a file with a certificate of 127.0.0.1, signed by itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    path = tmp_path_factory.mktemp("tls") / "certificate.pem"
    path.write_bytes(private + signed.public_bytes(serialization.Encoding.PEM))
    return path


def _client(timeout: float = 5) -> httpx2.AsyncClient:
    return httpx2.AsyncClient(transport=ModelTransport(), timeout=timeout)


def _answer_once_a_connection(listener: socket.socket, connections: int) -> None:
    for _ in range(connections):
        connection, _ = listener.accept()
        with connection:
            connection.recv(65536)
            connection.sendall(OK)
            time.sleep(0.1)


@asynccontextmanager
async def _serving(serve: Serve, certificate: Path | None = None) -> AsyncGenerator[str]:
    """Serve connections; yield the URL."""
    context = None
    if certificate is not None:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(certificate)
    running: set[asyncio.Task[None]] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        running.add(task)
        try:
            await serve(reader, writer)
        finally:
            writer.transport.abort()

    server = await asyncio.start_server(connected, "127.0.0.1", 0, ssl=context)
    scheme = "http" if certificate is None else "https"
    yield f"{scheme}://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    server.close()
    for task in running:
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)


async def _say_ok(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while await _request(reader):
        writer.write(OK)


async def _request(reader: asyncio.StreamReader) -> bytes:
    """Read a request; return its head, or nothing: there is none any more."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except (asyncio.IncompleteReadError, ConnectionResetError):
        return b""
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            await reader.readexactly(int(line.partition(b":")[2]))
    return head
