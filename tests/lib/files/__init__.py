"""Tests of lib/files without a database."""
