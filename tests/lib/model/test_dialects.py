"""The dialect of the API: by the setting, or by the provider's host."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

import lib.settings
from lib.model._dialects import CHAT_COMPLETIONS, RESPONSES, Dialect, dialect
from tests.support.models import a_model
from tests.support.product import ROOT

IMPORTING = """
import json, sys
from lib.answers.begin import answer_maker

def imported():
    names = ("openai", "openai.lib._client_auth", "openai.resources")
    return [name for name in names if name in sys.modules]

before = imported()
answer_maker()
print(json.dumps([before, imported()]))
"""


@pytest.fixture(autouse=True)
def settings(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Set the one variable that Parley needs, and forget the settings after the test."""
    monkeypatch.setenv("DATABASE_URL", "postgresql://nobody@127.0.0.1:1/nothing")
    lib.settings.settings.cache_clear()
    yield
    lib.settings.settings.cache_clear()


@pytest.mark.parametrize(
    ("api", "base_url", "spoken"),
    [
        ("", "", RESPONSES),
        ("auto", "https://api.openai.com/v1", RESPONSES),
        ("auto", "https://API.OpenAI.com:443/v1", RESPONSES),
        ("auto", "https://openrouter.ai/api/v1", CHAT_COMPLETIONS),
        ("auto", "https://api.openai.com.example.app/v1", CHAT_COMPLETIONS),
        ("auto", "http://127.0.0.1:11434/v1", CHAT_COMPLETIONS),
        ("chat", "https://api.openai.com/v1", CHAT_COMPLETIONS),
        ("Responses", "http://127.0.0.1:8000/v1", RESPONSES),
    ],
)
def test_openai_is_asked_by_responses_and_others_by_chat_unless_it_is_set(
    monkeypatch: pytest.MonkeyPatch, api: str, base_url: str, spoken: Dialect
) -> None:
    monkeypatch.setenv("OPENAI_API", api)
    monkeypatch.setenv("OPENAI_BASE_URL", base_url)

    assert dialect(a_model()) is spoken


@pytest.mark.parametrize("api", ["chat", "responses"])
def test_the_first_message_imports_the_client_of_openai_but_not_its_endpoints(api: str) -> None:
    environment = os.environ | {
        "DATABASE_URL": "postgresql://nobody@127.0.0.1:1/nothing",
        "OPENAI_API_KEY": "sk-test",
        "OPENAI_API": api,
    }

    done = subprocess.run(
        [sys.executable, "-c", IMPORTING],
        check=True,
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=environment,
    )

    before, after = json.loads(done.stdout)
    assert before == []
    assert after == ["openai", "openai.lib._client_auth"]
