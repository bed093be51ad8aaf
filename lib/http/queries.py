"""Query strings: dataclasses whose fields name the parameters and say how to read each.

pydantic, which checks bodies, would cost a quarter of a cold start, and the first request of most
functions is a GET with a handful of flat texts. The errors have pydantic's words, so that clients
read the same for bodies and query strings.
"""

import re
from collections.abc import Callable
from dataclasses import MISSING, Field, dataclass, field, fields
from typing import Any, LiteralString, dataclass_transform, overload

from starlette.requests import Request

from lib.problems import InvalidRequest
from lib.texts import storable

# As pydantic reads them, except for digits and spaces of other scripts.
WHOLE = re.compile(r"\s*([+-]?[0-9]+(?:_[0-9]+)*)(?:\.0+)?\s*", re.ASCII)
# `storable` refuses NUL.
NO_NUL = r"^[^\u0000]*$"
NO_INTEGER = "Input should be a valid integer, unable to parse string as an integer"


class Reader[Value]:
    """Reads the text of a parameter.

    Attributes:
        read: returns the value; raises ValueError with the fault, in words for the client.
        schema: JSON Schema of the text, with a `description` where it needs one: for the
            description of the HTTP interface. `Attributes:` of a query string add to it.
    """

    def __init__(self, read: Callable[[str], Value], **schema: Any) -> None:  # noqa: ANN401 (JSON)
        """Take the function and the schema."""
        self.read = read
        self.schema = schema


def text(least: int = 0, most: int = 255) -> Reader[str]:
    """Return a reader of texts that Postgres can store, from `least` to `most` characters."""

    def read(value: str) -> str:
        if len(value) < least:
            raise ValueError(f"String should have at least {_characters(least)}")
        if len(value) > most:
            raise ValueError(f"String should have at most {_characters(most)}")
        return storable(value)

    minimum = {"minLength": least} if least else {}
    return Reader(read, type="string", pattern=NO_NUL, maxLength=most, **minimum)


def whole_number(least: int, most: int) -> Reader[int]:
    """Return a reader of whole numbers from `least` to `most`; 5.0 is one, as in JSON Schema."""

    def read(value: str) -> int:
        try:
            # Python itself refuses more than 4,300 digits.
            number = int(match[1]) if (match := WHOLE.fullmatch(value)) else None
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
    """Return a reader of one of some words."""
    known: dict[str, Choice] = {choice: choice for choice in choices}
    *others, last = map(repr, known)
    listed = f"{', '.join(others)} or {last}" if others else last

    def read(value: str) -> Choice:
        if value not in known:
            raise ValueError(f"Input should be {listed}")
        return known[value]

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
    """Declare a parameter as a field of a query string.

    Args:
        reader: reads its text.
        default: the value of a missing parameter; without a default, the parameter is required.
        names: its names in the query string, the first one preferred; none: the field's own.
    """
    return field(default=default, metadata={"reader": reader, "names": names})


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(parameter,))
def query_string[Query](declared: type[Query]) -> type[Query]:
    """Make a class with parameters a query string.

    Its `__post_init__` checks rules about several parameters, and raises ValueError.
    """
    return dataclass(frozen=True, kw_only=True)(declared)


def parse_query[Query](request: Request, query: type[Query]) -> Query:
    """Read a request's query string; a known name may come once, other names are ignored.

    Raises:
        InvalidRequest: when it does not fit the class; names each wrong parameter.
    """
    pairs = request.query_params.multi_items()
    texts, names = dict(pairs), [name for name, _ in pairs]
    parameters = parameters_of(query)
    # Other names may repeat: Vercel adds the name of a dynamic segment again.
    known = [name for declared in parameters for name in names_of(declared)]
    if repeated := [name for name in known if names.count(name) > 1]:
        errors = [{"field": name, "detail": "must be given once"} for name in repeated]
        raise InvalidRequest(errors=errors)
    values, errors = _read(parameters, texts)
    if errors:
        raise InvalidRequest(errors=errors)
    try:
        return query(**values)
    except ValueError as error:
        raise InvalidRequest(errors=[{"field": "", "detail": str(error)}]) from error


def parameters_of(query: type) -> tuple[Field[Any], ...]:
    """Return the parameters of a query string, as fields with a `reader` and a `default`."""
    return fields(query)


def names_of(declared: Field[Any]) -> tuple[str, ...]:
    """Return the names of a parameter in the query string."""
    return declared.metadata["names"] or (declared.name,)


def _read(
    parameters: tuple[Field[Any], ...], texts: dict[str, str]
) -> tuple[dict[str, Any], list[dict[str, str]]]:
    """Return the values by field, and the errors of the other parameters."""
    values: dict[str, Any] = {}
    errors: list[dict[str, str]] = []
    for declared in parameters:
        names = names_of(declared)
        name = next((name for name in names if name in texts), None)
        if name is None:
            if declared.default is MISSING:
                errors.append({"field": names[0], "detail": "Field required"})
            continue
        try:
            values[declared.name] = declared.metadata["reader"].read(texts[name])
        except ValueError as error:
            errors.append({"field": name, "detail": str(error)})
    return values, errors


def _characters(count: int) -> str:
    return f"{count} character" if count == 1 else f"{count} characters"
