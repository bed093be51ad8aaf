"""Kinds of files: images, PDF documents and text, told by the media type, the name and the bytes.

A browser knows the media type of few files of code: it names `.md` and `.py` none, `.yaml` an
`application/octet-stream`, and `.ts` a video. So the ending of the name decides where the media
type does not name a kind, and in every case the bytes have to be of that kind.
"""

import codecs
import re
import unicodedata
from dataclasses import dataclass
from typing import Any, Literal

from lib.files.images import READERS, check_image
from lib.settings import settings

Kind = Literal["image", "pdf", "text"]
PDF = "application/pdf"
PLAIN_TEXT = "text/plain"
# What providers read themselves; all other files are told as text.
SEEN_TYPES = (*READERS, PDF)
# The kinds that OPENAI_FILES and the `files` of MODELS name, in words for a person.
READ_KINDS = {"images": "images (PNG, JPEG, GIF, WebP)", "pdf": "PDF"}
# Of the kinds of files that a model may not read, the word of OPENAI_FILES.
READ_AS = {"image": "images", "pdf": "pdf"}
TEXTS = "text such as .txt, .md, .csv, .json and source code"
# RFC 6838, section 4.2: the names of a type and of its subtype.
MEDIA_TYPE = re.compile(r"[a-z0-9][a-z0-9!#$&^_.+-]{0,126}/[a-z0-9][a-z0-9!#$&^_.+-]{0,126}")
MAX_NAME_CHARS = 255
# A browser's word for a file that it does not know.
UNKNOWN_TYPES = {"", "application/octet-stream", "binary/octet-stream", "application/unknown"}
# Text under `application/` and elsewhere, beside the types that end with +json, +xml or +yaml.
TEXT_TYPES = {
    *("application/json", "application/x-ndjson", "application/jsonl", "application/json5"),
    *("application/xml", "application/yaml", "application/x-yaml", "application/toml"),
    *("application/javascript", "application/x-javascript", "application/ecmascript"),
    *("application/typescript", "application/x-typescript", "application/sql", "application/x-sql"),
    *("application/x-sh", "application/x-shellscript", "application/x-csh", "application/x-perl"),
    *("application/x-python", "application/x-python-code", "application/x-ruby"),
    *("application/x-php", "application/x-httpd-php", "application/x-tex", "application/x-latex"),
    *("application/graphql", "application/x-subrip", "application/rtf", "message/rfc822"),
}
TEXT_SUFFIXES = ("+json", "+xml", "+yaml")
# The endings of names, by the media type that the file then has.
NAMED_TYPES = {
    "image/png": "png",
    "image/jpeg": "jpg jpeg",
    "image/gif": "gif",
    "image/webp": "webp",
    PDF: "pdf",
    "text/markdown": "md markdown mdx",
    "text/csv": "csv",
    "text/tab-separated-values": "tsv",
    "application/json": "json",
    "application/x-ndjson": "jsonl ndjson",
    "application/xml": "xml",
    "application/yaml": "yaml yml",
    "application/toml": "toml",
    "text/html": "html htm",
    "text/css": "css",
    "text/javascript": "js mjs cjs",
    "image/svg+xml": "svg",
    "text/x-python": "py",
    "text/x-sh": "sh",
    "text/x-sql": "sql",
    "text/calendar": "ics",
    "text/vcard": "vcf",
    # Code, which browsers would show as plain text.
    PLAIN_TEXT: (
        "txt text adoc asm astro awk bash bat bib bzl c cc cfg clj cljs cmake cmd cnf coffee conf "
        "cpp cs csproj cts cu cxx d dart diff dockerfile dot editorconfig eex ejs el elm env erb "
        "erl ex exs f90 fish fs fsx gd geojson gitattributes gitignore glsl go gql gradle graphql "
        "groovy h haml hbs hcl hh hpp hs hxx inc ini ino ipynb j2 java jinja jl json5 jsonc jsx kt "
        "kts less lisp liquid lock log lua m4 make mk ml mli mm mts nim nix org pas patch php pl "
        "plist pm po pot proto ps1 psm1 pug puml pyi pyx r rake rb rego rkt rs rst rtf s sass sbt "
        "scala scm scss sln sol srt styl svelte swift tcl tex tf tfvars thrift tpl ts tsx twig v "
        "vb vhd vhdl vim vtt vue wat wsdl xsd xsl xslt zig zsh"
    ),
}
ENDINGS = {ending: name for name, endings in NAMED_TYPES.items() for ending in endings.split()}
# Names without an ending.
CODE_NAMES = {
    *("dockerfile", "makefile", "rakefile", "gemfile", "procfile", "jenkinsfile", "vagrantfile"),
    *("readme", "license", "changelog", "codeowners", "cmakelists.txt"),
}
# The longer marks first: that of UTF-32 begins with that of UTF-16.
BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
# Invisible, but parts of words and of emoji: the joiners of Persian and of families.
JOINERS = {"\u200c", "\u200d"}
INVISIBLE = {"Cc", "Cf", "Zl", "Zp"}


