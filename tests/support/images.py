"""Small images of each kind, as Pillow writes them; and PNG files of any size."""

import base64
import struct
import zlib

# By kind: the media type and the file.
IMAGES: dict[str, tuple[str, bytes]] = {
    kind: (f"image/{subtype}", base64.b64decode(text))
    for kind, subtype, text in (
        (
            "PNG",
            "png",
            (
                "iVBORw0KGgoAAAANSUhEUgAAAAMAAAACCAIAAAASFvFNAAAAFUlEQVR4nGM8ISfHwMDAwMDAxAADABMu"
                "AQhqwGVhAAAAAElFTkSuQmCC"
            ),
        ),
        (
            "PNG, moving",
            "png",
            (
                "iVBORw0KGgoAAAANSUhEUgAAAAMAAAACCAIAAAASFvFNAAAACGFjVEwAAAACAAAAAPONk3AAAAAaZmNU"
                "TAAAAAAAAAADAAAAAgAAAAAAAAAAAAAAAQAADoOaCQAAABVJREFUeJxjPCEnx8DAwMDAwMQAAwATLgEI"
                "asBlYQAAABpmY1RMAAAAAQAAAAMAAAACAAAAAAAAAAAAAAABAACV8HDdAAAAGWZkQVQAAAACeJxjZGRi"
                "ZmBgYGBgYGKAAQAApgAK9ddnjgAAAABJRU5ErkJggg=="
            ),
        ),
        (
            "JPEG",
            "jpeg",
            (
                "/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDAFA3PEY8MlBGQUZaVVBfeMiCeG5uePWvuZHI////////////"
                "////////////////////////////////////////wAALCAACAAMBAREA/8QAHwAAAQUBAQEBAQEAAAAA"
                "AAAAAAECAwQFBgcICQoL/8QAtRAAAgEDAwIEAwUFBAQAAAF9AQIDAAQRBRIhMUEGE1FhByJxFDKBkaEI"
                "I0KxwRVS0fAkM2JyggkKFhcYGRolJicoKSo0NTY3ODk6Q0RFRkdISUpTVFVWV1hZWmNkZWZnaGlqc3R1"
                "dnd4eXqDhIWGh4iJipKTlJWWl5iZmqKjpKWmp6ipqrKztLW2t7i5usLDxMXGx8jJytLT1NXW19jZ2uHi"
                "4+Tl5ufo6erx8vP09fb3+Pn6/9oACAEBAAA/AIq//9k="
            ),
        ),
        (
            "JPEG, progressive",
            "jpeg",
            (
                "/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDAFA3PEY8MlBGQUZaVVBfeMiCeG5uePWvuZHI////////////"
                "////////////////////////////////////////wgALCAACAAMBAREA/8QAFAABAAAAAAAAAAAAAAAA"
                "AAAAAv/aAAgBAQAAAAEf/8QAFBABAAAAAAAAAAAAAAAAAAAAAP/aAAgBAQABBQJ//8QAFBABAAAAAAAA"
                "AAAAAAAAAAAAAP/aAAgBAQAGPwJ//8QAFBABAAAAAAAAAAAAAAAAAAAAAP/aAAgBAQABPyF//9oACAEB"
                "AAAAEP8A/8QAFBABAAAAAAAAAAAAAAAAAAAAAP/aAAgBAQABPxB//9k="
            ),
        ),
        (
            "JPEG, two",
            "jpeg",
            (
                "/9j/4AAQSkZJRgABAQAAAQABAAD/4gBoTVBGAElJKgAIAAAAAwAAsAcABAAAADAxMDABsAQAAQAAAAIA"
                "AAACsAcAIAAAADIAAAAAAAAAAAADALYBAAAAAAAAAAAAAAAAAABMAQAAmgEAAAAAAAAgICAgICAgICAg"
                "ICAgICAg/9sAQwBQNzxGPDJQRkFGWlVQX3jIgnhubnj1r7mRyP//////////////////////////////"
                "/////////////////////8AACwgAAgADAQERAP/EAB8AAAEFAQEBAQEBAAAAAAAAAAABAgMEBQYHCAkK"
                "C//EALUQAAIBAwMCBAMFBQQEAAABfQECAwAEEQUSITFBBhNRYQcicRQygZGhCCNCscEVUtHwJDNicoIJ"
                "ChYXGBkaJSYnKCkqNDU2Nzg5OkNERUZHSElKU1RVVldYWVpjZGVmZ2hpanN0dXZ3eHl6g4SFhoeIiYqS"
                "k5SVlpeYmZqio6Slpqeoqaqys7S1tre4ubrCw8TFxsfIycrS09TV1tfY2drh4uPk5ebn6Onq8fLz9PX2"
                "9/j5+v/aAAgBAQAAPwCKv//Z/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDAFA3PEY8MlBGQUZaVVBfeMiC"
                "eG5uePWvuZHI////////////////////////////////////////////////////wAALCAACAAMBAREA"
                "/8QAHwAAAQUBAQEBAQEAAAAAAAAAAAECAwQFBgcICQoL/8QAtRAAAgEDAwIEAwUFBAQAAAF9AQIDAAQR"
                "BRIhMUEGE1FhByJxFDKBkaEII0KxwRVS0fAkM2JyggkKFhcYGRolJicoKSo0NTY3ODk6Q0RFRkdISUpT"
                "VFVWV1hZWmNkZWZnaGlqc3R1dnd4eXqDhIWGh4iJipKTlJWWl5iZmqKjpKWmp6ipqrKztLW2t7i5usLD"
                "xMXGx8jJytLT1NXW19jZ2uHi4+Tl5ufo6erx8vP09fb3+Pn6/9oACAEBAAA/AI6//9k="
            ),
        ),
        ("GIF", "gif", "R0lGODlhAQABAAAAACH5BAEKAAEALAAAAAABAAEAAAICTAEAOw=="),
        (
            "GIF, moving",
            "gif",
            (
                "R0lGODlhAwACAIEAAFFRUQAAAAAAAAAAACH/C05FVFNDQVBFMi4wAwEAAAAsAAAAAAMAAgAACAYAAQgc"
                "GBAAIfkEAQAAAQAsAAAAAAMAAgCBWlpaAAAAAAAAAAAACAYAAQgcGBAAOw=="
            ),
        ),
        (
            "WebP",
            "webp",
            "UklGRjIAAABXRUJQVlA4ICYAAABwAQCdASoDAAIAB0CWJaACdAFAAAD+5AFjCaSdH8zfhR8nUAAAAA==",
        ),
        ("WebP, lossless", "webp", "UklGRh4AAABXRUJQVlA4TBEAAAAvAkAAAAdQjyLXo/+BiOh/AAA="),
        (
            "WebP, transparent",
            "webp",
            (
                "UklGRlwAAABXRUJQVlA4WAoAAAAQAAAAAgAAAQAAQUxQSAcAAAAAY2NjY2NjAFZQOCAuAAAAsAEAnQEq"
                "AwACAAFAJiWgAnS6AAQwAAD+8dyP+A3XxbTL/72C/92C/92C/1sAAA=="
            ),
        ),
        (
            "WebP, moving",
            "webp",
            (
                "UklGRqoAAABXRUJQVlA4WAoAAAACAAAAAgAAAQAAQU5JTQYAAAAAAAAAAABBTk1GRgAAAAAAAAAAAAIA"
                "AAEAAAAAAAJWUDggLgAAADABAJ0BKgMAAgABQCYloAADcAD+8dyP/+xfytfytUv//+9gv/9xn//3Gf/T"
                "4ABBTk1GMAAAAAAAAAAAAAIAAAEAAAAAAABWUDggGAAAADQBAJ0BKgMAAgAAACYlpAADcAD+8E/AAA=="
            ),
        ),
    )
}


def data_url(media_type: str, content: bytes) -> str:
    """Return a file as a `data:` URL."""
    return f"data:{media_type};base64,{base64.b64encode(content).decode()}"


def file_part(media_type: str, content: bytes) -> dict[str, str]:
    """Return a file as a part of a message."""
    return {"type": "file", "mediaType": media_type, "url": data_url(media_type, content)}


def png_chunk(kind: bytes, content: bytes = b"") -> bytes:
    """Return a chunk of a PNG file."""
    checksum = zlib.crc32(kind + content)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)


def png(width: int = 1, height: int = 1, *chunks: bytes) -> bytes:
    """Return a PNG file that states a size; with these chunks, or the pixels of one by one."""
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    pixels = png_chunk(b"IDAT", zlib.compress(b"\0\0"))
    content = b"".join(chunks) if chunks else pixels
    return b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header) + content + png_chunk(b"IEND")


def png_of_bytes(size: int) -> bytes:
    """Return a PNG file of so many bytes."""
    pixels = png_chunk(b"IDAT", zlib.compress(b"\0\0"))
    text = png_chunk(b"tEXt", bytes(size - len(png()) - len(png_chunk(b"tEXt"))))
    return png(1, 1, text, pixels)
