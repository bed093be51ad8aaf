"""Tests of lib/chat without a database."""
