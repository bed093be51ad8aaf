"""Waiting for something, but not for ever, where it is done for each token of each answer."""

import asyncio

type Waiter = asyncio.Future[bool]


async def wait_for(waiter: Waiter, seconds: float | None) -> bool:
    """Wait until a waiter is woken, at most so long; None: however long it takes.

    By a timer, since `asyncio.timeout` costs thrice as much.

    Returns:
        Whether it was woken.
    """
    if seconds is None:
        return await waiter
    timer = waiter.get_loop().call_later(seconds, _give_up, waiter)
    try:
        return await waiter
    finally:
        timer.cancel()


def wake(waiter: Waiter) -> None:
    """Tell who waits that what it waits for is there."""
    if not waiter.done():
        waiter.set_result(True)


def _give_up(waiter: Waiter) -> None:
    if not waiter.done():
        waiter.set_result(False)
