"""Tests of lib/database by itself."""
