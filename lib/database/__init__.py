"""Postgres: one pool, one round trip per step, statements by name, rows as objects."""
