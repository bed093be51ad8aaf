"""Tests of lib/answers by itself."""
