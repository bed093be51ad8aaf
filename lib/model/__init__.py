"""The provider: one request, and what its stream says. Knows nothing of conversations."""
