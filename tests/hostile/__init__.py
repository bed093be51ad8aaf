"""A hostile hour, and an audit of its cost: `python -m tests.hostile --seconds 60`."""
