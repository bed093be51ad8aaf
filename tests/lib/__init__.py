"""Tests of modules of lib by themselves."""
