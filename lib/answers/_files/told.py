"""Files of messages as the model is told them: whole, or by name and beginning."""

from lib.files.images import READERS
from lib.files.kinds import PDF, text_in
from lib.model.request import Document, Image

type Told = str | Image | Document


def told_text(filename: str | None, data: bytes, size: int, max_chars: int) -> str:
    """Return a text file under its name, cut after a number of characters.

    Args:
        filename: None: it has no name.
        data: the file, or its beginning of at least `text_end(max_chars)` bytes.
        size: of the whole file, in bytes.
        max_chars: characters of the text that are told; the model learns that there are more.
    """
    text = text_in(data, is_cut=len(data) < size)
    told = text[:max_chars]
    tag = "file"
    while f"</{tag}>" in told:
        # Nothing in the text may look like its end.
        tag += "_"
    name = f' name="{_quoted(filename)}"' if filename else ""
    fenced = f"<{tag}{name}>\n{told}\n</{tag}>"
    if len(text) > max_chars or len(data) < size:
        fenced += f"\n[Cut: these are the first {len(told)} characters of {size} bytes.]"
    return fenced


def told_whole(media_type: str, filename: str | None, url: str) -> Image | Document:
    """Return an image or a PDF document, which the provider reads itself.

    Args:
        media_type: of the file.
        filename: None: it has no name.
        url: its bytes as a `data:` URL; of an image its address, too.
    """
    return Document(filename or "document.pdf", url) if media_type == PDF else Image(url)


def told_by_name(media_type: str, filename: str | None) -> str:
    """Return the words in the place of a file that is left out."""
    kind = "PDF" if media_type == PDF else "image" if media_type in READERS else "file"
    return f"[{kind}: {_quoted(filename)}]" if filename else f"[{kind}]"


def shares(sizes: list[int], most: int) -> list[int]:
    """Divide a number of characters among texts: short ones get all, and long ones the same.

    Args:
        sizes: of the texts, in characters.
        most: of them together.
    """
    left, share = most, dict[int, int]()
    by_size = sorted(range(len(sizes)), key=lambda place: sizes[place])
    for number, place in enumerate(by_size):
        share[place] = min(sizes[place], left // (len(sizes) - number))
        left -= share[place]
    return [share[place] for place in range(len(sizes))]


def _quoted(filename: str) -> str:
    """Return a file's name without the marks that stand around it."""
    return filename.translate(str.maketrans('"<>[]', "'()()"))
