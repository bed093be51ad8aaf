"""The end of a process: modules register their end, and shut_down runs them in a fixed order.

A module registers when it is imported, so a function ends only the modules that it uses.
"""

from collections.abc import Awaitable, Callable
from typing import Literal

from lib.runtime.log import log

type End = Callable[[], Awaitable[None]]
type Stage = Literal["work", "counters", "connections"]

# In this order, because running work is stored and then counted, over open connections.
_ends: dict[Stage, list[End]] = {"work": [], "counters": [], "connections": []}


def at_end(stage: Stage, end: End) -> None:
    """Register a function that ends something; it may be called more than once.

    Args:
        stage: `work`: cut it and store its result so far; `counters`: store them; `connections`:
            close them.
        end: the function.
    """
    _ends[stage].append(end)


async def end_work() -> None:
    """Cut the running work and store its result so far; the process goes on."""
    await _run_stage("work")


async def shut_down() -> None:
    """End all that is registered, stage by stage. Never raises: a failure is logged."""
    for stage in _ends:
        await _run_stage(stage)


async def _run_stage(stage: Stage) -> None:
    for end in _ends[stage]:
        try:
            await end()
        except Exception as error:  # noqa: BLE001 (all the others must end too)
            log("unexpected_error", error=error)
