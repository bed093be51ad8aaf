"""Postgres: one pool, one round trip a step, statements by name, rows as objects."""
