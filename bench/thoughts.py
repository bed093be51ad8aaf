"""What a long thought costs: the time to a token's delivery, and the bytes that are stored of it.

    python -m bench.thoughts    30,000 tokens of thought, and as many of text; takes two minutes

One function in Vercel's own runtime answers in turn with a thought and with a text of the same
tokens, four characters each, 1,000 a second; twice. Model and client share a process and its clock:
the model notes when it says a token, and the client when the token has come. `ratio` is the
thought's delay by the text's. `stored / text` is the size of the finished stream by the size of the
tokens; `as events` is the size of the stream as readers get it. Postgres is the embedded one.
"""

import argparse
import asyncio
import re
import shlex
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

import psycopg

from bench.asking import ask
from bench.model import END, chunk
from dev.postgres import programs, start_postgres
from dev.psql import migrate
from tests.support.databases import make_database
from tests.support.runtime import PROJECT, start_function

TITLE_MODEL = "title-model"
TOKENS_PER_SECOND = 1000
RUNS = 2
WORD = " let"
KINDS = {
    "thought": ("reasoning_content", b'"reasoning-delta"'),
    "text": ("content", b'"text-delta"'),
}


@dataclass(slots=True)
class Measured:
    """What was measured of the answers of one kind."""

    delays_ms: list[float] = field(default_factory=list[float])
    stored_bytes: int = 0
    event_bytes: int = 0


class Model:
    """Says tokens, and notes when.

    Attributes:
        tokens: how many it says.
        kind: the field in which it says them.
        said_at: when it has said each, on the clock of `time.monotonic()`.
    """

    def __init__(self, tokens: int) -> None:
        """Take the number of tokens."""
        self.tokens = tokens
        self.kind = "content"
        self.said_at: list[float] = []

    async def say(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one request; know of no titles."""
        head = await reader.readuntil(b"\r\n\r\n")
        [length] = re.findall(rb"(?i)\r\ncontent-length: *(\d+)", head)
        if TITLE_MODEL.encode() in await reader.readexactly(int(length)):
            writer.write(
                b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
            )
            writer.close()
            return
        head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n"
        writer.write(head)
        started = time.monotonic()
        for number in range(self.tokens):
            await asyncio.sleep(started + number / TOKENS_PER_SECOND - time.monotonic())
            self.said_at.append(time.monotonic())
            writer.write(chunk({self.kind: WORD}))
        writer.write(chunk({"content": "So."}))
        writer.write(END)
        writer.close()


async def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(prog="python -m bench.thoughts", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--tokens", type=int, default=30_000, help="of each (30000)")
    tokens = parser.parse_args().tokens
    measured = {kind: Measured() for kind in KINDS}
    with tempfile.TemporaryDirectory(prefix="thoughts-") as directory:
        postgres = start_postgres(Path(directory) / "data", tcp=True, durable=False)
        make_database(postgres, "thoughts")
        url = postgres.url_of("thoughts", "postgres")
        migrate(programs() / "psql", url, PROJECT)
        model = Model(100)
        server = await asyncio.start_server(model.say, "127.0.0.1", 0)
        environment = {
            "DATABASE_URL": url,
            "OPENAI_API_KEY": "sk-test",
            "OPENAI_BASE_URL": f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1",
            "OPENAI_TITLE_MODEL": TITLE_MODEL,
        }
        function = start_function("api/chat.py", environment)
        try:
            # The first answer has modules to import.
            await measure(function.base_url, url, model, "text", Measured())
            model.tokens = tokens
            for kind, each in [*measured.items()] * RUNS:
                await measure(function.base_url, url, model, kind, each)
        finally:
            function.stop()
            postgres.stop()
    sys.stdout.write(f"$ {shlex.join(['python', '-m', 'bench.thoughts', *sys.argv[1:]])}\n")
    sys.stdout.write(table(measured, tokens))


async def measure(base_url: str, url: str, model: Model, kind: str, measured: Measured) -> None:
    """Have one answer, and note how late each token comes and the size of its stored stream."""
    model.kind, event_type = KINDS[kind]
    model.said_at = []
    conversation_id = uuid4()
    reader, writer = await ask(base_url, conversation_id, 300)
    rest, size, delays_ms = b"", 0, list[float]()
    while received := await reader.read(65_536):
        now = time.monotonic()
        *events, rest = (rest + received).split(b"\n")
        size += len(received)
        for event in events:
            if event_type in event and len(delays_ms) < len(model.said_at):
                delays_ms.append((now - model.said_at[len(delays_ms)]) * 1000)
    writer.close()
    measured.delays_ms += delays_ms
    measured.event_bytes = size
    with psycopg.connect(url) as database:
        row = database.execute(
            "SELECT octet_length(parts) FROM finished_streams WHERE conversation_id = %s",
            [conversation_id],
        ).fetchone()
    assert row is not None
    measured.stored_bytes = row[0]


def table(measured: dict[str, Measured], tokens: int) -> str:
    """Return the table, with the ratios of the thought to the text."""
    lines = [f"{'':8}  p50 ms  p99 ms  stored / text  as events"]
    delays: list[tuple[float, float]] = []
    for kind, each in measured.items():
        p50 = statistics.median(each.delays_ms)
        p99 = statistics.quantiles(each.delays_ms, n=100)[98]
        delays.append((p50, p99))
        stored, events = (
            size / tokens / len(WORD) for size in (each.stored_bytes, each.event_bytes)
        )
        lines.append(f"{kind:8}  {p50:6.2f}  {p99:6.2f}  {stored:13.2f}  {events:9.2f}")
    ratios = [thought / text for thought, text in zip(*delays, strict=True)]
    lines.append(f"{'ratio':8}  {ratios[0]:6.2f}  {ratios[1]:6.2f}")
    thought = measured["thought"].stored_bytes / tokens / len(WORD)
    lines.append(f"time to a token, thought / text: p50  {ratios[0]:.2f} (at most 1.25)")
    lines.append(f"stored bytes of a thought / its text  {thought:.2f} (at most 2)")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    asyncio.run(main())
