"""Modules that take long to import, imported when they are first needed, beside all else."""

import asyncio
from collections.abc import Callable

# What has returned once: it is complete.
_done: set[Callable[[], object]] = set()


async def load[Found](find: Callable[[], Found]) -> Found:
    """Return what a function finds that imports it; the first time, it is called in a thread.

    Those who are read to meanwhile must not wait. That a module is in `sys.modules` does not mean
    that it is complete: another request may be importing it.
    """
    if find in _done:
        return find()
    found = await asyncio.to_thread(find)
    _done.add(find)
    return found
