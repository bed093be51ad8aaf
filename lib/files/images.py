"""Images: is a file the whole image that its media type names, and no more; how large is it?

The check reads the structure to the end (chunks, segments, blocks), and decodes no pixels. Each
reader yields the sizes that the file states, in pixels: of the image, and of each frame.
"""

import binascii
import re
import zlib
from collections.abc import Generator, Iterator

# Anthropic refuses larger images: docs.anthropic.com/en/docs/build-with-claude/vision.
MAX_SIDE = 8000
# 160 MB once decoded, at 4 bytes a pixel.
MAX_PIXELS = 40_000_000
# Of the pixels of a PNG: enough to tell deflated data from random bytes.
INFLATED_BYTES = 4096
# Reads of one file: a GIF of 14 MB takes 110,000, and a file of empty pieces would take seconds.
MAX_READS = 150_000

# By colour type: the depths that PNG allows (PNG specification, third edition, 11.2.1).
PNG_DEPTHS = {0: {1, 2, 4, 8, 16}, 2: {8, 16}, 3: {1, 2, 4, 8}, 4: {8, 16}, 6: {8, 16}}
# Markers of ITU-T T.81, table B.1: the frames that decoders know (baseline, extended, progressive),
# and the other segments: tables, restart interval, applications' data, comment.
JPEG_FRAMES = {0xC0, 0xC1, 0xC2}
JPEG_SEGMENTS = {0xC4, 0xDB, 0xDD, 0xFE, *range(0xE0, 0xF0)}
JPEG_SCAN, JPEG_END = 0xDA, 0xD9
# The next marker behind a scan, whose own data has 0xFF only before 0x00 and restart markers.
JPEG_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
# Labels of GIF89a: plain text, graphic control, comment, application.
GIF_EXTENSIONS = {0x01, 0xF9, 0xFE, 0xFF}
WEBP_DATA = {b"ALPH", b"ANIM", b"EXIF", b"ICCP", b"XMP ", b"C2PA"}

type Sizes = Iterator[tuple[int, int]]


def read_base64(text: str) -> bytes:
    """Read base64 that has one spelling only: the usual alphabet, padded, and no spare bits set.

    Raises:
        ValueError: when it is spelled in another way.
    """
    try:
        data = binascii.a2b_base64(text, strict_mode=True)
        end = binascii.b2a_base64(data[-(len(data) % 3 or 3) :], newline=False)
    except ValueError:
        data, end = b"", b""
    if not data or end.decode() != text[-4:]:
        raise ValueError("url must have canonical base64 behind the comma")
    return data


def image_type(data: bytes) -> str | None:
    """Return the media type of an image by its first bytes; None: it begins like none."""
    for media_type, (_, beginning, _) in READERS.items():
        if beginning.match(data):
            return media_type
    return None


def check_image(data: bytes, media_type: str) -> None:
    """Check that a file is a whole image of a type, of a size that models take.

    Args:
        data: the file.
        media_type: `image/png`, `image/jpeg`, `image/gif` or `image/webp`.

    Raises:
        ValueError: when it is not; says why.
    """
    name, beginning, sizes_in = READERS[media_type]
    if not beginning.match(data):
        raise ValueError(f"url must have {name} data, and begins like no {name} file")
    try:
        for width, height in sizes_in(_File(data)):
            _check_size(width, height)
    except (_DamageError, zlib.error):
        message = f"url must have a whole {name} file: it is cut off, damaged, or has an appendix"
        raise ValueError(message) from None


def _check_size(width: int, height: int) -> None:
    if not (width and height):
        raise _DamageError
    if max(width, height) > MAX_SIDE or width * height > MAX_PIXELS:
        limit = f"at most {MAX_SIDE} a side and {MAX_PIXELS // 1_000_000} million in all"
        raise ValueError(f"url has an image of {width} x {height} pixels; it must have {limit}")


class _DamageError(Exception):
    """The file is not as its format wants it."""


