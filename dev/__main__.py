"""`python -m dev`, behind `make dev`: start everything, print the addresses, end with Ctrl-C.

`python -m dev doctor [URL]` says what is wrong with a database instead, and
`python -m dev import URL FILE …` imports conversations into a deployment.
"""

# This file, `dev/__init__.py` and `dev/terminal.py` may need neither a package nor a recent Python,
# because they report that those are missing.
import os
import sys

from dev.terminal import CannotStart, require, tell

try:
    if os.name != "posix":
        sys.exit("python -m dev runs on Linux and macOS; on Windows, use WSL.")
    if sys.version_info < (3, 12):  # noqa: UP036 (it may well be started by another Python)
        sys.exit("Parley needs Python 3.12 or later. `make dev` looks for one and uses it.")
    if sys.argv[1:2] == ["doctor"]:
        require("dotenv", "psycopg")
        from dev import doctor

        sys.exit(doctor.main(sys.argv[2:]))
    if sys.argv[1:2] == ["import"]:
        require("starlette", "psycopg")
        from dev import importing

        sys.exit(importing.main(sys.argv[2:]))
    require("dotenv", "jwt", "starlette", "uvicorn")

    from dev.command import main

    main()
except CannotStart as problem:
    tell(problem)
    sys.exit(1)
except KeyboardInterrupt:
    pass  # Ctrl-C is the normal end; all children have ended by now.
