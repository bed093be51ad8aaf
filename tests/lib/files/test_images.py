"""Images are checked to their last byte, without decoding a pixel."""

import base64
import os
import struct
import zlib

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from lib.files.images import MAX_READS, READERS, check_image, read_base64
from lib.files.limits import MAX_MESSAGE_BYTES
from tests.support.images import IMAGES, png, png_chunk

TYPES = sorted(READERS)
WHOLE = "url must have a whole"
ARCHIVE = b"PK\x05\x06" + bytes(18)  # an empty ZIP file, which readers look for from the end
each_kind = pytest.mark.parametrize("kind", IMAGES)
each_type = pytest.mark.parametrize("media_type", TYPES)


def beginning(media_type: str) -> bytes:
    """Return the longest header by which a type is known, with a size of one by one."""
    return {
        "image/png": png()[:33],
        "image/jpeg": b"\xff\xd8\xff\xe0\0\x10JFIF\0\1\1\0\0\1\0\1\0\0",
        "image/gif": b"GIF89a\1\0\1\0\0\0\0",
        "image/webp": b"RIFF" + struct.pack("<I", 65_548) + b"WEBP",
    }[media_type]


@each_kind
def test_a_whole_image_is_accepted(kind: str) -> None:
    media_type, content = IMAGES[kind]

    check_image(content, media_type)


@pytest.mark.parametrize("kind", [kind for kind in IMAGES if kind != "JPEG, two"])
def test_an_image_that_is_cut_off_anywhere_is_refused(kind: str) -> None:
    media_type, content = IMAGES[kind]

    for length in range(len(content)):
        with pytest.raises(ValueError, match=r"^url "):
            check_image(content[:length], media_type)


@each_kind
@pytest.mark.parametrize("appendix", [b"\0", b"\n", ARCHIVE, b"<script>", b"%PDF-1.7", b"\xff\xd8"])
def test_an_image_with_something_behind_its_end_is_refused(kind: str, appendix: bytes) -> None:
    media_type, content = IMAGES[kind]

    with pytest.raises(ValueError, match=WHOLE):
        check_image(content + appendix, media_type)


def test_behind_a_jpeg_stands_nothing_but_a_whole_jpeg() -> None:
    _, content = IMAGES["JPEG, two"]
    end = content.index(b"\xff\xd9") + 2

    for length in range(end + 1, len(content)):
        with pytest.raises(ValueError, match=WHOLE):
            check_image(content[:length], "image/jpeg")


def test_a_webp_file_that_counts_an_archive_in_its_size_is_refused() -> None:
    media_type, content = IMAGES["WebP"]
    grown = content + ARCHIVE

    with pytest.raises(ValueError, match=WHOLE):
        check_image(b"RIFF" + struct.pack("<I", len(grown) - 8) + grown[8:], media_type)


@each_kind
@each_type
def test_an_image_under_the_name_of_another_type_is_refused(kind: str, media_type: str) -> None:
    own_type, content = IMAGES[kind]
    if own_type == media_type:
        return

    with pytest.raises(ValueError, match="begins like no"):
        check_image(content, media_type)


@each_type
@pytest.mark.parametrize("content", [b"", b"\0", b"<svg/>", b"%PDF-1.7", b"MZ", ARCHIVE], ids=ascii)
def test_a_file_of_another_kind_is_refused(media_type: str, content: bytes) -> None:
    with pytest.raises(ValueError, match="begins like no"):
        check_image(content, media_type)


@each_type
def test_random_bytes_behind_a_header_are_refused(media_type: str) -> None:
    for _ in range(50):
        # A GIF of random bytes is the frame of a huge image, once in a while.
        with pytest.raises(ValueError, match=f"{WHOLE}|url has an image of"):
            check_image(beginning(media_type) + os.urandom(65_536), media_type)


def test_random_bytes_in_a_png_of_whole_chunks_are_refused() -> None:
    for _ in range(50):
        with pytest.raises(ValueError, match=WHOLE):
            check_image(png(100, 100, png_chunk(b"IDAT", os.urandom(65_536))), "image/png")


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(png(0, 1), id="no width"),
        pytest.param(png(1, 1, png_chunk(b"tEXt", b"a\0b")), id="no pixels"),
        pytest.param(png(1, 1, png_chunk(b"IDAT")), id="empty pixels"),
        pytest.param(png(1, 1, png_chunk(b"EVIL"), png()[33:-12]), id="a chunk of no decoder"),
        pytest.param(png(1, 1, png()[33:-12], png()[8:33]), id="two headers"),
        pytest.param(png(1, 1, png()[33:-12], png_chunk(b"IEND")), id="two ends"),
        pytest.param(png()[:-12] + png_chunk(b"IEND", b"x"), id="data in the end"),
        pytest.param(png().replace(b"IDAT", b"IDAU"), id="a wrong checksum"),
        pytest.param(png()[:8] + png()[33:], id="no header"),
        pytest.param(
            png()[:8] + png_chunk(b"IHDR", b"\0\0\0\1\0\0\0\1\3\0\0\0\0") + png()[33:],
            id="a depth of three",
        ),
    ],
)
def test_a_png_that_no_decoder_reads_is_refused(content: bytes) -> None:
    with pytest.raises(ValueError, match=WHOLE):
        check_image(content, "image/png")


def test_a_png_keeps_its_own_data_of_any_kind() -> None:
    own = png_chunk(b"caBX", b"claims") + png_chunk(b"teXt")

    check_image(png(1, 1, own, png()[33:-12]), "image/png")


