"""Tests of lib/conversations by itself."""
