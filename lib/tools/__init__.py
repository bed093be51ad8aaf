"""Tools: functions that the model may call for a signed-in user. Each module here adds some.

A tool is an async function under `@tool`. Its docstring is its description for the model, the
pydantic model of its first parameter declares its arguments, and the model gets its result as JSON.
"""

import importlib
import pkgutil
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import cache, partial
from typing import Any, Protocol, get_type_hints, overload

from pydantic import BaseModel

from lib.database.statements import Call
from lib.identity.callers import Caller


class ToolError(Exception):
    """A tool refuses a call. The text goes to the model, and tells it how to do better."""


class ToolContext(Protocol):
    """The caller, the database and the answer of a tool call, beside its arguments.

    A tool may show more than its result, while it runs: `progress`, `source`, `show` and `file`
    write parts of the AI SDK into the answer, live and, but for progress, in history. The model
    reads the result alone. Tools show at most 100 parts in one answer; more are left out, with the
    event `tool_shows_too_much` in the log. Call these from the event loop, not from a thread.

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

    def progress(self, output: object) -> None:
        """Show what the call has come to so far, as a preliminary result.

        The page has the newest state, at most 10 in a second; the result takes its place. History
        has the result alone.

        Args:
            output: JSON, or an object with a method `to_json`; cut at 8,192 characters.
        """
        ...

    def source(
        self,
        url: str | None = None,
        *,
        title: str | None = None,
        media_type: str | None = None,
        filename: str | None = None,
    ) -> None:
        """Show a source of the result: a page, or a document without an address.

        Args:
            url: of a page, http or https, at most 2,048 characters; None: it is a document.
            title: of the page or the document; cut at 255 characters.
            media_type: of a document, such as `application/pdf`.
            filename: of a document; cut at 255 characters.

        Raises:
            ValueError: when the URL is none, or a document has neither title nor filename.
        """
        ...

    def show(self, name: str, data: object, id: str | None = None) -> None:  # noqa: A002 (the SDK's)
        """Show something that the page knows how to draw: a part `data-NAME`.

        Args:
            name: 1 to 64 characters a-z, 0-9 and -; not `conversation` or `summary`, which are
                Parley's.
            data: JSON, or an object with a method `to_json`; at most 32,768 characters.
            id: a part of the answer with this name and id is replaced in place; None: the part
                stands alone.

        Raises:
            ValueError: when one of them is not as described.
            TypeError: when the data are no JSON.
        """
        ...

    async def file(self, media_type: str, data: bytes, filename: str | None = None) -> None:
        """Show a file that the tool has made.

        Args:
            media_type: such as `image/png`.
            data: its content.
            filename: its name; None: it has none.

        Raises:
            ValueError: when the media type is none, or the file is too large.
        """
        ...


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool that the model may call.

    Attributes:
        name: the function's name, by which the model calls it.
        description: the function's docstring, for the model.
        arguments: the pydantic model of its arguments.
        run: the function.
        side_by_side: calls of one step may run at the same time.
    """

    name: str
    description: str
    arguments: type[BaseModel]
    run: Callable[[Any, ToolContext], Awaitable[object]]
    side_by_side: bool = False

    def parameters(self) -> dict[str, Any]:
        """Return the JSON schema of the arguments."""
        schema = self.arguments.model_json_schema()
        # These cost tokens and tell a model nothing.
        for name in ("title", "description"):
            schema.pop(name, None)
        for property_schema in schema.get("properties", {}).values():
            property_schema.pop("title", None)
        return schema


_tools: dict[str, Tool] = {}


type ToolFunction[Arguments: BaseModel] = Callable[[Arguments, ToolContext], Awaitable[object]]


@overload
def tool[Arguments: BaseModel](function: ToolFunction[Arguments], /) -> ToolFunction[Arguments]: ...
@overload
def tool[Arguments: BaseModel](
    *, side_by_side: bool
) -> Callable[[ToolFunction[Arguments]], ToolFunction[Arguments]]: ...
def tool(function: ToolFunction[Any] | None = None, /, *, side_by_side: bool = False) -> object:
    """Offer a function to the model.

    Args:
        function: `async def name(arguments: Model, context: ToolContext) -> object`. Its result is
            JSON, or has a method `to_json`. A result longer than 32,768 characters of JSON is cut,
            and says so.
        side_by_side: calls that the model makes in one step may run at the same time, with each
            other and with those of other tools that allow it. By default a call begins when the
            call before it has ended.
    """
    if function is None:
        return partial(_offer, side_by_side=side_by_side)
    return _offer(function, side_by_side=side_by_side)


def _offer(function: ToolFunction[Any], *, side_by_side: bool) -> ToolFunction[Any]:
    arguments, *_ = get_type_hints(function).values()
    name = function.__name__
    description = (function.__doc__ or "").strip()
    _tools[name] = Tool(name, description, arguments, function, side_by_side)
    return function


@cache
def tools() -> dict[str, Tool]:
    """Return the tools of all modules of this package, by name."""
    for module in pkgutil.iter_modules(__path__):
        importlib.import_module(f"{__name__}.{module.name}")
    return dict(_tools)
