"""PgBouncer in transaction mode, as Neon's pooled host is: no session of a client's own.

Debian's 1.18 at that, which knows no prepared statements: what works there works everywhere.
"""

import os
import pwd
import shutil
import socket
import subprocess
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from dev.postgres import SYSTEM_USER

CONFIGURATION = """
[databases]
* = host={host} port={port}

[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {own_port}
unix_socket_dir =
auth_type = trust
auth_file = {folder}/users.txt
pool_mode = transaction
max_client_conn = 2000
default_pool_size = 20
; A database that a test drops is forgotten soon.
server_idle_timeout = 5
server_login_retry = 1
logfile = {folder}/pgbouncer.log
"""


def find_pgbouncer() -> str | None:
    """Return the program, or None where it is not installed."""
    return shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin")


@contextmanager
def running_pgbouncer(
    server_url: str, folder: Path, roles: Sequence[str] = ("postgres",)
) -> Generator[int]:
    """Run PgBouncer before a server, for some of its roles; yield its port on 127.0.0.1."""
    (folder / "users.txt").write_text("".join(f'"{role}" ""\n' for role in roles))
    process, port = _start(server_url, folder)
    try:
        yield port
    finally:
        process.kill()
        process.wait()


def _start(server_url: str, folder: Path) -> tuple[subprocess.Popen[bytes], int]:
    # A port that was free a moment ago may be taken by now, so there is a second and a third try.
    for _ in range(3):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port: int = probe.getsockname()[1]
        process = _spawn(_configure(server_url, folder, port))
        if _listens(process, port):
            return process, port
        process.kill()
        process.wait()
    message = "PgBouncer does not start"
    raise TimeoutError(message)


def _configure(server_url: str, folder: Path, own_port: int) -> Path:
    server = urlsplit(server_url)
    configuration = folder / "pgbouncer.ini"
    configuration.write_text(
        CONFIGURATION.format(
            host=server.hostname, port=server.port, own_port=own_port, folder=folder
        )
    )
    return configuration


def _spawn(configuration: Path) -> subprocess.Popen[bytes]:
    program = find_pgbouncer()
    assert program is not None
    # It refuses to run as root, like Postgres.
    user = pwd.getpwnam(SYSTEM_USER) if os.geteuid() == 0 else None
    if user:
        os.chown(configuration.parent, user.pw_uid, user.pw_gid)
    return subprocess.Popen(
        [program, "--quiet", configuration],
        user=user.pw_uid if user else None,
        group=user.pw_gid if user else None,
        extra_groups=[] if user else None,
    )


def _listens(process: subprocess.Popen[bytes], port: int) -> bool:
    for _ in range(250):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return True
        if process.poll() is not None:
            return False
        time.sleep(0.02)
    return False


def through(url: str, port: int) -> str:
    """Return the URL of the same database by way of PgBouncer."""
    parts = urlsplit(url)
    account = parts.netloc.rpartition("@")[0]
    return urlunsplit(parts._replace(netloc=f"{account}@127.0.0.1:{port}"))
