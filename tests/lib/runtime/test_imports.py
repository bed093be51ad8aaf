"""What takes long to import is loaded once it is needed, beside all else."""

import asyncio
import os
import subprocess
import sys
import threading
import time

import pytest

from lib.runtime.imports import has_loaded, load, load_ahead
from tests.support.product import ROOT


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


async def test_it_is_found_once_in_a_thread_however_many_need_it() -> None:
    find = Finder()

    found = await asyncio.gather(*(load(find) for _ in range(20)))
    found.append(await load(find))

    assert set(found) == {"found"}
    [thread] = find.threads
    assert thread != threading.get_ident()


async def test_who_gives_up_waiting_keeps_nobody_else_from_it() -> None:
    find = Finder()
    impatient = asyncio.create_task(load(find))
    await find.wait()
    impatient.cancel()

    assert await load(find) == "found"
    assert impatient.cancelled()
    assert len(find.threads) == 1


async def test_it_is_told_that_it_is_there_only_when_it_is_complete() -> None:
    find = Finder()
    loading = asyncio.create_task(load(find))
    await find.wait()
    assert not has_loaded(find)

    await loading

    assert has_loaded(find)


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

    assert await load(first) == "found"
    assert len(first.threads) == 1


async def test_what_fails_ahead_is_told_to_who_needs_it_and_keeps_nothing_else_from_loading() -> (
    None
):
    failing, next_one = Finder(fails=2), Finder()

    load_ahead(failing, next_one)
    await next_one.wait()

    with pytest.raises(ImportError):
        await load(failing)


ENDING = """
import asyncio, sys
import lib.answers.begin
from lib.runtime.imports import load_ahead
from lib.runtime.shutdown import shut_down

async def main():
    load_ahead(lib.answers.begin.answer_maker)
    while "lib.answers._analysis" not in sys.modules:
        await asyncio.sleep(0)
    await shut_down()

asyncio.run(main())
"""


def test_a_process_can_end_while_what_makes_answers_is_imported() -> None:
    environment = os.environ | {"DATABASE_URL": "postgresql://nobody@127.0.0.1:1/nothing"}

    ended = subprocess.run(
        [sys.executable, "-c", ENDING],
        check=False,
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=environment,
    )

    assert (ended.returncode, ended.stderr) == (0, "")