@dataclass(frozen=True, slots=True)
class FileType:
    """The type of a file.

    Attributes:
        kind: how the model is told the file.
        media_type: in small letters, without parameters.
    """

    kind: Kind
    media_type: str


def file_type(media_type: str, filename: str | None) -> FileType | None:
    """Return the type of a file; None: it is of no kind that a message may have.

    Args:
        media_type: as the client names it; '' where it does not know it.
        filename: None: it has no name.
    """
    media_type = media_type.partition(";")[0].strip().lower()
    if named := _named_type(media_type):
        return named
    ending = _type_of_name(filename or "")
    # The ending overrules a known type only for text: browsers call `.ts` a video.
    is_unknown = media_type in UNKNOWN_TYPES
    return ending if ending and (is_unknown or ending.kind == "text") else None


def readable_type(media_type: str, filename: str | None) -> FileType:
    """Return the type of a file, as `file_type` does, if a model reads such files.

    Raises:
        ValueError: when it does not; says what it reads.
    """
    found = file_type(media_type, filename)
    if found is None or (found.kind != "text" and READ_AS[found.kind] not in settings().files_read):
        kinds = ", ".join([*(READ_KINDS[name] for name in settings().files_read), TEXTS])
        message = f"must be a file that the model reads: {kinds}"
        raise ValueError(message)
    return found


def unread_kind(kinds: tuple[str, ...], files: list[dict[str, Any]]) -> str | None:
    """Return a kind of files among these that a model does not read, in words; None: it reads all.

    Args:
        kinds: those that it reads beside text, as `Model.files` has them.
        files: in their stored form.
    """
    for file in files:
        found = file_type(file["mediaType"], file.get("filename"))
        kind = READ_AS.get(found.kind) if found else None
        if kind is not None and kind not in kinds:
            return READ_KINDS[kind]
    return None


def check_file(data: bytes, found: FileType) -> None:
    """Check that bytes are a file of a type.

    Raises:
        ValueError: when they are not; says why.
    """
    match found.kind:
        case "image":
            check_image(data, found.media_type)
        case "pdf":
            check_beginning(data, found)
        case "text":
            text_in(data)


def check_beginning(data: bytes, found: FileType) -> None:
    """Check that bytes are the beginning of a file of a type; a text may begin with any.

    Raises:
        ValueError: when they are not; says why.
    """
    if found.kind == "image":
        name, beginning, _ = READERS[found.media_type]
        is_right = beginning.match(data) is not None
    else:
        name, is_right = "PDF", found.kind == "text" or data.startswith(b"%PDF-")
    if not is_right:
        message = f"url must have {name} data, and begins like no {name} file"
        raise ValueError(message)


def text_in(data: bytes, *, is_cut: bool = False) -> str:
    """Return the text of a file: UTF-8, or what its byte order mark says, which is left out.

    Args:
        data: the file.
        is_cut: the data are the beginning of a file that was checked, and may end within a
            character, which is left out.

    Raises:
        ValueError: when the file is not text.
    """
    mark, encoding = next(
        (each for each in BYTE_ORDER_MARKS if data.startswith(each[0])), (b"", "utf-8")
    )
    try:
        text = data[len(mark) :].decode(encoding, "ignore" if is_cut else "strict")
    except UnicodeDecodeError:
        message = "url must have text in UTF-8: save the file as UTF-8, or send a PDF of it"
        raise ValueError(message) from None
    if "\0" in text:
        message = "url must have text, and has the character NUL, as binary files do"
        raise ValueError(message)
    return text


def clean_name(name: str) -> str:
    """Return a file's name without its folders and without characters that no name shows."""
    name = re.split(r"[/\\]", name)[-1]
    name = "".join(
        each for each in name if each in JOINERS or unicodedata.category(each) not in INVISIBLE
    )
    return name.strip()[:MAX_NAME_CHARS]


def _named_type(media_type: str) -> FileType | None:
    """Return the type that a media type names by itself; None: the name of the file must help."""
    if media_type in READERS:
        return FileType("image", media_type)
    if media_type in {PDF, "application/x-pdf"}:
        return FileType("pdf", PDF)
    is_text = media_type.startswith("text/") or media_type in TEXT_TYPES
    if (is_text or media_type.endswith(TEXT_SUFFIXES)) and MEDIA_TYPE.fullmatch(media_type):
        return FileType("text", media_type)
    return None


def _type_of_name(filename: str) -> FileType | None:
    name = filename.lower()
    ending = name.rpartition(".")[2] if "." in name else ""
    media_type = PLAIN_TEXT if name in CODE_NAMES else ENDINGS.get(ending)
    return None if media_type is None else _named_type(media_type)
