"""JSON schemas in the form that the strictest provider takes.

pydantic checks the model's arguments and answers afterwards, so a schema only has to guide the
model. Each keyword that is left out here was refused somewhere: bounds of 2^63 by Anthropic,
`exclusiveMaximum`, `$ref`, `const` and lists of types by Gemini, lengths and patterns by llama.cpp
(its grammars grow with them), `default` and most formats by the strict mode of OpenAI.
"""

from typing import Any, cast

type Schema = dict[str, Any]

# Deeper, or inside itself, a schema says no more than `object`.
MAX_DEPTH = 10
BOUNDS = {
    "minimum": "at least {}",
    "maximum": "at most {}",
    "exclusiveMinimum": "more than {}",
    "exclusiveMaximum": "less than {}",
    "multipleOf": "a multiple of {}",
    "minLength": "at least {} characters",
    "maxLength": "at most {} characters",
    "minItems": "at least {} items",
    "maxItems": "at most {} items",
}
# Integers from here on are not exact in JSON as many programs read it, and no user's.
TOO_BIG = 2**53
NULL = {"type": "null"}


def plain_schema(schema: Schema) -> Schema:
    """Return a schema of an object without the keywords that some providers refuse.

    Bounds of numbers and lengths become words of the description, references become the schemas
    that they name, and a property that may be left out does not offer `null` besides.
    """
    return _plain(schema, cast("Schema", schema.get("$defs") or {}), MAX_DEPTH)


def bare_schema(schema: Schema) -> Schema:
    """Return a plain schema with types, names and descriptions alone."""
    bare: Schema = {}
    nothing: Schema = {}
    for name, value in schema.items():
        match name:
            case "properties":
                properties: Schema = value
                bare[name] = {key: bare_schema(each) for key, each in properties.items()}
            case "items":
                bare[name] = bare_schema(value)
            case "anyOf":
                variants: list[Schema] = value
                bare |= bare_schema(next((each for each in variants if each != NULL), nothing))
            case "type" | "required" | "description":
                bare[name] = value
            case "enum" if all(isinstance(each, str) for each in value):
                bare[name] = value
            case _:
                pass
    return bare


def _plain(schema: Schema, definitions: Schema, depth: int) -> Schema:
    schema = _resolved(schema, definitions)
    if depth == 0:
        return {"type": "object"}
    plain: Schema = {}
    if kind := _type_of(schema):
        plain["type"] = kind
    if description := _description(schema):
        plain["description"] = description
    if "const" in schema:
        plain["enum"] = [schema["const"]]
    if "enum" in schema:
        plain["enum"] = schema["enum"]
    if schema.get("format") == "date-time":
        plain["format"] = "date-time"
    if kind == "object" or "properties" in schema:
        plain |= _plain_object(schema, definitions, depth)
    if "items" in schema:
        plain["items"] = _plain(schema["items"], definitions, depth - 1)
    variants: list[Schema] = schema.get("anyOf") or schema.get("oneOf") or []
    if variants:
        plain["anyOf"] = [_plain(each, definitions, depth - 1) for each in variants]
    return plain


def _plain_object(schema: Schema, definitions: Schema, depth: int) -> Schema:
    required: list[str] = schema.get("required") or []
    properties: Schema = {}
    described: Schema = schema.get("properties") or {}
    for name, each in described.items():
        plain = _plain(each, definitions, depth - 1)
        properties[name] = plain if name in required else _without_null(plain)
    plain: Schema = {"properties": properties}
    if required:
        plain["required"] = required
    others = schema.get("additionalProperties")
    if others is False:
        plain["additionalProperties"] = False
    elif isinstance(others, dict):
        plain["additionalProperties"] = _plain(cast("Schema", others), definitions, depth - 1)
    return plain


def _resolved(schema: Schema, definitions: Schema) -> Schema:
    """Return a schema with the schema that it refers to, and with the parts that it has to fit."""
    for _ in range(MAX_DEPTH):
        if "$ref" not in schema and "allOf" not in schema:
            break
        name = str(schema.get("$ref", "")).removeprefix("#/$defs/")
        parts: list[Schema] = [definitions.get(name) or {}, *(schema.get("allOf") or [])]
        merged: Schema = {}
        for part in parts:
            merged |= part
        schema = merged | {
            name: value for name, value in schema.items() if name not in ("$ref", "allOf")
        }
    return schema


def _type_of(schema: Schema) -> str | None:
    """Return the one type of a schema; of a type or null, the type."""
    kind = schema.get("type")
    if isinstance(kind, list):
        return next((each for each in cast("list[str]", kind) if each != "null"), None)
    return kind


def _description(schema: Schema) -> str:
    """Return a schema's description, with its bounds in words."""
    bounds = [
        words.format(schema[name])
        for name, words in BOUNDS.items()
        if name in schema and abs(schema[name]) < TOO_BIG
    ]
    if schema.get("minLength") == 1:
        bounds[bounds.index("at least 1 characters")] = "not empty"
    description = schema.get("description") or ""
    return f"{description} ({', '.join(bounds)})".strip() if bounds else description


def _without_null(schema: Schema) -> Schema:
    """Return the schema of a property that may be left out: null would mean the same."""
    offered: list[Schema] = schema.get("anyOf") or []
    variants = [each for each in offered if each != NULL]
    if not variants:
        return schema
    rest = {name: value for name, value in schema.items() if name != "anyOf"}
    return variants[0] | rest if len(variants) == 1 else rest | {"anyOf": variants}
