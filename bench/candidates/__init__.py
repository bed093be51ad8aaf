"""Parley itself, and the floor beneath it."""
