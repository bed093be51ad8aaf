"""Late imports: modules that take long to import, loaded in a thread when they are first needed."""

import asyncio
import gc
from collections.abc import Callable
from contextlib import suppress
from typing import Any

# The result of each importing function whose modules are complete.
_loaded: dict[Callable[[], object], Any] = {}
# The task that runs an importing function: one, however many requests need it.
_loading: dict[Callable[[], object], asyncio.Task[None]] = {}
# The event loop itself holds tasks only weakly.
_tasks: set[asyncio.Task[None]] = set()


async def load[Result](find: Callable[[], Result]) -> Result:
    """Return the result of a function that imports; the first call runs it in a thread.

    The import runs in a thread, so that other streams keep flowing. A module in `sys.modules` may
    be incomplete, because another request is still importing it.
    """
    while find not in _loaded:
        if find not in _loading:
            _loading[find] = asyncio.create_task(_load(find))
            _loading[find].add_done_callback(lambda _: _loading.pop(find))
        await asyncio.shield(_loading[find])
    return _loaded[find]


def has_loaded(find: Callable[[], object]) -> bool:
    """Tell whether all modules that a function imports are complete."""
    return find in _loaded


def load_ahead(*finders: Callable[[], object]) -> None:
    """Start to load modules that will be needed, one function after the other, without waiting.

    The next `load` of a function that fails tries again and raises the error.
    """
    if missing := [find for find in finders if find not in _loaded]:
        task = asyncio.create_task(_load_all(missing))
        _tasks.add(task)
        task.add_done_callback(_tasks.discard)


async def _load(find: Callable[[], object]) -> None:
    _loaded[find] = await asyncio.to_thread(find)
    # The modules stay for good: see `_tune_garbage_collection` in lib/functions.py.
    gc.freeze()


async def _load_all(finders: list[Callable[[], object]]) -> None:
    for find in finders:
        with suppress(Exception):
            await load(find)