class _File:
    """A file, read from its beginning."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0
        self.reads = 0

    def take(self, count: int) -> bytes:
        """Read so many bytes, which must be there."""
        start, self.at = self.at, self.at + count
        self.reads += 1
        _expect(start <= self.at <= len(self.data) and self.reads <= MAX_READS)
        return self.data[start : self.at]

    def number(self, count: int) -> int:
        """Read a number, the high byte first."""
        return int.from_bytes(self.take(count))

    def little(self, count: int) -> int:
        """Read a number, the low byte first."""
        return int.from_bytes(self.take(count), "little")

    @property
    def is_over(self) -> bool:
        return self.at == len(self.data)


def _expect(condition: object) -> None:
    if not condition:
        raise _DamageError


def _png(file: _File) -> Sizes:
    """Read chunks, from IHDR to IEND."""
    file.take(8)
    last, has_pixels, pixels = b"", False, b""
    while last != b"IEND":
        length, kind = file.number(4), file.take(4)
        content = file.take(length)
        _expect(zlib.crc32(content, zlib.crc32(kind)) == file.number(4))
        _expect((kind == b"IHDR") == (not last))
        if kind == b"IHDR":
            _expect(length == 13 and content[8] in PNG_DEPTHS.get(content[9], ()))
            _expect(content[10:] in {b"\0\0\0", b"\0\0\1"})
            yield int.from_bytes(content[:4]), int.from_bytes(content[4:8])
        elif kind == b"IDAT":
            _expect(last == kind or not has_pixels)
            has_pixels = True
            pixels += content if len(pixels) < INFLATED_BYTES else b""
        elif kind == b"IEND":
            _expect(not length)
        else:
            # A capital letter at first: decoders that do not know the chunk must refuse.
            _expect(kind.isalpha() and (kind[:1].islower() or kind == b"PLTE"))
        last = kind
    _expect(zlib.decompressobj().decompress(pixels, INFLATED_BYTES) and file.is_over)


def _jpeg(file: _File) -> Sizes:
    """Read an image; phones put more of them behind it (CIPA DC-007, Multi-Picture Format)."""
    while not file.is_over:
        _expect(file.take(2) == b"\xff\xd8")
        yield from _jpeg_segments(file)


def _jpeg_segments(file: _File) -> Sizes:
    seen = set[int]()
    while True:
        _expect(file.number(1) == 0xFF)
        while (marker := file.number(1)) == 0xFF:
            pass  # T.81, B.1.1.2: any number of fill bytes
        if marker == JPEG_END:
            break
        content = file.take(file.number(2) - 2)
        if marker in JPEG_FRAMES:
            _expect(not seen & JPEG_FRAMES and len(content) > 5)
            _expect(content[0] in {8, 12} and content[5] in range(1, 5))
            _expect(len(content) == 6 + 3 * content[5])
            yield int.from_bytes(content[3:5]), int.from_bytes(content[1:3])
        elif marker == JPEG_SCAN:
            _expect(seen & JPEG_FRAMES and content and len(content) == 4 + 2 * content[0])
            end = JPEG_MARKER.search(file.data, file.at)
            _expect(end and end.start() > file.at)
            file.at = end.start() if end else file.at
        else:
            _expect(marker in JPEG_SEGMENTS)
        seen.add(marker)
    _expect({JPEG_SCAN, 0xC4, 0xDB} <= seen)


def _gif(file: _File) -> Sizes:
    """Read the screen, then extensions and images, to the trailer."""
    file.take(6)
    yield file.little(2), file.little(2)
    _skip_colours(file, file.take(3)[0])
    image_count = 0
    while (kind := file.number(1)) != 0x3B:
        if kind == 0x21:
            _expect(file.number(1) in GIF_EXTENSIONS)
        else:
            _expect(kind == 0x2C)
            file.take(4)
            yield file.little(2), file.little(2)
            _skip_colours(file, file.number(1))
            bits, codes = file.number(1), file.data[file.at + 1 : file.at + 3]
            # Encoders begin with the clear code, as GIF89a (appendix F) tells them.
            _expect(2 <= bits <= 8)
            _expect(int.from_bytes(codes, "little") % (2 << bits) == 1 << bits)
            image_count += 1
        while length := file.number(1):
            file.take(length)
    _expect(image_count and file.is_over)


def _skip_colours(file: _File, flags: int) -> None:
    if flags & 0x80:
        file.take(3 << (flags % 8 + 1))


def _webp(file: _File) -> Sizes:
    """Read the chunks of a RIFF container, which states its own size (RFC 9649)."""
    file.take(4)
    _expect(file.little(4) + 8 == len(file.data))
    file.take(4)
    kinds = yield from _webp_chunks(file)
    _expect(kinds[0] == b"VP8X" or len(kinds) == 1)


def _webp_chunks(
    file: _File, *, is_frame: bool = False
) -> Generator[tuple[int, int], None, list[bytes]]:
    """Read chunks to the end; return their kinds."""
    kinds = list[bytes]()
    while not file.is_over:
        kind, length = file.take(4), file.little(4)
        content = _File(file.take(length))
        if kind == b"VP8X":
            _expect(not kinds and not is_frame and length == 10)
            content.take(4)
            yield content.little(3) + 1, content.little(3) + 1
        elif kind == b"VP8 ":
            tag, code = content.little(3), content.take(3)
            _expect(not tag & 1 and code == b"\x9d\x01\x2a" and 10 < 10 + (tag >> 5) <= length)
            yield content.little(2) % 0x4000, content.little(2) % 0x4000
        elif kind == b"VP8L":
            _expect(content.take(1) == b"\x2f" and length > 5)
            bits = content.little(4)
            _expect(not bits >> 29)
            yield bits % 0x4000 + 1, (bits >> 14) % 0x4000 + 1
        elif kind == b"ANMF":
            _expect(not is_frame)
            content.take(6)
            yield content.little(3) + 1, content.little(3) + 1
            content.take(4)
            yield from _webp_chunks(content, is_frame=True)
        else:
            _expect(kind in WEBP_DATA)
        _expect(length % 2 == 0 or file.take(1) == b"\0")
        kinds.append(kind)
    _expect({b"VP8 ", b"VP8L", b"ANMF"} & {*kinds})
    return kinds


READERS = {
    "image/png": ("PNG", re.compile(rb"\x89PNG\r\n\x1a\n"), _png),
    "image/jpeg": ("JPEG", re.compile(rb"\xff\xd8\xff"), _jpeg),
    "image/gif": ("GIF", re.compile(rb"GIF8[79]a"), _gif),
    "image/webp": ("WebP", re.compile(rb"RIFF.{4}WEBP", re.DOTALL), _webp),
}
