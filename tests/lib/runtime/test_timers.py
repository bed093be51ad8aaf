"""Waits that are set anew all the time: when they end, and that they leave nothing behind."""

import asyncio
import time
import weakref

import pytest

from lib.runtime.timers import Alarm, Waiter


async def test_an_alarm_rings_once_when_its_time_has_come() -> None:
    rung: list[float] = []
    alarm = Alarm(lambda: rung.append(time.monotonic()))
    begun = time.monotonic()

    alarm.set(0.05)
    await asyncio.sleep(0.15)

    [at] = rung
    assert 0.045 <= at - begun < 0.12


async def test_an_alarm_that_is_set_again_rings_so_long_after_the_last_time() -> None:
    rung: list[float] = []
    alarm = Alarm(lambda: rung.append(time.monotonic()))

    for _ in range(5):
        alarm.set(0.1)
        await asyncio.sleep(0.03)
    last = time.monotonic() - 0.03
    await asyncio.sleep(0.2)

    [at] = rung
    assert at - last >= 0.095


async def test_an_alarm_that_is_set_to_an_earlier_time_rings_then() -> None:
    rung: list[float] = []
    alarm = Alarm(lambda: rung.append(time.monotonic()))
    begun = time.monotonic()

    alarm.set(10)
    alarm.set(0.05)
    await asyncio.sleep(0.15)

    [at] = rung
    assert at - begun < 0.12


async def test_an_alarm_that_is_unset_does_not_ring_but_can_be_set_again() -> None:
    rung: list[None] = []
    alarm = Alarm(lambda: rung.append(None))

    alarm.set(0.02)
    alarm.unset()
    await asyncio.sleep(0.06)
    assert rung == []
    alarm.set(0.02)
    await asyncio.sleep(0.06)

    assert rung == [None]


async def test_an_alarm_that_is_closed_leaves_nothing_behind() -> None:
    def ring() -> None:
        """Never."""

    left = weakref.ref(ring)
    alarm = Alarm(ring)
    alarm.set(60)

    alarm.close()
    del alarm, ring

    assert left() is None


async def test_who_waits_is_woken() -> None:
    waiter = Waiter()
    asyncio.get_running_loop().call_later(0.01, waiter.wake)

    assert await waiter.wait(5)
    waiter.close()


async def test_who_is_not_woken_waits_no_longer_than_told() -> None:
    waiter = Waiter()

    assert not await waiter.wait(0.02)


@pytest.mark.parametrize("seconds", [0.3, None])
async def test_one_wait_does_not_end_by_the_timer_of_the_one_before(seconds: float | None) -> None:
    waiter = Waiter()
    loop = asyncio.get_running_loop()

    loop.call_later(0.01, waiter.wake)
    assert await waiter.wait(0.05)
    loop.call_later(0.1, waiter.wake)

    assert await waiter.wait(seconds)
    waiter.close()


async def test_to_wake_who_does_not_wait_does_nothing() -> None:
    waiter = Waiter()

    waiter.wake()

    assert not await waiter.wait(0.01)
    waiter.wake()
