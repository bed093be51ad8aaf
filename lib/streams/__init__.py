"""The AI SDK's UI message stream: its parts, its readers, the response."""
