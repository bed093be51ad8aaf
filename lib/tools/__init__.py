"""Tools: functions that the model may call for a signed-in user. Each module here adds some.

A tool is an async function under `@tool`. Its docstring is its description for the model, the
pydantic model of its first parameter declares its arguments, and the model gets its result as JSON.
"""

import importlib
import pkgutil
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, Protocol, get_type_hints, overload

from pydantic import BaseModel, TypeAdapter

from lib.database.statements import Call
from lib.identity.callers import Caller


class ToolError(Exception):
    """A tool refuses a call. The text goes to the model, and tells it how to do better."""


class ToolContext(Protocol):
    """The caller and the database of a tool call, beside its arguments.

    Attributes:
        caller: the signed-in user.
    """

    caller: Caller

    @overload
    async def run[A](self, a: Call[A], /) -> list[A]: ...
    @overload
    async def run[A, B](self, a: Call[A], b: Call[B], /) -> tuple[list[A], list[B]]: ...
    async def run(self, *calls: Call[Any]) -> Any:
        """Run statements that change data, as the caller: they see only the caller's rows.

        One transaction stores the change and the tool run, so a retry of the message does not
        repeat the change.
        """

    async def read[A](self, call: Call[A], /) -> list[A]:
        """Run a statement that only reads, as the caller."""
        ...

    async def begin(self) -> None:
        """Store that the tool runs now. Call it before an effect outside of the database.

        A retry of the message does not repeat the effect. Where the first attempt died during the
        effect, the model reads that its outcome is unknown.
        """


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool that the model may call.

    Attributes:
        name: the function's name, by which the model calls it.
        description: the function's docstring, for the model.
        arguments: the pydantic model of its arguments.
        run: the function.
    """

    name: str
    description: str
    arguments: type[BaseModel]
    run: Callable[[Any, ToolContext], Awaitable[object]]

    def parameters(self) -> dict[str, Any]:
        """Return the JSON schema of the arguments."""
        schema = TypeAdapter(self.arguments).json_schema()
        # These cost tokens and tell a model nothing.
        for name in ("title", "description"):
            schema.pop(name, None)
        for property_schema in schema.get("properties", {}).values():
            property_schema.pop("title", None)
        return schema


_tools: dict[str, Tool] = {}


def tool[Arguments: BaseModel](
    function: Callable[[Arguments, ToolContext], Awaitable[object]],
) -> Callable[[Arguments, ToolContext], Awaitable[object]]:
    """Offer a function to the model.

    Args:
        function: `async def name(arguments: Model, context: ToolContext) -> object`. Its result is
            JSON, or has a method `to_json`.
    """
    arguments, *_ = get_type_hints(function).values()
    name = function.__name__
    _tools[name] = Tool(name, (function.__doc__ or "").strip(), arguments, function)
    return function


@cache
def tools() -> dict[str, Tool]:
    """Return the tools of all modules of this package, by name."""
    for module in pkgutil.iter_modules(__path__):
        importlib.import_module(f"{__name__}.{module.name}")
    return dict(_tools)
