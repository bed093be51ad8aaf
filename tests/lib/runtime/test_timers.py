"""Timers that are set again all the time: when they fire, and that they leave nothing behind.

The clock of these tests does not wait, so a busy machine changes nothing.
"""

import asyncio
import selectors
import weakref
from collections.abc import Callable, Coroutine
from typing import Any, override

import pytest

from lib.runtime.timers import Alarm, Waiter


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose clock jumps to its next timer instead of waiting for it."""

    def __init__(self) -> None:
        """Start at 0 seconds."""
        self.now = 0.0
        super().__init__(VirtualSelector(self))

    @override
    def time(self) -> float:
        """Return the seconds since the start."""
        return self.now


class VirtualSelector(selectors.DefaultSelector):
    """A selector that never waits."""

    def __init__(self, loop: VirtualLoop) -> None:
        """Take the loop whose clock goes on."""
        super().__init__()
        self._virtual_loop = loop

    @override
    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Let the clock go on by the time-out."""
        self._virtual_loop.now += timeout or 0.0
        return super().select(0)


def virtual(test: Callable[[], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    """Run a test in an event loop with a virtual clock."""

    def run() -> None:
        with asyncio.Runner(loop_factory=VirtualLoop) as runner:
            runner.run(test())

    return run


def now() -> float:
    """Return the time of the running loop, in seconds since its start."""
    return asyncio.get_running_loop().time()


def recording() -> tuple[Alarm, list[float]]:
    """Return an alarm, and the times at which it has rung."""
    rings: list[float] = []
    return Alarm(lambda: rings.append(now())), rings


@virtual
async def test_an_alarm_rings_once_after_the_time_that_it_is_set_to() -> None:
    alarm, rings = recording()

    alarm.set(5)
    await asyncio.sleep(60)

    assert rings == pytest.approx([5])


@virtual
async def test_an_alarm_that_is_set_again_rings_after_the_last_setting() -> None:
    alarm, rings = recording()

    for _ in range(5):
        alarm.set(10)
        await asyncio.sleep(3)
    await asyncio.sleep(60)

    assert rings == pytest.approx([12 + 10])


@virtual
async def test_an_alarm_that_is_set_to_an_earlier_time_rings_then() -> None:
    alarm, rings = recording()

    alarm.set(1000)
    alarm.set(5)
    await asyncio.sleep(2000)

    assert rings == pytest.approx([5])


@virtual
async def test_an_alarm_that_is_unset_does_not_ring_until_it_is_set_again() -> None:
    alarm, rings = recording()

    alarm.set(2)
    alarm.unset()
    await asyncio.sleep(6)
    assert rings == []
    alarm.set(2)
    await asyncio.sleep(6)

    assert rings == pytest.approx([8])


@virtual
async def test_an_alarm_that_is_closed_leaves_no_timer_in_the_loop() -> None:
    def ring() -> None:
        """Never called."""

    reference = weakref.ref(ring)
    alarm = Alarm(ring)
    alarm.set(60)

    alarm.close()
    del alarm, ring

    assert reference() is None


@virtual
async def test_a_wait_ends_when_it_is_woken() -> None:
    waiter = Waiter()
    asyncio.get_running_loop().call_later(1, waiter.wake)

    assert await waiter.wait(5)
    assert now() == pytest.approx(1)
    waiter.close()


@virtual
async def test_a_wait_that_is_not_woken_ends_at_its_limit() -> None:
    waiter = Waiter()

    assert not await waiter.wait(2)
    assert now() == pytest.approx(2)


@pytest.mark.parametrize("seconds", [30, None])
def test_a_wait_is_not_ended_by_the_timer_of_the_wait_before(seconds: float | None) -> None:
    @virtual
    async def wait_twice() -> None:
        waiter = Waiter()
        loop = asyncio.get_running_loop()
        loop.call_later(1, waiter.wake)
        assert await waiter.wait(5)
        loop.call_later(10, waiter.wake)

        assert await waiter.wait(seconds)
        assert now() == pytest.approx(11)
        waiter.close()

    wait_twice()


@virtual
async def test_waking_does_nothing_while_nothing_waits() -> None:
    waiter = Waiter()

    waiter.wake()

    assert not await waiter.wait(1)
    waiter.wake()
