"""JSON schemas of lib's models and dataclasses, as components of the description."""

import inspect
import re
from collections.abc import Iterable, Iterator
from dataclasses import MISSING
from typing import Any, override

from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaMode
from pydantic_core import core_schema

from lib.http.queries import NO_NUL, names_of, parameters_of
from lib.texts import storable

REF = "#/components/schemas/"
ATTRIBUTE = re.compile(r"^ {4}(\w+): (.+(?:\n {8}.+)*)", re.MULTILINE)

type Schema = dict[str, Any]


def schemas_of(types: Iterable[Any], mode: JsonSchemaMode) -> dict[str, Schema]:
    """Return the schemas of types and of all that they consist of, by the names of the classes.

    Args:
        types: models, dataclasses, typed dictionaries, and unions of them under `type`.
        mode: "validation" for requests, "serialization" for answers.

    Raises:
        ValueError: two classes have one name.
    """
    _, content = TypeAdapter.json_schemas(
        [(index, mode, TypeAdapter(each)) for index, each in enumerate(types)],
        ref_template=REF + "{model}",
        schema_generator=_Generator,
    )
    if ambiguous := [name for name in content["$defs"] if "__" in name]:
        raise ValueError(f"several classes have one name: {ambiguous}")
    return content["$defs"]


def parameters_in(query: type) -> Iterator[tuple[str, Schema, bool]]:
    """Yield a query string's parameters: the name, the schema, and whether it is required."""
    described = _attributes_of(query)
    for parameter in parameters_of(query):
        name, *others = names_of(parameter)
        schema = dict(parameter.metadata["reader"].schema)
        texts = [described.get(parameter.name), schema.get("description")]
        texts += [f"`{other}` is another name of it." for other in others]
        if text := " ".join(filter(None, texts)):
            schema["description"] = text
        is_required = parameter.default is MISSING
        if not is_required and parameter.default is not None:
            schema["default"] = parameter.default
        yield name, schema, is_required


class _Generator(GenerateJsonSchema):
    """Writes schemas without titles, and with the descriptions of `Attributes:` in docstrings.

    Answers have neither defaults nor fields without a name, and none of their numbers is negative.
    """

    @override
    def field_title_should_be_set(self, schema: Any) -> bool:
        return False

    @override
    def model_schema(self, schema: core_schema.ModelSchema) -> Schema:
        return self._described(super().model_schema(schema), schema["cls"])

    @override
    def dataclass_schema(self, schema: core_schema.DataclassSchema) -> Schema:
        return self._described(super().dataclass_schema(schema), schema["cls"])

    @override
    def typed_dict_schema(self, schema: core_schema.TypedDictSchema) -> Schema:
        return self._described(super().typed_dict_schema(schema), schema.get("cls", dict))

    def _described(self, schema: Schema, cls: type) -> Schema:
        schema.pop("title", None)
        schema["description"] = _summary_of(cls)
        attributes = _attributes_of(cls)
        for name, field in schema.get("properties", {}).items():
            if text := field.get("description") or attributes.get(name):
                field["description"] = _sentence(text)
        if self.mode == "serialization":
            schema.setdefault("additionalProperties", False)
        return schema

    @override
    def default_schema(self, schema: core_schema.WithDefaultSchema) -> Schema:
        if self.mode == "serialization" or schema.get("default") is None:
            return self.generate_inner(schema["schema"])
        return super().default_schema(schema)

    @override
    def field_is_required(self, field: Any, total: bool) -> bool:
        # A dataclass answers with all its fields, also those that have a default.
        is_answered = self.mode == "serialization" and field["type"] == "dataclass-field"
        return is_answered or super().field_is_required(field, total)

    @override
    def function_after_schema(self, schema: core_schema.AfterValidatorFunctionSchema) -> Schema:
        pattern = {"pattern": NO_NUL} if schema["function"]["function"] is storable else {}
        return pattern | super().function_after_schema(schema)

    @override
    def int_schema(self, schema: core_schema.IntSchema) -> Schema:
        return self._not_negative(super().int_schema(schema))

    @override
    def float_schema(self, schema: core_schema.FloatSchema) -> Schema:
        return self._not_negative(super().float_schema(schema))

    def _not_negative(self, schema: Schema) -> Schema:
        return {"minimum": 0} | schema if self.mode == "serialization" else schema


def _summary_of(cls: type) -> str:
    """Return a docstring before its `Attributes:`, which a class may inherit, in one line."""
    return " ".join((inspect.getdoc(cls) or "").partition("Attributes:")[0].split())


def _attributes_of(cls: type) -> dict[str, str]:
    """Return the texts of `Attributes:` in a class's docstring and in those that it inherits."""
    texts: dict[str, str] = {}
    # A typed dictionary has its bases only there, and TypedDict, which is no class, among them.
    for base in reversed(getattr(cls, "__orig_bases__", cls.__bases__)):
        texts |= _attributes_of(base) if inspect.isclass(base) else {}
    attributes = inspect.cleandoc(cls.__doc__ or "").partition("Attributes:\n")[2]
    return texts | {name: _sentence(text) for name, text in ATTRIBUTE.findall(attributes)}


def _sentence(text: str) -> str:
    """Return a text of a docstring as readers of JSON expect it: one line, and null for None."""
    line = " ".join(text.split()).replace("None", "null")
    return line[:1].upper() + line[1:]
