"""MODELS: the list of models, and all mistakes in it at once."""

import json
from typing import Any

import pytest

import lib.models
from lib.prices import Prices
from lib.settings import Settings, SettingsError, read_settings

LEAST = {"DATABASE_URL": "postgresql://x@127.0.0.1/x", "OPENAI_API_KEY": "sk-of-openai"}
OTHER = {"name": "Other", "base_url": "https://other.example/v1", "api_key": "OTHER_API_KEY"}


def read(*entries: Any, **variables: str) -> Settings:
    """Read settings with these entries of MODELS."""
    return read_settings(LEAST | {"MODELS": json.dumps(entries)} | variables)


def mistakes(*entries: Any, **variables: str) -> list[str]:
    """Return the mistakes of these entries, without the words that introduce each."""
    with pytest.raises(SettingsError) as error:
        read(*entries, **variables)
    return [line.strip(" -") for line in str(error.value).splitlines()[1:]]


def test_an_entry_has_its_own_fields_and_the_variables_for_those_that_it_leaves_out() -> None:
    settings = read(
        {"name": "Fast", "prices": {"input": 1, "output": 2}, "messages_per_day": 5},
        OTHER | {"model": "o-1", "tools": False, "files": ["pdf"], "web_search": True},
        OPENAI_MODEL="m-1",
        OTHER_API_KEY="sk-other",
    )

    fast, other = settings.all_models
    assert (fast.model, fast.base_url, fast.api_key) == (
        "m-1", "https://api.openai.com/v1", "sk-of-openai",
    )  # fmt: skip
    assert (fast.prices, fast.messages_per_day) == (Prices(1, 2, 1), 5)
    assert (fast.dialect, other.dialect) == ("responses", "chat")
    assert (other.model, other.api_key, other.key_setting) == ("o-1", "sk-other", "OTHER_API_KEY")
    assert (other.tools, other.files, other.web_search) == (False, ("pdf",), True)


def test_without_the_list_the_variables_are_a_list_of_one() -> None:
    [model] = read_settings(LEAST | {"OPENAI_MODEL": "m-1", "OPENAI_FILES": "none"}).all_models

    assert (model.name, model.model, model.files, model.setting) == (
        "m-1", "m-1", (), "OPENAI_MODEL",
    )  # fmt: skip


def test_the_list_may_be_a_file_at_the_root(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lib.models, "ROOT", tmp_path)
    (tmp_path / "models.json").write_text(json.dumps([{"name": "Fast"}]), encoding="utf-8")

    settings = read_settings(LEAST | {"MODELS": "models.json"})

    assert [model.name for model in settings.models] == ["Fast"]


@pytest.mark.parametrize("value", ["nowhere.json", "[]", "[{]", '{"name": "x"}', "[1e999]"])
def test_a_value_that_is_no_list_stops_the_start(value: str) -> None:
    with pytest.raises(SettingsError, match="MODELS"):
        read_settings(LEAST | {"MODELS": value})


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({}, "name is missing"),
        ({"name": ""}, "name must be"),
        ({"name": "x" * 65}, "name must have 1 to 64 characters"),
        ({"temprature": 1}, "temprature is no field that Parley knows"),
        ({"temperature": 3}, "temperature must be"),
        ({"base_url": "https://other.example/v1"}, "api_key is missing"),
        ({"base_url": "http://other.example/v1", "api_key": "OTHER_API_KEY"}, "http://"),
        ({"api_key": "sk-0123456789abcdef"}, "must be the name of the variable"),
        ({"api_key": "NO_SUCH_KEY"}, "names the variable NO_SUCH_KEY, which is not set"),
        ({"stand_in": "Nobody"}, "stand_in must be the name of an entry"),
        ({"stand_in": "M"}, "stand_in leads back to the entry itself"),
        ({"prices": {"input": 1}}, "prices must be like"),
        ({"messages_per_day": -1}, "messages_per_day must be a whole number"),
        ({"tools": "yes"}, "tools must be true or false"),
        ({"files": ["videos"]}, "files must be"),
        ({"for": "friends"}, "for must be all, guests, users"),
        ({"for": {"claim": "plan"}}, "for must be all, guests, users"),
        ({"reasoning_efforts": "high"}, "reasoning_efforts must be a list of texts"),
    ],
    ids=lambda value: json.dumps(value)[:40] if isinstance(value, dict) else "",
)
def test_a_wrong_entry_stops_the_start_with_its_name_and_the_field(
    entry: dict[str, Any], words: str
) -> None:
    named = {"name": "M"} | entry if entry else entry
    [mistake] = mistakes(named, OTHER_API_KEY="sk-other")

    assert "MODELS, entry" in mistake
    assert words in mistake
    assert "sk-0123456789abcdef" not in mistake


def test_all_mistakes_are_told_at_once() -> None:
    told = mistakes(
        {"name": "A", "tools": 1, "x": 1}, {"name": "A"}, {"name": "B", "stand_in": "C"}
    )

    assert len(told) == 4
    assert {line.split(":")[0] for line in told} == {"MODELS, entry A", "MODELS, entry B"}


def test_an_entry_without_a_key_stops_the_start() -> None:
    variables = {name: value for name, value in LEAST.items() if name != "OPENAI_API_KEY"}

    with pytest.raises(SettingsError, match=r"entry Fast: .*OPENAI_API_KEY"):
        read_settings(variables | {"MODELS": json.dumps([{"name": "Fast"}])})


def test_titles_are_made_by_the_variables_model_or_the_cheapest_or_the_default_one() -> None:
    dear = {"name": "Dear", "default": True, "prices": {"input": 5, "output": 9}}
    cheap = {"name": "Cheap", "prices": {"input": 1, "output": 2}}
    plain = [{"name": "One"}, {"name": "Two", "default": True}]

    made_by = [
        read(dear, cheap).default_model("title"),
        read(*plain).default_model("title"),
        read(dear, cheap, OPENAI_TITLE_MODEL="Dear").default_model("title"),
        read(dear, cheap, OPENAI_TITLE_MODEL="tiny-1").default_model("title"),
    ]

    assert [model.name for model in made_by] == ["Cheap", "Two", "Dear", "tiny-1"]
