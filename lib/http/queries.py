"""Query strings: classes whose fields say under which names a parameter comes, and how it is read.

Plain dataclasses rather than models of pydantic's, which checks bodies: that package and its models
cost a quarter of a cold start, and most functions begin with a GET of a handful of flat texts. What
is wrong is said in its words, so that clients read the same of either.
"""

import re
from collections.abc import Callable
from dataclasses import MISSING, Field, dataclass, field, fields
from typing import Any, LiteralString, dataclass_transform, overload

from starlette.requests import Request

from lib.problems import InvalidRequest
from lib.texts import storable

# As pydantic reads them, but for its digits and spaces of all scripts.
WHOLE = re.compile(r"\s*([+-]?[0-9]+(?:_[0-9]+)*)(?:\.0+)?\s*", re.ASCII)
# `storable` refuses NUL.
NO_NUL = r"^[^\u0000]*$"
NO_INTEGER = "Input should be a valid integer, unable to parse string as an integer"


class Reader[Value]:
    """How the text of a parameter becomes its value.

    Attributes:
        read: returns the value; raises ValueError with what is wrong, in words for the client.
        schema: JSON Schema of the text, with a `description` where it needs one: for the
            description of the HTTP interface. `Attributes:` of a query string add to it.
    """

    def __init__(self, read: Callable[[str], Value], **schema: Any) -> None:  # noqa: ANN401 (JSON)
        """Take both."""
        self.read = read
        self.schema = schema


def text(least: int = 0, most: int = 255) -> Reader[str]:
    """Read a text that Postgres can store, of so many characters."""

    def read(given: str) -> str:
        if len(given) < least:
            raise ValueError(f"String should have at least {_characters(least)}")
        if len(given) > most:
            raise ValueError(f"String should have at most {_characters(most)}")
        return storable(given)

    minimum = {"minLength": least} if least else {}
    return Reader(read, type="string", pattern=NO_NUL, maxLength=most, **minimum)


def whole_number(least: int, most: int) -> Reader[int]:
    """Read a whole number, both ends included; 5.0 is one, by JSON Schema too."""

    def read(given: str) -> int:
        try:
            # Python itself refuses more than 4,300 digits.
            number = int(written[1]) if (written := WHOLE.fullmatch(given)) else None
        except ValueError:
            number = None
        if number is None:
            raise ValueError(NO_INTEGER)
        if number < least:
            raise ValueError(f"Input should be greater than or equal to {least}")
        if number > most:
            raise ValueError(f"Input should be less than or equal to {most}")
        return number

    return Reader(read, type="integer", minimum=least, maximum=most)


def one_of[Choice: LiteralString](*choices: Choice) -> Reader[Choice]:
    """Read one of some words."""
    known: dict[str, Choice] = {each: each for each in choices}
    *others, last = map(repr, known)
    told = f"{', '.join(others)} or {last}" if others else last

    def read(given: str) -> Choice:
        if given not in known:
            raise ValueError(f"Input should be {told}")
        return known[given]

    return Reader(read, type="string", **({"enum": [*known]} if others else {"const": choices[0]}))


@overload
def parameter[Value](reader: Reader[Value], *, names: tuple[str, ...] = ()) -> Value: ...


@overload
def parameter[Value](
    reader: Reader[Value], *, default: None, names: tuple[str, ...] = ()
) -> Value | None: ...


@overload
def parameter[Value](
    reader: Reader[Value], *, default: Value, names: tuple[str, ...] = ()
) -> Value: ...


def parameter(
    reader: Reader[Any],
    *,
    default: Any = MISSING,
    names: tuple[str, ...] = (),
) -> Any:
    """Declare a field of a query string.

    Args:
        reader: how it is read.
        default: its value where it is not given; without one, it must be.
        names: those that it may be given under, the first before the others; none: the field's own.
    """
    return field(default=default, metadata={"reader": reader, "names": names})


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(parameter,))
def query_string[Query](declared: type[Query]) -> type[Query]:
    """Make a query string of a class with parameters.

    Rules about several of them are its `__post_init__`, which raises ValueError.
    """
    return dataclass(frozen=True, kw_only=True)(declared)


def parse_query[Query](request: Request, query: type[Query]) -> Query:
    """Read a request's query string; each name that it knows may be given once.

    Raises:
        InvalidRequest: it is not what the class says; each wrong parameter is named.
    """
    pairs = request.query_params.multi_items()
    given, names = dict(pairs), [name for name, _ in pairs]
    parameters = parameters_of(query)
    # Of its own names only: Vercel adds a dynamic segment's name once more.
    known = [name for each in parameters for name in names_of(each)]
    if repeated := [name for name in known if names.count(name) > 1]:
        errors = [{"field": name, "detail": "must be given once"} for name in repeated]
        raise InvalidRequest(errors=errors)
    values, errors = _read(parameters, given)
    if errors:
        raise InvalidRequest(errors=errors)
    try:
        return query(**values)
    except ValueError as error:
        raise InvalidRequest(errors=[{"field": "", "detail": str(error)}]) from error


def parameters_of(query: type) -> tuple[Field[Any], ...]:
    """Return the fields of a query string, each with its `reader` and its `default`."""
    return fields(query)


def names_of(declared: Field[Any]) -> tuple[str, ...]:
    """Return the names that a parameter may be given under."""
    return declared.metadata["names"] or (declared.name,)


def _read(
    parameters: tuple[Field[Any], ...], given: dict[str, str]
) -> tuple[dict[str, Any], list[dict[str, str]]]:
    """Return the values by field, and what is wrong with the others."""
    values: dict[str, Any] = {}
    errors: list[dict[str, str]] = []
    for each in parameters:
        names = names_of(each)
        name = next((name for name in names if name in given), None)
        if name is None:
            if each.default is MISSING:
                errors.append({"field": names[0], "detail": "Field required"})
            continue
        try:
            values[each.name] = each.metadata["reader"].read(given[name])
        except ValueError as error:
            errors.append({"field": name, "detail": str(error)})
    return values, errors


def _characters(count: int) -> str:
    return f"{count} character" if count == 1 else f"{count} characters"
