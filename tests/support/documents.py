"""Files of a message that are no images: a small PDF document, and texts."""

from tests.support.images import data_url

PDF = (
    b"%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n"
    b"2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>endobj\n"
    b"3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 72 72]>>endobj\n"
    b"trailer<</Root 1 0 R>>\n%%EOF\n"
)


def sent_file(filename: str, content: bytes, media_type: str = "") -> dict[str, str]:
    """Return a file as a browser sends it: a type that it does not know is '' beside the URL."""
    url = data_url(media_type or "application/octet-stream", content)
    return {"type": "file", "mediaType": media_type, "url": url, "filename": filename}
