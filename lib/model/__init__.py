"""The provider: sends one request, and reads its stream. Knows nothing of conversations."""
