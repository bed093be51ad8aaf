"""The stream of one answer, for any number of readers, which may leave at any time."""

import time
from collections.abc import AsyncGenerator, Generator
from contextlib import contextmanager

from lib.runtime.timers import Waiter
from lib.streams import parts as ui_stream

KEEP_ALIVE_SECONDS = 10.0
# The parts that end a stream: `finish`, `abort` or `error`, and `[DONE]`.
END_PARTS = 2


class Stream:
    """The parts of one answer, to which its maker adds while readers read.

    Attributes:
        parts: the parts so far, each one event.
        size: size of these parts, in bytes.
        is_over: no more parts will come.
    """

    def __init__(self) -> None:
        """Begin without parts."""
        self.parts: list[bytes] = []
        self.size = 0
        self.is_over = False
        self._readers: set[Waiter] = set()

    @property
    def reader_count(self) -> int:
        """The number of readers that read or wait now."""
        return len(self._readers)

    def add(self, *parts: bytes) -> None:
        """Add parts, each one event."""
        self.parts += parts
        self.size += sum(map(len, parts))
        for reader in self._readers:
            reader.wake()

    def end(self, *parts: bytes) -> None:
        """Add the last parts. A second call does nothing."""
        if not self.is_over:
            self.is_over = True
            self.add(*parts)

    async def wait_for_first_part(self) -> None:
        """Wait for a part or the end of the stream; at most KEEP_ALIVE_SECONDS."""
        with self._reading() as reader:
            await self._wait(reader, KEEP_ALIVE_SECONDS, 0)

    async def wait_until_over(self, timeout_seconds: float) -> bool:
        """Wait until the stream is over, or the time has passed; return whether it is over."""
        with self._reading() as reader:
            await self._wait(reader, timeout_seconds, None)
        return self.is_over

    async def read(self, position: int = 0) -> AsyncGenerator[bytes]:
        """Yield the parts from a position on, then new ones as they come, several in one piece.

        While none come, a comment every KEEP_ALIVE_SECONDS keeps proxies from cutting the stream.
        A reader that starts past the end still gets the closing parts, because useChat takes a
        stream without them for a success.
        """
        with self._reading() as reader:
            has_read = False
            while True:
                if self.is_over and not has_read:
                    position = min(position, len(self.parts) - END_PARTS)
                if position < len(self.parts):
                    unread = self.parts[position:]
                    position += len(unread)
                    has_read = True
                    yield b"".join(unread)
                elif self.is_over:
                    return
                elif not await self._wait(reader, KEEP_ALIVE_SECONDS, position):
                    yield ui_stream.KEEP_ALIVE

    async def _wait(self, reader: Waiter, timeout_seconds: float, position: int | None) -> bool:
        """Wait for the part at a position, or the end (None: the end alone).

        Returns:
            Whether it came in time.
        """
        give_up_at = time.monotonic() + timeout_seconds
        while not self.is_over and (position is None or len(self.parts) <= position):
            if not await reader.wait(give_up_at - time.monotonic()):
                return False
        return True

    @contextmanager
    def _reading(self) -> Generator[Waiter]:
        reader = Waiter()
        self._readers.add(reader)
        try:
            yield reader
        finally:
            self._readers.discard(reader)
            reader.close()