@pytest.mark.parametrize(
    ("width", "height", "is_taken"),
    [
        (8000, 1, True),
        (1, 8000, True),
        (8000, 5000, True),
        (8001, 1, False),
        (1, 8001, False),
        (8000, 5001, False),
        (2**31 - 1, 2**31 - 1, False),
    ],
)
def test_an_image_has_8000_pixels_a_side_and_40_million_at_most(
    width: int, height: int, *, is_taken: bool
) -> None:
    if is_taken:
        check_image(png(width, height), "image/png")
        return
    with pytest.raises(ValueError, match=f"{width} x {height} pixels; it must have at most 8000"):
        check_image(png(width, height), "image/png")


@pytest.mark.parametrize(
    ("kind", "at", "size"),
    [
        ("JPEG", IMAGES["JPEG"][1].index(b"\xff\xc0") + 5, b"\xff\xff\xff\xff"),
        ("JPEG, progressive", IMAGES["JPEG, progressive"][1].index(b"\xff\xc2") + 5, b"\xff" * 4),
        ("JPEG, two", IMAGES["JPEG, two"][1].rindex(b"\xff\xc0") + 5, b"\xff" * 4),
        ("GIF", 6, b"\xff" * 4),
        ("GIF", IMAGES["GIF"][1].index(b"\x2c") + 5, b"\xff" * 4),
        ("WebP", 26, b"\xff" * 4),
        ("WebP, lossless", 21, b"\xff\xff\xff\x0f"),
        ("WebP, transparent", 24, b"\xff" * 6),
        ("WebP, moving", IMAGES["WebP, moving"][1].index(b"ANMF") + 14, b"\xff" * 6),
    ],
)
def test_every_size_that_a_file_states_is_limited(kind: str, at: int, size: bytes) -> None:
    media_type, content = IMAGES[kind]

    with pytest.raises(ValueError, match="it must have at most 8000 a side"):
        check_image(content[:at] + size + content[at + len(size) :], media_type)


@pytest.mark.parametrize(
    ("media_type", "content"),
    [
        ("image/png", png(1, 1, png_chunk(b"teXt") * MAX_READS)),
        ("image/jpeg", b"\xff\xd8" + b"\xff\xfe\0\2" * MAX_READS),
        ("image/jpeg", b"\xff\xd8" + b"\xff" * 2 * MAX_READS),
        ("image/gif", b"GIF89a\1\0\1\0\0\0\0" + b"\x21\xfe\0" * MAX_READS),
        ("image/gif", b"GIF89a\1\0\1\0\0\0\0\x21\xfe" + b"\1\1" * MAX_READS),
        (
            "image/webp",
            b"RIFF" + struct.pack("<I", 4 + 8 * MAX_READS) + b"WEBP" + b"EXIF\0\0\0\0" * MAX_READS,
        ),
    ],
)
def test_a_file_of_countless_empty_pieces_is_refused_before_its_end(
    media_type: str, content: bytes
) -> None:
    with pytest.raises(ValueError, match=WHOLE):
        check_image(content, media_type)


def test_frames_within_frames_are_refused() -> None:
    frames = b""
    for _ in range(3000):
        frames = b"ANMF" + struct.pack("<I", 16 + len(frames)) + bytes(16) + frames
    chunks = b"VP8X\x0a\0\0\0" + bytes(10) + frames

    with pytest.raises(ValueError, match=WHOLE):
        check_image(b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WEBP" + chunks, "image/webp")


def test_a_png_that_inflates_to_gigabytes_is_not_inflated() -> None:
    pixels = zlib.compress(bytes(50_000_000), 9)

    check_image(png(8000, 5000, png_chunk(b"IDAT", pixels)), "image/png")


@each_type
@settings(max_examples=300)
@given(content=st.binary(max_size=300), has_header=st.booleans())
def test_arbitrary_bytes_are_refused_and_break_nothing(
    media_type: str, content: bytes, *, has_header: bool
) -> None:
    with pytest.raises(ValueError, match=r"^url "):
        check_image(beginning(media_type) + content if has_header else content, media_type)


@each_kind
@settings(max_examples=200)
@given(st.data())
def test_an_image_with_changed_bytes_is_accepted_or_refused_and_breaks_nothing(
    kind: str, data: st.DataObject
) -> None:
    media_type, content = IMAGES[kind]
    changed = bytearray(content)
    for _ in range(data.draw(st.integers(1, 3))):
        changed[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))

    try:
        check_image(bytes(changed), media_type)
    except ValueError as error:
        assert str(error).startswith("url ")  # noqa: PT017 (both outcomes are right)


@given(st.binary(min_size=1))
def test_base64_as_encoders_write_it_is_read(content: bytes) -> None:
    assert read_base64(base64.b64encode(content).decode()) == content


@settings(max_examples=500)
@given(st.text(st.sampled_from("AQgw+/-_=\n A\u00e9"), max_size=12))
@example("QQ==QQ==")
@example("QR==")
@example("QUJ=")
@example("QQ")
@example("QQ=")
@example("QQ==\n")
@example(" QQ==")
@example("")
@example("====")
def test_base64_has_one_spelling(text: str) -> None:
    try:
        content = read_base64(text)
    except ValueError as error:
        assert str(error) == "url must have canonical base64 behind the comma"  # noqa: PT017
        return
    assert base64.b64encode(content).decode() == text


def test_a_whole_gif_of_the_largest_size_is_accepted() -> None:
    comment = b"\x21\xfe" + (b"\xff" + bytes(255)) * (MAX_MESSAGE_BYTES // 256 - 10) + b"\0"
    gif = IMAGES["GIF"][1]

    check_image(gif[:-1] + comment + gif[-1:], "image/gif")
