"""Tests of lib/http by itself."""
