"""Tests of lib/runtime by itself."""
