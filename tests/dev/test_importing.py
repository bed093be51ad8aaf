"""`python -m dev import`: a file of any size becomes requests of the size that Vercel takes."""

import asyncio
import json
from functools import partial
from pathlib import Path

import psycopg
import pytest

import dev.importing
from dev.importing import main, pieces_of
from dev.terminal import CannotStart
from tests.support.imports import TEXTS, chatgpt_of, lines_of
from tests.support.imports import open_webui as open_webui_chat
from tests.support.product import Parley, token_of

STORED = "SELECT content FROM chat_messages WHERE user_id = 'ann' ORDER BY id"


@pytest.fixture(autouse=True)
def token(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let Ann import."""
    monkeypatch.setenv("PARLEY_TOKEN", token_of("ann"))


async def run(parley: Parley, *files: Path) -> None:
    """Import files as Ann."""
    assert await asyncio.to_thread(main, [parley.base_url, *map(str, files)]) == 0


async def test_a_file_in_many_pieces_and_a_conversation_larger_than_a_piece_arrive_whole(
    parley: Parley,
    database: psycopg.Connection,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(dev.importing, "MARGIN_BYTES", 500)
    monkeypatch.setattr(dev.importing, "pieces_of", partial(pieces_of, max_bytes=4000))
    texts = [f"text {n}" for n in range(60)]
    small = [chatgpt_of(TEXTS, conversation_id=f"c{n}") for n in range(5)]
    file = tmp_path / "conversations.json"
    # A single turn that is larger than a request: it is left out, and said so.
    entries = [*small, chatgpt_of(texts), chatgpt_of(["x" * 5000], conversation_id="huge")]
    file.write_text(json.dumps(entries), encoding="utf-8")

    for new, there in ((80, 0), (0, 80)):
        await run(parley, file)

        told = capsys.readouterr().out
        assert f"{new} messages are new, and {there} were there already." in told
        assert "Left out, 1 of the kind message: It is longer than a request may be." in told
    stored = [content for (content,) in database.execute(STORED).fetchall()]
    assert stored == [*TEXTS * 5, *texts]


async def test_each_format_is_told_by_its_content(
    parley: Parley, database: psycopg.Connection, tmp_path: Path
) -> None:
    await parley.say("Hello!", user="bob")
    export = await parley.client.get(
        "/api/conversations?export=true", headers=parley.headers_of("bob", "")
    )
    files = {
        "export.jsonl": export.content,
        "chats.json": json.dumps([open_webui_chat(("user", "Q"), ("assistant", "A"))]).encode(),
        "chatgpt.jsonl": lines_of([chatgpt_of()]),
    }
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)

    await run(parley, *(tmp_path / name for name in files))

    stored = [content for (content,) in database.execute(STORED).fetchall()]
    assert stored == ["Hello!", "Hello, how are you?", "Q", "A", *TEXTS]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("[{", "cannot be read"),
        ('{"a": 1}', "is no export of Parley, ChatGPT or open-webui"),
        (None, "cannot be read"),
    ],
)
def test_a_file_that_is_no_export_is_named(tmp_path: Path, content: str | None, said: str) -> None:
    file = tmp_path / "file.json"
    if content is not None:
        file.write_text(content, encoding="utf-8")

    with pytest.raises(CannotStart, match=said):
        main(["http://127.0.0.1:1", str(file)])


@pytest.mark.parametrize(
    ("token", "arguments"), [("", ["http://x", "f"]), ("t", ["http://x"]), ("t", ["file:///", "f"])]
)
def test_without_a_token_a_file_or_an_address_it_says_how_to_call_it(
    monkeypatch: pytest.MonkeyPatch, token: str, arguments: list[str]
) -> None:
    monkeypatch.setenv("PARLEY_TOKEN", token)

    with pytest.raises(CannotStart, match="Usage: PARLEY_TOKEN="):
        main(arguments)


async def test_a_refusal_is_told_with_its_reason(
    parley: Parley, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "conversations.json"
    file.write_text(json.dumps([chatgpt_of()]), encoding="utf-8")
    monkeypatch.setenv("PARLEY_TOKEN", "no token")

    with pytest.raises(CannotStart, match=r"refused a piece \(401\): .*token"):
        await run(parley, file)
