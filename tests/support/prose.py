"""The prose of the repository, and how often it speaks of "who" and "what" instead of a noun.

    python -m tests.support.prose lib/answers sql README.md   each place, and the rate

A sentence whose subject is *who* or *what* must be read twice; a noun of the product says it at
once.
"""

import ast
import io
import re
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path

WORD = re.compile(r"[A-Za-z][A-Za-z'-]*")
RIDDLE = re.compile(r"\b(?:who|whoever|what|whatever)\b", re.IGNORECASE)
FENCE = re.compile(r"^(```|~~~).*?^\1", re.MULTILINE | re.DOTALL)


def prose_of(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the lines of prose of a file, with their numbers.

    Of Python its comments and docstrings, of SQL its comments and the texts of COMMENT ON, of
    Markdown everything but its code blocks.
    """
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".py":
        yield from _comments(text)
        yield from _docstrings(text)
    elif path.suffix == ".sql":
        for number, line in enumerate(text.splitlines(), 1):
            comment = line.partition("--")[2] or re.sub(r"^COMMENT ON [^']*|^[^']*$", "", line)
            if comment:
                yield number, comment
    else:
        blanked = FENCE.sub(lambda fence: "\n" * fence[0].count("\n"), text)
        yield from enumerate(blanked.splitlines(), 1)


def riddles_per_1000_words(paths: list[Path]) -> float:
    """Return how many words in 1,000 of the prose of these files are who or what."""
    lines = [line for path in paths for _, line in prose_of(path)]
    words = sum(len(WORD.findall(line)) for line in lines)
    return 1000 * sum(len(RIDDLE.findall(line)) for line in lines) / max(words, 1)


def prose_files(*places: Path) -> list[Path]:
    """Return the files of Python, SQL and Markdown in folders, and the files named themselves."""
    found = [[place] if place.is_file() else sorted(place.rglob("*")) for place in places]
    return [each for files in found for each in files if each.suffix in {".py", ".sql", ".md"}]


def _comments(text: str) -> Iterator[tuple[int, str]]:
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string


def _docstrings(text: str) -> Iterator[tuple[int, str]]:
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    for node in ast.walk(ast.parse(text)):
        docstring = ast.get_docstring(node, clean=False) if isinstance(node, kinds) else None
        if isinstance(node, kinds) and docstring is not None:
            yield from enumerate(docstring.splitlines(), node.body[0].lineno)


def _main(places: list[str]) -> None:
    files = prose_files(*map(Path, places))
    for path in files:
        for number, line in prose_of(path):
            if RIDDLE.search(line):
                sys.stdout.write(f"{path}:{number}: {line.strip()}\n")
    sys.stdout.write(f"{riddles_per_1000_words(files):.1f} in 1,000 words\n")


if __name__ == "__main__":
    _main(sys.argv[1:])
