"""Waiting for something, but not for ever, where it is done for each token of each answer."""

import asyncio
from collections.abc import Callable


class Alarm:
    """A time-out that is set anew all the time, and hardly ever rings.

    Its timer stays where it is when the alarm is set or unset, and looks when its time has come
    whether it came too early. To start and cancel a timer for each token, as `asyncio.timeout`
    does too, was 8% of what a streamed token took of the processor.
    """

    __slots__ = ("_at", "_loop", "_ring", "_timer")

    def __init__(self, ring: Callable[[], object]) -> None:
        """Take what is called when it rings; it is not set."""
        self._loop = asyncio.get_running_loop()
        self._ring = ring
        self._at: float | None = None
        self._timer: asyncio.TimerHandle | None = None

    def set(self, seconds: float) -> None:
        """Ring after so long, unless it is set again, or unset, before."""
        self._at = self._loop.time() + seconds
        if self._timer is None:
            self._timer = self._loop.call_at(self._at, self._look)
        elif self._timer.when() > self._at:
            self._timer.cancel()
            self._timer = self._loop.call_at(self._at, self._look)

    def unset(self) -> None:
        """Do not ring."""
        self._at = None

    def close(self) -> None:
        """Do not ring, and leave nothing behind in the event loop."""
        self._at = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        self._timer = None
        if self._at is None:
            return
        if self._loop.time() < self._at:
            self._timer = self._loop.call_at(self._at, self._look)
        else:
            self._at = None
            self._ring()


class Waiter:
    """One task's waits, one after the other."""

    __slots__ = ("_alarm", "_loop", "_woken")

    def __init__(self) -> None:
        """Wait for nothing yet."""
        self._loop = asyncio.get_running_loop()
        self._alarm = Alarm(self._give_up)
        self._woken: asyncio.Future[bool] | None = None

    async def wait(self, seconds: float | None) -> bool:
        """Wait until it is woken, at most so long; None: however long it takes.

        Returns:
            Whether it was woken.
        """
        self._woken = self._loop.create_future()
        if seconds is None:
            self._alarm.unset()
        else:
            self._alarm.set(seconds)
        # It stays set, since it does nothing to who does not wait.
        return await self._woken

    def wake(self) -> None:
        """Tell who waits, if anybody does, that what it waits for is there."""
        if self._woken is not None and not self._woken.done():
            self._woken.set_result(True)

    def close(self) -> None:
        """Leave nothing behind in the event loop."""
        self._alarm.close()

    def _give_up(self) -> None:
        if self._woken is not None and not self._woken.done():
            self._woken.set_result(False)
