"""The kind of a file: its media type and its name tell it, and its bytes have to agree."""

import codecs

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib.files.kinds import FileType, Kind, check_file, clean_name, file_type, text_in
from tests.support.documents import PDF
from tests.support.images import IMAGES

TEXT = FileType("text", "text/plain")


@pytest.mark.parametrize(
    ("media_type", "filename", "kind", "stored"),
    [
        # As Chrome, Firefox and Safari send them.
        ("image/png", "cat.png", "image", "image/png"),
        ("application/pdf", "report.pdf", "pdf", "application/pdf"),
        ("text/plain", "notes.txt", "text", "text/plain"),
        ("text/csv", "numbers.csv", "text", "text/csv"),
        ("application/vnd.ms-excel", "numbers.csv", "text", "text/csv"),
        ("application/json", "data.json", "text", "application/json"),
        ("text/html", "page.html", "text", "text/html"),
        ("image/svg+xml", "logo.svg", "text", "image/svg+xml"),
        ("text/x-python", "main.py", "text", "text/x-python"),
        ("text/x-python-script", "main.py", "text", "text/x-python-script"),
        ("video/mp2t", "main.ts", "text", "text/plain"),
        ("application/x-yaml", "config.yaml", "text", "application/x-yaml"),
        ("application/octet-stream", "config.yaml", "text", "application/yaml"),
        ("", "README.md", "text", "text/markdown"),
        ("", "main.rs", "text", "text/plain"),
        ("", "Cargo.toml", "text", "application/toml"),
        ("", "Dockerfile", "text", "text/plain"),
        ("", ".gitignore", "text", "text/plain"),
        ("", "report.PDF", "pdf", "application/pdf"),
        ("application/octet-stream", "cat.JPG", "image", "image/jpeg"),
        # Without a name, or with parameters.
        ("text/x-go", None, "text", "text/x-go"),
        ("Text/Plain; charset=UTF-8", None, "text", "text/plain"),
        ("application/ld+json", None, "text", "application/ld+json"),
    ],
)
def test_a_media_type_or_else_the_ending_of_the_name_tells_the_kind(
    media_type: str, filename: str | None, kind: Kind, stored: str
) -> None:
    assert file_type(media_type, filename) == FileType(kind, stored)


@pytest.mark.parametrize(
    ("media_type", "filename"),
    [
        ("", None),
        ("", "data"),
        ("", "program.exe"),
        ("application/octet-stream", "archive.tar.gz"),
        ("application/zip", "report.pdf"),
        ("video/mp4", "cat.png"),
        ("audio/mpeg", "song.mp3"),
        ("image/heic", "photo.heic"),
        ("image/bmp", None),
        ("application/vnd.openxmlformats-officedocument.wordprocessingml.document", "a.docx"),
        ("text/plain\r\nx-header: 1", None),
        ("text/", None),
    ],
)
def test_other_files_are_of_no_kind(media_type: str, filename: str | None) -> None:
    assert file_type(media_type, filename) is None


@pytest.mark.parametrize(
    ("data", "text"),
    [
        ("a;b\nä;€😀".encode(), "a;b\nä;€😀"),
        (codecs.BOM_UTF8 + "ä".encode(), "ä"),
        ("ä😀".encode("utf-16"), "ä😀"),
        (codecs.BOM_UTF16_BE + "ä😀".encode("utf-16-be"), "ä😀"),
        ("ä😀".encode("utf-32"), "ä😀"),
        (b"", ""),
    ],
    ids=["UTF-8", "UTF-8 with mark", "UTF-16", "UTF-16 BE", "UTF-32", "empty"],
)
def test_text_is_utf_8_or_what_its_byte_order_mark_says(data: bytes, text: str) -> None:
    assert text_in(data) == text
    check_file(data, TEXT)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        ("grün".encode("latin-1"), "text in UTF-8"),
        ("grün".encode("utf-16-le"), "text in UTF-8"),
        (b"\x7fELF\x02\x01\x01\x00", "NUL"),
        (b"PK\x03\x04\x14\x00", "NUL"),
        (IMAGES["PNG"][1], "text in UTF-8"),
        ("half 😀".encode()[:-1], "text in UTF-8"),
        (codecs.BOM_UTF16_LE + b"a", "text in UTF-8"),
        (codecs.BOM_UTF16_LE + "a\0b".encode("utf-16-le"), "NUL"),
    ],
)
def test_bytes_that_are_no_text_are_refused(data: bytes, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        check_file(data, TEXT)


def test_a_pdf_begins_as_a_pdf() -> None:
    check_file(PDF, FileType("pdf", "application/pdf"))

    with pytest.raises(ValueError, match="begins like no PDF"):
        check_file(b"\n" + PDF, FileType("pdf", "application/pdf"))


@given(st.text(), st.integers(0, 40))
def test_the_beginning_of_a_text_is_whole_characters(text: str, count: int) -> None:
    text = text.replace("\0", "").removeprefix("\ufeff")
    data = text.encode("utf-8", "replace")

    beginning = text_in(data[:count], is_cut=True)

    assert data.decode().startswith(beginning)
    assert len(data[:count]) - len(beginning.encode()) < 4


@pytest.mark.parametrize(
    ("name", "clean"),
    [
        ("Dog 🐕.png", "Dog 🐕.png"),
        (r"C:\fakepath\notes.txt", "notes.txt"),
        ("../../etc/passwd", "passwd"),
        ("a\r\nb\t.txt", "ab.txt"),
        ("invoice\u202efdp.exe", "invoicefdp.exe"),
        ("\u061ca\u200bb\u00adc\ufeff\U000e0041.txt", "abc.txt"),
        ("👩\u200d👧.png", "👩\u200d👧.png"),
        (" notes.txt ", "notes.txt"),
        ("folder/", ""),
    ],
)
def test_a_name_has_no_folder_and_no_character_that_is_not_seen(name: str, clean: str) -> None:
    assert clean_name(name) == clean
