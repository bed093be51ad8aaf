"""Parley itself, and bare, which it is compared with."""
