"""Tests of lib/operations by itself."""
