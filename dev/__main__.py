"""`python -m dev`, behind `make dev`: start everything, say where it is, end it with Ctrl-C."""

# Nothing here, in `dev/__init__.py` or in `dev/terminal.py` may need a newer Python than the one it
# asks for, or a package: this is where their absence is noticed.
import os
import sys

from dev.terminal import CannotStart, require, tell

try:
    if os.name != "posix":
        sys.exit("python -m dev runs on Linux and macOS; on Windows, use WSL.")
    if sys.version_info < (3, 12):  # noqa: UP036 (it may well be started by another Python)
        sys.exit("Parley needs Python 3.12 or later. `make dev` looks for one and uses it.")
    require("dotenv", "jwt", "starlette", "uvicorn")

    from dev.command import main

    main()
except CannotStart as problem:
    tell(problem)
    sys.exit(1)
except KeyboardInterrupt:
    pass  # Ctrl-C is how it is meant to end; by now everything it started has ended, too.
