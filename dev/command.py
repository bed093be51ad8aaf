"""`python -m dev`: start the parts in order, and end them in the opposite order."""

import errno
import fcntl
import os
import signal
import socket
import sys
import time
from collections.abc import Generator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from dev import children, environment, model
from dev.banner import banner
from dev.environment import Environment
from dev.postgres import programs, start_postgres
from dev.psql import MigrationFailed, find_psql, make_database, migrate
from dev.terminal import CannotStart, tell
from dev.watching import changes

SERVER_SECONDS = 30
# A predecessor that was just killed needs a moment to release the port.
PORT_PATIENCE_SECONDS = 2


@dataclass(slots=True)
class Parts:
    """The parts that run on this machine."""

    root: Path
    psql: Path
    migrations_url: str
    database_url: str | None = None
    model_url: str | None = None
    watched: dict[str, children.Child] = field(default_factory=dict[str, children.Child])

    @property
    def data(self) -> Path:
        """The folder of the database, the secrets and the logs."""
        return data_folder(self.root)


def main() -> None:
    """Run everything until Ctrl-C.

    Raises:
        CannotStart: something is missing or in the way, or has ended.
    """
    root = Path(__file__).resolve().parent.parent
    os.chdir(root)
    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, _interrupt)
    setup = environment.read(root)
    with ExitStack() as stack:
        stack.enter_context(_only_one(data_folder(root)))
        listener = stack.enter_context(_listen(setup.port))
        parts = _start_parts(root, setup, stack)
        _serve(parts, setup, listener, stack)


def data_folder(root: Path) -> Path:
    """Return the folder that survives restarts."""
    return root / ".parley"


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    """End everything, and ignore further signals: a second Ctrl-C would leave processes behind."""
    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, signal.SIG_IGN)
    raise KeyboardInterrupt


@contextmanager
def _only_one(data: Path) -> Generator[None]:
    """Lock the data folder, so that only one `make dev` uses it."""
    data.mkdir(mode=0o700, exist_ok=True)
    with (data / "lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            message = (
                f"It runs in this folder already (process {lock.read().strip()}). End that one, or "
                "start this one in another clone, with another PORT."
            )
            raise CannotStart(message) from None
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        yield


def _listen(port: int) -> socket.socket:
    """Listen on the port before any part is started.

    Raises:
        CannotStart: the port is taken, or not allowed.
    """
    deadline = time.monotonic() + PORT_PATIENCE_SECONDS
    while True:
        try:
            # On macOS a second server can listen on the port of one that listens on all addresses,
            # and then either may answer.
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            try:
                return socket.create_server(("127.0.0.1", port), backlog=1024)
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    message = f"Port {port} cannot be used: {error.strerror}."
                    raise CannotStart(message) from error
        if time.monotonic() > deadline:
            message = (
                f"Port {port} is taken: by another clone, perhaps. Choose another: "
                f"PORT={port + 1} make dev (or PORT={port + 1} in .env)"
            )
            raise CannotStart(message)
        time.sleep(0.1)


def _start_parts(root: Path, setup: Environment, stack: ExitStack) -> Parts:
    """Start the parts that the environment does not name, and migrate the database."""
    data = data_folder(root)
    model_log = data / "model.log"
    embedded_model = model.start_model(model_log) if setup.wants_model else None
    if embedded_model:
        stack.callback(embedded_model.stop)
    if setup.wants_postgres:
        parts = _start_database(root, stack)
    else:
        parts = Parts(root, find_psql(), setup.migrations_url)
    for line in migrate(parts.psql, parts.migrations_url, root, setup.schema):
        tell(line)
    if embedded_model:
        parts.model_url = model.base_url(embedded_model, model_log)
        parts.watched["The embedded model"] = embedded_model
    return parts


def _start_database(root: Path, stack: ExitStack) -> Parts:
    data = data_folder(root)
    if not (data / "postgres").exists():
        tell("Making a database in .parley/postgres")
    server = start_postgres(data / "postgres")
    stack.callback(server.stop)
    psql = programs() / "psql"
    make_database(psql, server.url)
    url = server.url_of("parley", "parley")
    return Parts(root, psql, url, database_url=url, watched={"Postgres": server.child})


def _serve(parts: Parts, setup: Environment, listener: socket.socket, stack: ExitStack) -> None:
    """Serve the functions, and restart them when their code changes."""
    server = _Server(listener, stack)
    server.restart(_variables(parts, setup))
    own = setup.wants_postgres
    variables = _variables(parts, setup)
    inside = parts.psql.is_relative_to(parts.root)
    psql = str(parts.psql.relative_to(parts.root) if inside else parts.psql)
    tell(banner(setup.port, variables, psql, wants_postgres=own))
    for changed in changes(parts.root):
        for name, child in parts.watched.items():
            if not child.is_running():
                message = f"{name} has ended; its log is in .parley."
                raise CannotStart(message)
        if changed:
            setup = _read_again(parts.root, setup) if ".env" in changed else setup
            _migrate_again(parts, setup, changed)
            server.restart(_variables(parts, setup))
            tell(f"Reloaded: {', '.join(sorted(changed))}")
        server.check()


def _variables(parts: Parts, setup: Environment) -> Mapping[str, str]:
    return environment.for_functions(setup, parts.data, parts.database_url, parts.model_url)


def _read_again(root: Path, before: Environment) -> Environment:
    try:
        now = environment.read(root)
        if now.starts_the_same_as(before):
            return now
    except CannotStart as problem:
        tell(problem)
        return before
    tell("The port, the database or the model in .env has changed: end this and start it again.")
    return before


def _migrate_again(parts: Parts, setup: Environment, changed: set[str]) -> None:
    if not any(path.startswith("sql/") and "/queries/" not in path for path in changed):
        return
    try:
        for line in migrate(parts.psql, parts.migrations_url, parts.root, setup.schema):
            tell(line)
    except MigrationFailed as problem:
        tell(problem)


class _Server:
    """The process that runs the functions."""

    def __init__(self, listener: socket.socket, stack: ExitStack) -> None:
        self._listener = listener
        self._child: children.Child | None = None
        stack.callback(self._stop)

    def restart(self, variables: Mapping[str, str]) -> None:
        """Start the functions, instead of those that run."""
        self._stop()
        descriptor = self._listener.fileno()
        self._child = children.start(
            [sys.executable, "-m", "dev.server", str(descriptor)],
            environment=variables,
            pass_fds=[descriptor],
        )
        self._child.wait_until_ready(SERVER_SECONDS)

    def check(self) -> None:
        """Tell, once, if it has ended."""
        if self._child and not self._child.is_running():
            self._stop()
            tell("The server has ended. It starts again with the next change.")

    def _stop(self) -> None:
        if self._child:
            self._child.stop()
            self._child = None
