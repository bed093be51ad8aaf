"""A world of callers and their data, for tests of access."""
