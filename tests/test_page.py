"""What the playground page takes for granted: of the server, and of itself."""

import json
import re

import pytest

from dev.vendor import IMPORT_MAP, integrity_of
from lib.answers._prompt import BEHAVIORS, TONES
from lib.conversations.message import COLUMNS
from lib.streams.stream import KEEP_ALIVE_SECONDS
from tests.support.product import ROOT

PAGE = (ROOT / "public" / "index.html").read_text()


def test_the_page_asks_for_the_policy_that_the_edge_sends() -> None:
    [own] = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]+)"', PAGE)
    rules = json.loads((ROOT / "vercel.json").read_text())["headers"]
    [sent] = [
        header["value"]
        for rule in rules
        for header in rule["headers"]
        if rule["source"] == "/((?!api/).*)" and header["key"] == "Content-Security-Policy"
    ]

    # A page cannot ask for that itself (CSP 3, 3.3).
    assert own == sent.replace(" frame-ancestors 'none';", "")


def test_the_import_map_names_each_library_with_its_hash() -> None:
    found = IMPORT_MAP.search(PAGE)
    assert found
    import_map = json.loads(found[0].removeprefix(found[1]).removesuffix(found[2]))
    files = sorted((ROOT / "public" / "vendor").glob("*.js"))

    assert sorted(import_map["imports"].values()) == [f"/vendor/{file.name}" for file in files]
    assert import_map["integrity"] == {f"/vendor/{file.name}": integrity_of(file) for file in files}


def test_each_library_has_its_licence_beside_it() -> None:
    files = (ROOT / "public" / "vendor").glob("*.js")

    assert [file for file in files if not file.with_suffix(".LICENSE.txt").read_text()] == []


def test_the_script_finds_each_element_that_it_names() -> None:
    named = set(re.findall(r"(?:\$|\bon)\('([\w-]+)'", PAGE))

    assert named
    assert named <= set(re.findall(r'\bid="([\w-]+)"', PAGE))


def test_the_page_offers_the_styles_that_there_are() -> None:
    offered = {
        name: re.findall(r'value="(\w+)"', options)
        for name, options in re.findall(r'<select id="(\w+)".*?>(.*?)</select>', PAGE, re.DOTALL)
    }

    # Models and efforts are the operator's: GET /api/models tells them.
    of_server: dict[str, list[str]] = {"model": [], "effort": []}
    styles = {"tone": ["auto", *TONES], "behavior": ["auto", *BEHAVIORS]}
    assert offered == styles | of_server


def test_the_details_of_an_answer_are_columns_of_history() -> None:
    [listed] = re.findall(r"const DETAILS = \[(.*?)\];", PAGE, re.DOTALL)
    names = re.findall(r"'(\w+)'", listed)

    assert names
    assert set(names) <= set(COLUMNS)


def test_the_page_reads_each_part_about_a_tool_call() -> None:
    stream = (ROOT / "lib" / "streams" / "parts.py").read_text()
    sent = set(re.findall(r'"type": "(tool-[a-z-]+)"', stream))

    assert sent
    assert sent == set(re.findall(r"case '(tool-[a-z-]+)':", PAGE))


@pytest.mark.parametrize("kind", ["start", "text-delta", "finish", "abort", "error"])
def test_the_page_reads_the_parts_that_an_answer_begins_with_is_made_of_and_ends_with(
    kind: str,
) -> None:
    assert f"case '{kind}':" in PAGE


def test_the_page_asks_functions_that_there_are() -> None:
    paths = {
        re.sub(r"\$\{.*\}", "[id]", path).removeprefix("/")
        for path in re.findall(r"[`'](/api/(?:\$\{[^}]+\}|[\w/])+)", PAGE)
    }

    assert "api/chat/[id]/stream" in paths
    assert [path for path in sorted(paths) if not (ROOT / f"{path}.py").is_file()] == []


def test_the_page_waits_longer_than_the_server_is_silent() -> None:
    [milliseconds] = re.findall(r"SILENCE_MS = ([\d_]+);", PAGE)

    assert int(milliseconds) > 2000 * KEEP_ALIVE_SECONDS
