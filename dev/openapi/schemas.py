"""JSON schemas of models, as components of the description: under one name each, tidied up."""

from collections.abc import Iterator, Mapping
from dataclasses import MISSING
from typing import Any, cast

from pydantic import TypeAdapter
from pydantic.json_schema import JsonSchemaMode

from lib.http.queries import names_of, parameters_of

REF = "#/components/schemas/"

type Schema = dict[str, Any]


class Components:
    """The schemas that operations refer to."""

    def __init__(self) -> None:
        """Begin with none."""
        self.schemas: dict[str, Schema] = {}

    def add(
        self,
        models: Mapping[str, Any],
        mode: JsonSchemaMode,
        renamed: Mapping[str, str] | None = None,
        rules: Mapping[type[Any], Mapping[str, Schema]] | None = None,
    ) -> None:
        """Add models and all that they consist of.

        Args:
            models: models, dataclasses or unions, by the names that they are to have.
            mode: how pydantic uses them: to read requests, or to write answers.
            renamed: the names of those that they consist of, where the classes' own do not do.
            rules: what is to be said of models and their fields besides.

        Raises:
            ValueError: two of them have one name.
        """
        inputs: list[tuple[str, JsonSchemaMode, TypeAdapter[Any]]] = [
            (name, mode, TypeAdapter(model)) for name, model in models.items()
        ]
        found, whole = TypeAdapter.json_schemas(inputs, ref_template=REF + "{model}")
        names: dict[str, str] = dict(renamed or {})
        for (name, _), schema in found.items():
            reference = str(schema.get("$ref", "")).removeprefix(REF)
            if reference and reference != name and reference in whole["$defs"]:
                names[reference] = name
            elif not reference:
                whole["$defs"][name] = schema
        more = {model.__name__: told for model, told in (rules or {}).items()}
        definitions = cast("dict[str, Schema]", whole["$defs"])
        for name, schema in definitions.items():
            chosen = names.get(name, name)
            if chosen in self.schemas or "__" in chosen:
                message = f"two schemas are called {chosen}"
                raise ValueError(message)
            tidied = _tidy(_renamed(schema, names), is_answer=mode == "serialization")
            self.schemas[chosen] = _ruled(tidied, more.get(name, {}))


def parameters_in(query: type) -> Iterator[tuple[str, Schema, bool]]:
    """Yield a query string's parameters: the name, the schema, and whether it must be given."""
    for each in parameters_of(query):
        [name, *_] = names_of(each)
        is_required = each.default is MISSING
        default = {} if is_required or each.default is None else {"default": each.default}
        schema = dict(sorted((default | each.metadata["reader"].schema).items()))
        yield name, _tidy(schema, is_answer=False), is_required


def ruled(schema: Schema, rule: Schema) -> Schema:
    """Return a schema with what a rule says besides; None takes away."""
    return {name: value for name, value in (schema | rule).items() if value is not None}


def _ruled(schema: Schema, rules: Mapping[str, Schema]) -> Schema:
    """Return a model's schema with what rules say of it and, by name, of its fields.

    Raises:
        KeyError: a rule is about a field that is not there.
    """
    told = {**schema, **rules.get("", {})}
    if "properties" in schema:
        told["properties"] = dict(schema["properties"])
    for name, rule in rules.items():
        if name:
            told["properties"][name] = ruled(told["properties"][name], rule)
    return told


def _renamed(value: Any, names: Mapping[str, str]) -> Any:  # noqa: ANN401 (JSON)
    if isinstance(value, dict):
        content = cast("Schema", value)
        return {name: _renamed(each, names) for name, each in content.items()}
    if isinstance(value, list):
        return [_renamed(each, names) for each in cast("list[Any]", value)]
    if isinstance(value, str) and value.startswith(REF):
        name = value.removeprefix(REF)
        return REF + names.get(name, name)
    return value


def _tidy(schema: Schema, *, is_answer: bool) -> Schema:
    """Return a schema without what only pydantic wants to say.

    In answers, fields that are not named are not there, and what is not there has no default.
    """
    tidied: Schema = {}
    for name, value in schema.items():
        if name in {"properties", "$defs"}:
            tidied[name] = {
                each: _tidy(described, is_answer=is_answer) for each, described in value.items()
            }
        elif isinstance(value, dict) and name != "mapping":
            tidied[name] = _tidy(cast("Schema", value), is_answer=is_answer)
        elif isinstance(value, list):
            items = cast("list[object]", value)
            tidied[name] = [_tidied_item(each, is_answer=is_answer) for each in items]
        elif name == "description":
            tidied[name] = " ".join(cast("str", value).split())
        elif name != "title" and not (name == "default" and (is_answer or value is None)):
            tidied[name] = value
    if is_answer and "properties" in tidied:
        tidied.setdefault("additionalProperties", False)
    if not is_answer and _is_free_text(tidied):
        tidied["pattern"] = NO_NUL
    return tidied


def _tidied_item(item: object, *, is_answer: bool) -> object:
    if not isinstance(item, dict):
        return item
    return _tidy(cast("Schema", item), is_answer=is_answer)


# What Postgres cannot store is refused in each text (lib/texts.py).
NO_NUL = r"^[^\u0000]*$"


def _is_free_text(schema: Schema) -> bool:
    return schema.get("type") == "string" and not {"pattern", "format", "enum", "const"} & set(
        schema
    )
