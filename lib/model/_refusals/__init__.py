"""Refusals of providers: cured where another request would be accepted, else told as problems."""
