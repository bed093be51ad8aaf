"""What the functions of `api/` share. `api` imports `lib`, never the reverse."""

__version__ = "0.1.0"
