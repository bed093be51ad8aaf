"""Modules that take long to import, imported when they are first needed, beside all else."""

import asyncio
import gc
from collections.abc import Callable
from contextlib import suppress
from typing import Any

# What was found: it is complete.
_found: dict[Callable[[], object], Any] = {}
# What is being loaded: once, however many need it.
_loading: dict[Callable[[], object], asyncio.Task[None]] = {}
# The loop itself holds tasks only weakly.
_tasks: set[asyncio.Task[None]] = set()


async def load[Found](find: Callable[[], Found]) -> Found:
    """Return what a function finds that imports it; the first time, it is called in a thread.

    Those who are read to meanwhile must not wait. That a module is in `sys.modules` does not mean
    that it is complete: another request may be importing it.
    """
    while find not in _found:
        if find not in _loading:
            _loading[find] = asyncio.create_task(_load(find))
            _loading[find].add_done_callback(lambda _: _loading.pop(find))
        await asyncio.shield(_loading[find])
    return _found[find]


def has_loaded(find: Callable[[], object]) -> bool:
    """Tell whether all that a function imports is there, and complete."""
    return find in _found


def load_ahead(*finders: Callable[[], object]) -> None:
    """Begin to load what is going to be needed, one after the other; waits for nothing.

    If it fails, whoever loads it will be told.
    """
    if missing := [find for find in finders if find not in _found]:
        task = asyncio.create_task(_load_all(missing))
        _tasks.add(task)
        task.add_done_callback(_tasks.discard)


async def _load(find: Callable[[], object]) -> None:
    _found[find] = await asyncio.to_thread(find)
    gc.freeze()


async def _load_all(finders: list[Callable[[], object]]) -> None:
    for find in finders:
        with suppress(Exception):
            await load(find)
