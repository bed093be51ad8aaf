"""The documents name files, functions and rooms that exist."""

import ast
import re
from dataclasses import fields
from io import StringIO
from pathlib import Path

import pytest
from dotenv import dotenv_values

from lib.settings import Settings, read_settings
from tests.support.product import ROOT
from tests.support.prose import FENCE
from tests.test_rooms import FOR_ALL, ROOMS

DOCUMENTS = sorted(
    str(path.relative_to(ROOT))
    for pattern in ("*.md", "docs/**/*.md", "bench/README.md", "examples/nextjs/README.md")
    for path in ROOT.glob(pattern)
)
FOLDERS = ("api", "bench", "dev", "docs", "examples", "lib", "public", "sql", "tests")
LINK = re.compile(r"\]\((?!https?:|mailto:)([^)#]*)(?:#([^)]*))?\)")
PATH = re.compile(rf"`((?:{'|'.join(FOLDERS)})/[^`\s]*)`")
NAMED_FUNCTION = re.compile(r"`((?:api|lib)/[^`]+\.py)` \| `(\w+)`")
ARCHITECTURE = ROOT / "docs" / "architecture.md"
PROVIDERS = (ROOT / "docs" / "providers.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"^```env\n(.*?)^```", PROVIDERS, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("document", DOCUMENTS)
def test_each_link_of_a_document_leads_to_a_file_and_a_heading(document: str) -> None:
    here = ROOT / document
    broken: list[str] = []
    for path, anchor in LINK.findall(_prose(here)):
        target = (here.parent / path) if path else here
        is_found = target.exists() and (not anchor or anchor in _anchors(target))
        broken += [] if is_found else [f"{path}#{anchor}"]

    assert broken == []


@pytest.mark.parametrize("document", DOCUMENTS)
def test_each_path_that_a_document_names_exists(document: str) -> None:
    named = PATH.findall(_prose(ROOT / document))

    # A room stands for any of them in lib/<room>/.
    concrete = [path for path in named if "<" not in path]
    assert [path for path in concrete if not _exists(path)] == []


def test_each_function_in_the_walk_of_a_message_is_defined_in_its_file() -> None:
    named = NAMED_FUNCTION.findall(ARCHITECTURE.read_text(encoding="utf-8"))

    assert len(named) > 15
    assert [(path, name) for path, name in named if name not in _definitions(ROOT / path)] == []


def test_the_table_of_rooms_is_the_rule_of_the_imports() -> None:
    _, _, text = ARCHITECTURE.read_text(encoding="utf-8").partition("| may import |")
    text = text.partition("\n\n")[0]
    rows = re.findall(r"^\| `(\w+)` \| [^|]+ \| ([a-z ]*)\|$", text, re.MULTILINE)

    expected = {room: set(named.split()) for room, named in ROOMS.items() if room not in FOR_ALL}
    assert {room: set(named.split()) for room, named in rows} == expected


def test_the_drawing_of_the_rooms_shows_every_way_that_an_import_may_go() -> None:
    text = ARCHITECTURE.read_text(encoding="utf-8")
    drawn = re.findall(r"^    (\w+)(?:\[.*\])? --> (\w+)$", text, re.MULTILINE)
    arrows = [(above, below) for above, below in drawn if above in ROOMS]

    # An arrow is an import that is allowed; the others follow from several arrows.
    assert [(above, below) for above, below in arrows if below not in ROOMS[above].split()] == []
    below_of: dict[str, set[str]] = {}
    for room in reversed(ROOMS):
        direct = {below for above, below in arrows if above == room}
        below_of[room] = direct.union(*(below_of[below] for below in direct))
    for room, named in ROOMS.items():
        assert set(named.split()) <= below_of[room], room


def test_each_decision_is_in_the_list_of_decisions() -> None:
    folder = ROOT / "docs" / "decisions"
    listed = re.findall(r"\]\((\d[^)]*\.md)\)", (folder / "README.md").read_text(encoding="utf-8"))

    pages = [path.name for path in folder.glob("[0-9]*.md")]
    assert listed == sorted(pages, key=lambda page: int(page.partition("-")[0]))


@pytest.mark.parametrize("example", EXAMPLES)
def test_each_example_of_a_provider_is_read_by_the_settings(example: str) -> None:
    variables = {
        name: value or "" for name, value in dotenv_values(stream=StringIO(example)).items()
    }

    chosen = read_settings(variables | {"DATABASE_URL": "postgresql://x@127.0.0.1/x"})

    assert variables.keys() <= {each.name.upper() for each in fields(Settings)}
    assert chosen.openai_api_key


def test_each_provider_has_an_example() -> None:
    sections = re.split(r"^## (.+)$", PROVIDERS, flags=re.MULTILINE)[1:]

    without = [
        title
        for title, section in zip(sections[::2], sections[1::2], strict=True)
        if "```env" not in section
    ]
    assert without == ["For all of them"]


def _prose(document: Path) -> str:
    """Return a document without its blocks of code."""
    return FENCE.sub("", document.read_text(encoding="utf-8"))


def _exists(path: str) -> bool:
    return (ROOT / path).exists() or any(ROOT.glob(path))


def _anchors(document: Path) -> set[str]:
    """Return the anchors that GitHub gives to a document's headings."""
    headings = re.findall(r"^#+ (.+)$", _prose(document), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading).lower().replace(" ", "-") for heading in headings}


def _definitions(path: Path) -> set[str]:
    """Return the functions and classes that a file defines, and the statements that it declares."""
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    source = path.read_text(encoding="utf-8")
    statements = set(re.findall(r"Statement\(\s*\"\w+/(\w+)\"", source))
    return statements | {
        node.name for node in ast.walk(ast.parse(source)) if isinstance(node, kinds)
    }
