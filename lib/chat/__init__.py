"""POST /api/chat and its stream, and uploads, from the request to the response."""
