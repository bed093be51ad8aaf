"""Late imports: loaded once, in a thread, while the event loop goes on."""

import asyncio
import os
import subprocess
import sys
import threading

import pytest

from lib.runtime.imports import has_loaded, load, load_ahead
from tests.support.product import ROOT

PATIENCE_SECONDS = 20


class Finder:
    """An importing function, which tests can hold and let fail."""

    def __init__(self, *, fails: int = 0, is_held: bool = False) -> None:
        """Take how many calls fail, and whether a call ends only after `release`."""
        self.threads: list[int] = []
        self._failures = fails
        self._may_end = threading.Event()
        if not is_held:
            self.release()

    def __call__(self) -> str:
        """Note the thread, and find something."""
        self.threads.append(threading.get_ident())
        self._may_end.wait(PATIENCE_SECONDS)
        if len(self.threads) <= self._failures:
            raise ImportError
        return "found"

    def release(self) -> None:
        """Let the calls end."""
        self._may_end.set()

    async def is_called(self) -> None:
        """Wait until the function is called."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not self.threads:  # noqa: ASYNC110 (it offers no event)
                await asyncio.sleep(0.001)


async def test_an_import_that_many_need_runs_once_in_a_thread() -> None:
    find = Finder()

    found = await asyncio.gather(*(load(find) for _ in range(20)))
    found.append(await load(find))

    assert set(found) == {"found"}
    [thread] = find.threads
    assert thread != threading.get_ident()


async def test_a_request_that_gives_up_does_not_end_the_import_for_the_others() -> None:
    find = Finder(is_held=True)
    impatient = asyncio.create_task(load(find))
    await find.is_called()
    impatient.cancel()
    await asyncio.wait({impatient})
    find.release()

    assert await load(find) == "found"
    assert impatient.cancelled()
    assert len(find.threads) == 1


async def test_an_import_counts_as_loaded_only_when_it_is_complete() -> None:
    find = Finder(is_held=True)
    loading = asyncio.create_task(load(find))
    await find.is_called()
    assert not has_loaded(find)

    find.release()
    await loading

    assert has_loaded(find)


async def test_the_event_loop_goes_on_during_an_import() -> None:
    find = Finder(is_held=True)
    loading = asyncio.create_task(load(find))
    await find.is_called()

    for _ in range(10):
        await asyncio.sleep(0.001)

    assert not loading.done()
    find.release()
    assert await loading == "found"


async def test_an_import_that_fails_raises_and_is_tried_again_by_the_next_request() -> None:
    find = Finder(fails=1)

    with pytest.raises(ImportError):
        await load(find)

    assert await load(find) == "found"


async def test_an_import_that_was_started_ahead_is_not_repeated() -> None:
    first, second = Finder(), Finder()

    load_ahead(first, second)
    await second.is_called()

    assert await load(first) == "found"
    assert len(first.threads) == 1


async def test_an_import_that_fails_ahead_stops_no_other_and_raises_when_it_is_needed() -> None:
    failing, second = Finder(fails=2), Finder()

    load_ahead(failing, second)
    await second.is_called()

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


def test_a_process_can_end_while_the_modules_that_make_answers_are_being_imported() -> None:
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
