"""Messages for the developer."""

import importlib.util
import sys
from pathlib import Path


class CannotStart(Exception):
    """Something is missing or in the way; the text names it and the remedy."""


def tell(message: object) -> None:
    """Print a message at once, on stderr, where the log is."""
    sys.stderr.write(f"{message}\n")
    sys.stderr.flush()


def require(*modules: str) -> None:
    """Check, without importing them, that modules are installed.

    Raises:
        CannotStart: some are not.
    """
    missing = [module for module in modules if importlib.util.find_spec(module) is None]
    if missing:
        message = f"Not installed: {', '.join(missing)}. Run: make install"
        raise CannotStart(message)


def folder_of(module: str) -> Path:
    """Return the folder of an installed package, without importing it.

    Raises:
        CannotStart: it is not installed.
    """
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        message = f"Not installed: {module}. Run: make install"
        raise CannotStart(message)
    return Path(spec.origin).parent
