"""Timers for waits that happen for each token of each answer, and hardly ever time out."""

import asyncio
from collections.abc import Callable


class Alarm:
    """A time-out that is set again all the time, and hardly ever rings.

    Setting or unsetting the alarm leaves its timer in the event loop; when the timer fires too
    early, it starts another one. Starting and cancelling a timer for each token, as
    `asyncio.timeout` does too, took 8% of the processor time of a streamed token.
    """

    __slots__ = ("_at", "_loop", "_ring", "_timer")

    def __init__(self, ring: Callable[[], object]) -> None:
        """Take the function to call when the alarm rings; the alarm is not set."""
        self._loop = asyncio.get_running_loop()
        self._ring = ring
        self._at: float | None = None
        self._timer: asyncio.TimerHandle | None = None

    def set(self, seconds: float) -> None:
        """Ring after so many seconds, unless the alarm is set again or unset before."""
        self._at = self._loop.time() + seconds
        if self._timer is None:
            self._timer = self._loop.call_at(self._at, self._fire)
        elif self._timer.when() > self._at:
            self._timer.cancel()
            self._timer = self._loop.call_at(self._at, self._fire)

    def unset(self) -> None:
        """Do not ring."""
        self._at = None

    def close(self) -> None:
        """Do not ring, and leave no timer in the event loop."""
        self._at = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _fire(self) -> None:
        self._timer = None
        if self._at is None:
            return
        if self._loop.time() < self._at:
            self._timer = self._loop.call_at(self._at, self._fire)
        else:
            self._at = None
            self._ring()


class Waiter:
    """The waits of one task, one after the other."""

    __slots__ = ("_alarm", "_loop", "_woken")

    def __init__(self) -> None:
        """Wait for nothing yet."""
        self._loop = asyncio.get_running_loop()
        self._alarm = Alarm(self._give_up)
        self._woken: asyncio.Future[bool] | None = None

    async def wait(self, seconds: float | None) -> bool:
        """Wait for `wake`, at most so many seconds; None: without a limit.

        Returns:
            Whether `wake` was called.
        """
        self._woken = self._loop.create_future()
        if seconds is None:
            self._alarm.unset()
        else:
            self._alarm.set(seconds)
        # Leave the alarm set: it has no effect while nothing waits, and cancelling it costs time.
        return await self._woken

    def wake(self) -> None:
        """End the wait, if there is one."""
        if self._woken is not None and not self._woken.done():
            self._woken.set_result(True)

    def close(self) -> None:
        """Leave no timer in the event loop."""
        self._alarm.close()

    def _give_up(self) -> None:
        if self._woken is not None and not self._woken.done():
            self._woken.set_result(False)
