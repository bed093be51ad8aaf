"""Faults at random, and an audit of what is left: `python -m tests.faults --turns 300`."""
