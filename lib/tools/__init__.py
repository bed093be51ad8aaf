"""Tools: what the model can do for a signed-in user. Each module of this package adds some.

A tool is an async function under `@tool`: its docstring tells the model what it does, the pydantic
model of its first parameter what it takes, and what it returns is given back to the model as JSON.
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
    """A tool cannot do what it was asked; its text tells the model, in words it can act on."""


class ToolContext(Protocol):
    """What a tool is given beside its arguments: in whose name it works, and the database.

    Attributes:
        caller: the signed-in user.
    """

    caller: Caller

    @overload
    async def run[A](self, a: Call[A], /) -> list[A]: ...
    @overload
    async def run[A, B](self, a: Call[A], b: Call[B], /) -> tuple[list[A], list[B]]: ...
    async def run(self, *calls: Call[Any]) -> Any:
        """Run statements that have an effect, as the caller, who sees only what is theirs.

        That the tool was run is stored with the effect, or neither is; so a message that is tried
        again after a failure has the effect once.
        """

    async def read[A](self, call: Call[A], /) -> list[A]:
        """Run a statement that has no effect, as the caller."""
        ...

    async def begin(self) -> None:
        """Store that the tool is run now. Call it before an effect outside of the database.

        A message that is tried again does not have it a second time; where the first try ended in
        between, the model is told that nobody knows what came of it.
        """


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool.

    Attributes:
        name: as the model calls it.
        description: what it does, for the model.
        arguments: what it takes.
        run: the function.
    """

    name: str
    description: str
    arguments: type[BaseModel]
    run: Callable[[Any, ToolContext], Awaitable[object]]

    def definition(self) -> dict[str, Any]:
        """Return it as the provider's API describes a tool, its arguments by JSON schema."""
        schema = TypeAdapter(self.arguments).json_schema()
        # Of no use to a model.
        for name in ("title", "description"):
            schema.pop(name, None)
        for described in schema.get("properties", {}).values():
            described.pop("title", None)
        function = {"name": self.name, "description": self.description, "parameters": schema}
        return {"type": "function", "function": function}


_tools: dict[str, Tool] = {}


def tool[Arguments: BaseModel](
    function: Callable[[Arguments, ToolContext], Awaitable[object]],
) -> Callable[[Arguments, ToolContext], Awaitable[object]]:
    """Offer a function to the model.

    Args:
        function: `async def name(arguments: Model, context: ToolContext) -> object`, of which the
            result is what JSON can hold, or has a method `to_json`.
    """
    first, *_ = get_type_hints(function).values()
    name = function.__name__
    _tools[name] = Tool(name, (function.__doc__ or "").strip(), first, function)
    return function


@cache
def tools() -> dict[str, Tool]:
    """Return all tools, by name: those of the modules of this package."""
    for module in pkgutil.iter_modules(__path__):
        importlib.import_module(f"{__name__}.{module.name}")
    return dict(_tools)
