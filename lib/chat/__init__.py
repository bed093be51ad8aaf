"""POST /api/chat and its stream, from the request to the response."""
