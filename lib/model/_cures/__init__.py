"""Refusals that another request would not get, and how that request differs."""
