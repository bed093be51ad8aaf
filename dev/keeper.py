"""Run one command, and end it when the starter of this process is gone.

    python dev/keeper.py SIGNAL USER COMMAND [ARGUMENT ...]

The starter holds the other end of stdin. When that closes, because the starter closes it or dies,
even by SIGKILL, the command gets the signal. (Linux could do this by PR_SET_PDEATHSIG, macOS could
not.) This runs in a session of its own, so that Ctrl-C reaches the starter only, which ends its
children in order.
"""

import os
import pwd
import signal
import subprocess
import sys
import threading

PATIENCE_SECONDS = 10


def main() -> int:
    """Start the command; return its exit status, as a shell would."""
    stop_signal, user, *command = sys.argv[1:]
    child = start(command, user)
    threading.Thread(target=end_with_starter, args=(child, stop_signal), daemon=True).start()
    status = child.wait()
    return status if status >= 0 else 128 - status


def start(command: list[str], user: str) -> subprocess.Popen[bytes]:
    """Start the command, as another user if one is named; it inherits all open files."""
    if not user:
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, close_fds=False)
    account = pwd.getpwnam(user)
    return subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        close_fds=False,
        cwd="/",
        user=account.pw_uid,
        group=account.pw_gid,
        extra_groups=[],
    )


def end_with_starter(child: subprocess.Popen[bytes], stop_signal: str) -> None:
    """Wait until stdin closes, then end the child: politely, later by force."""
    while os.read(0, 1024):
        pass
    child.send_signal(signal.Signals[stop_signal])
    try:
        child.wait(PATIENCE_SECONDS)
    except subprocess.TimeoutExpired:
        child.kill()


if __name__ == "__main__":
    sys.exit(main())
