"""Schemas in the form that the strictest provider takes."""

import json
from collections.abc import Iterator
from datetime import datetime
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, Field

from lib.answers._analysis import Analysis
from lib.model._refusals.schemas import bare_schema, plain_schema
from lib.tools import Tool, tools

# Gemini, Anthropic, OpenAI and llama.cpp take each of these.
KEYWORDS = {"type", "properties", "required", "items", "enum", "description", "anyOf", "format"} | {
    "additionalProperties"
}


class Place(BaseModel):
    """A part of another model."""

    name: str = Field(max_length=50, pattern="^[a-z]+$")


class Everything(BaseModel):
    """Arguments with all that pydantic writes into a schema."""

    title: str = Field(min_length=1, max_length=200, description="What is to be done")
    id: int = Field(ge=0, lt=2**63)
    weight: float = Field(gt=0, lt=10)
    place: Place
    places: list[Place] = Field(default=[], max_length=3)
    at: datetime | None = None
    kind: Literal["a"] = "a"
    either: int | str | None = None
    words: dict[str, Annotated[int, Field(lt=5)]] = {}


def schemas_in(schema: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield a schema and all schemas in it."""
    yield schema
    values = schema.get("additionalProperties")
    inner = [*schema.get("properties", {}).values(), *schema.get("anyOf", [])]
    inner += [schema["items"]] if "items" in schema else []
    inner += [values] if isinstance(values, dict) else []
    for each in inner:
        yield from schemas_in(each)


@pytest.mark.parametrize("tool", tools().values(), ids=tools().keys())
def test_the_schemas_of_all_tools_are_plain(tool: Tool) -> None:
    plain = plain_schema(tool.parameters())

    assert {keyword for each in schemas_in(plain) for keyword in each} <= KEYWORDS
    assert set(plain["properties"]) == set(tool.arguments.model_fields)
    assert all(each["type"] != "null" for each in schemas_in(plain))


def test_the_schema_of_the_analysis_keeps_its_choices() -> None:
    plain = plain_schema(Analysis.model_json_schema() | {"additionalProperties": False})

    assert plain["properties"]["tone"]["enum"] == ["casual", "technical"]
    assert plain["additionalProperties"] is False
    assert set(plain["required"]) == set(Analysis.model_fields)


def test_a_plain_schema_says_in_words_what_its_keywords_cannot() -> None:
    properties = plain_schema(Everything.model_json_schema())["properties"]
    place = {"type": "string", "description": "(at most 50 characters)"}
    place = {"type": "object", "properties": {"name": place}, "required": ["name"]}
    place["description"] = "A part of another model."

    assert properties == {
        "title": {
            "type": "string",
            "description": "What is to be done (not empty, at most 200 characters)",
        },
        "id": {"type": "integer", "description": "(at least 0)"},
        "weight": {"type": "number", "description": "(more than 0, less than 10)"},
        "place": place,
        "places": {"type": "array", "description": "(at most 3 items)", "items": place},
        "at": {"type": "string", "format": "date-time"},
        "kind": {"type": "string", "enum": ["a"]},
        "either": {"anyOf": [{"type": "integer"}, {"type": "string"}]},
        "words": {
            "type": "object",
            "properties": {},
            "additionalProperties": {"type": "integer", "description": "(less than 5)"},
        },
    }


def test_a_schema_that_holds_itself_ends() -> None:
    node: dict[str, Any] = {"type": "object", "properties": {"next": {"$ref": "#/$defs/Node"}}}

    plain = plain_schema({"$ref": "#/$defs/Node", "$defs": {"Node": node}})

    assert json.dumps(plain).count("next") == 10


def test_a_bare_schema_has_types_and_names_alone() -> None:
    schema = plain_schema(Everything.model_json_schema())
    choices = {"type": "integer", "enum": [1, 2]}

    bare = bare_schema(schema | {"properties": schema["properties"] | {"choice": choices}})

    keywords = {keyword for each in schemas_in(bare) for keyword in each}
    assert keywords == {"type", "properties", "required", "items", "enum", "description"}
    assert bare["properties"]["choice"] == {"type": "integer"}
    assert bare["properties"]["either"] == {"type": "integer"}
