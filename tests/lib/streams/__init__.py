"""Tests of lib/streams by itself."""
