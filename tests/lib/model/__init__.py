"""Tests of lib/model by itself."""
