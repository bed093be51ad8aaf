"""The parts of a user's message, in the order in which the page sent them: texts, files, data.

The columns `content` and `files` tell them where a message is one text, and then files. Where it is
not, the column `steps` has their order, and the data.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from lib.conversations.parts import Data, Text
from lib.conversations.ui_parts import data_part

SEPARATOR = "\n"


@dataclass(frozen=True, slots=True)
class FilePlace:
    """The place of the next file of the column `files`."""


type UserPart = Text | FilePlace | Data
FILE = FilePlace()


def stored_user_parts(parts: Sequence[UserPart]) -> list[list[dict[str, Any]]] | None:
    """Return the column `steps` of a user's message; None: `content` and `files` tell its parts."""
    kinds = [type(part) for part in parts]
    first_file = kinds.index(FilePlace) if FilePlace in kinds else len(kinds)
    if Data not in kinds and Text not in kinds[first_file:]:
        return None
    stored: list[dict[str, Any]] = []
    for part in parts:
        match part:
            case Text(text) if stored and stored[-1]["type"] == "text":
                # Texts side by side are one text.
                stored[-1]["chars"] += len(SEPARATOR) + len(text)
            case Text(text):
                stored.append({"type": "text", "chars": len(text)})
            case FilePlace():
                stored.append({"type": "file"})
            case Data():
                fields = {name: value for name, value in asdict(part).items() if value is not None}
                stored.append({"type": "data"} | fields)
    return [stored]


def user_ui_parts(
    content: str, files: Iterator[dict[str, Any]], steps: list[list[dict[str, Any]]] | None
) -> Iterator[dict[str, Any]]:
    """Yield the parts of a user's message as those of an AI SDK `UIMessage`, as the page sent them.

    Args:
        content: the column.
        files: the parts of the files, in their order.
        steps: the column.
    """
    if steps is None:
        if content:
            yield {"type": "text", "text": content}
        yield from files
        return
    start = 0
    for part in steps[0]:
        match part["type"]:
            case "text":
                # An empty text is none, but has its separator in the content.
                end = start + part["chars"]
                if text := content[start:end]:
                    yield {"type": "text", "text": text}
                start = end + len(SEPARATOR)
            case "file":
                yield next(files)
            case _:
                yield data_part(_data(part))


def page_data(steps: list[list[dict[str, Any]]] | None) -> list[Data]:
    """Return the data in a user's message with this column `steps`."""
    return [_data(part) for parts in steps or [] for part in parts if part["type"] == "data"]


def _data(part: dict[str, Any]) -> Data:
    return Data(name=part["name"], data=part.get("data"), id=part.get("id"))
