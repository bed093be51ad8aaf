"""What takes long to import is loaded once it is needed, beside all else."""

import asyncio
import threading
import time

import pytest

from lib.loading import load, load_ahead


class Finder:
    """Finds something, after a while the first time, and remembers where it was called."""

    def __init__(self, *, fails: int = 0) -> None:
        """Fail so many times first."""
        self.threads: list[int] = []
        self._failures = fails

    def __call__(self) -> str:
        """Find it."""
        self.threads.append(threading.get_ident())
        if len(self.threads) == 1:
            time.sleep(0.1)
        if len(self.threads) <= self._failures:
            raise ImportError
        return "found"

    async def wait(self) -> None:
        """Wait until it was called."""
        async with asyncio.timeout(5):
            while not self.threads:  # noqa: ASYNC110 (it offers no event)
                await asyncio.sleep(0.001)


async def test_it_is_found_in_a_thread_at_first_and_then_at_once() -> None:
    find = Finder()

    found = [await load(find), await load(find)]

    here = threading.get_ident()
    assert found == ["found", "found"]
    assert [thread == here for thread in find.threads] == [False, True]


async def test_meanwhile_others_are_served() -> None:
    loading = asyncio.create_task(load(Finder()))
    turns = 0
    while not loading.done():
        turns += 1
        await asyncio.sleep(0.001)

    assert turns > 10


async def test_a_failure_is_told_and_the_next_one_tries_again() -> None:
    find = Finder(fails=1)

    with pytest.raises(ImportError):
        await load(find)

    assert await load(find) == "found"


async def test_what_is_loaded_ahead_is_there_when_it_is_needed() -> None:
    first, second = Finder(), Finder()

    load_ahead(first, second)
    await second.wait()

    assert len(first.threads) == 1
    assert await load(first) == "found"
    assert first.threads[1] == threading.get_ident()


async def test_what_fails_ahead_is_told_to_who_needs_it_and_keeps_nothing_else_from_loading() -> (
    None
):
    failing, next_one = Finder(fails=2), Finder()

    load_ahead(failing, next_one)
    await next_one.wait()

    with pytest.raises(ImportError):
        await load(failing)
