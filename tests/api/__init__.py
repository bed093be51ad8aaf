"""One file a function."""
