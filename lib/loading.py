"""Modules that take long to import, imported when they are first needed, beside all else."""

import asyncio
import gc
from collections.abc import Callable
from contextlib import suppress

# What has returned once: it is complete.
_done: set[Callable[[], object]] = set()
# The loop itself holds tasks only weakly.
_tasks: set[asyncio.Task[None]] = set()


async def load[Found](find: Callable[[], Found]) -> Found:
    """Return what a function finds that imports it; the first time, it is called in a thread.

    Those who are read to meanwhile must not wait. That a module is in `sys.modules` does not mean
    that it is complete: another request may be importing it.
    """
    if find in _done:
        return find()
    found = await asyncio.to_thread(find)
    _done.add(find)
    gc.freeze()
    return found


def load_ahead(*finders: Callable[[], object]) -> None:
    """Begin to load what is going to be needed, one after the other; waits for nothing.

    If it fails, whoever loads it will be told.
    """
    if missing := [find for find in finders if find not in _done]:
        task = asyncio.create_task(_load_all(missing))
        _tasks.add(task)
        task.add_done_callback(_tasks.discard)


async def _load_all(finders: list[Callable[[], object]]) -> None:
    for find in finders:
        with suppress(Exception):
            await load(find)
