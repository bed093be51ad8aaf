"""The parts of an answer as they come, and any number of readers, who may leave."""

import time
from collections.abc import AsyncGenerator, Generator
from contextlib import contextmanager

from lib.runtime.timers import Waiter
from lib.streams import parts as ui_stream

KEEP_ALIVE_SECONDS = 10.0
# What ends a stream: `finish`, `abort` or `error`, and `[DONE]`.
END_PARTS = 2


class Stream:
    """The parts of one answer: those that are there, and those to come.

    Attributes:
        parts: those that are there, each one event.
        size: of all of them, in bytes.
        is_over: no more will come.
    """

    def __init__(self) -> None:
        """Begin with none."""
        self.parts: list[bytes] = []
        self.size = 0
        self.is_over = False
        self._readers: set[Waiter] = set()

    @property
    def reader_count(self) -> int:
        """How many read or wait now."""
        return len(self._readers)

    def add(self, *parts: bytes) -> None:
        """Add parts, each one event."""
        self.parts += parts
        self.size += sum(map(len, parts))
        for reader in self._readers:
            reader.wake()

    def end(self, *parts: bytes) -> None:
        """Add the last parts; after that, nothing is added."""
        if not self.is_over:
            self.is_over = True
            self.add(*parts)

    async def wait_for_first_part(self) -> None:
        """Wait until there is a part, or the stream is over, but no longer than a proxy does."""
        with self._reading() as reader:
            await self._wait(reader, KEEP_ALIVE_SECONDS, 0)

    async def wait_until_over(self, timeout_seconds: float) -> bool:
        """Wait until the stream is over; at most so long. Returns whether it is."""
        with self._reading() as reader:
            await self._wait(reader, timeout_seconds, None)
        return self.is_over

    async def read(self, position: int = 0) -> AsyncGenerator[bytes]:
        """Yield the parts from a position on, then each as it comes, several in one piece.

        While none come, a comment now and then keeps proxies from cutting the stream. Who asks for
        parts that never come gets the end all the same: a stream must not merely end.
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
        """Wait for a part at a position (None: for none), or the end; tell whether it came."""
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
