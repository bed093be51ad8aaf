"""The processes that `python -m dev` starts: none outlives it, even if it is killed."""

import os
import select
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

KEEPER = Path(__file__).with_name("keeper.py")
READY_VARIABLE = "PARLEY_READY_FD"


@dataclass(frozen=True, slots=True)
class Child:
    """A running command, behind a keeper (`dev/keeper.py`) that ends it when we are gone."""

    keeper: subprocess.Popen[bytes]
    _ready: int

    def wait_until_ready(self, seconds: float) -> str | None:
        """Return the text that the child announced; None: it ended first, or took longer."""
        readable, _, _ = select.select([self._ready], [], [], seconds)
        return os.read(self._ready, 4096).decode() or None if readable else None

    def is_running(self) -> bool:
        """Tell whether the command still runs."""
        return self.keeper.poll() is None

    def stop(self) -> None:
        """End the command and wait for its end: a few seconds at most, then it is killed."""
        if self.keeper.stdin and not self.keeper.stdin.closed:
            self.keeper.stdin.close()
            os.close(self._ready)
        self.keeper.wait()


def start(
    command: Sequence[str | Path],
    *,
    environment: Mapping[str, str] | None = None,
    log: Path | None = None,
    pass_fds: Sequence[int] = (),
    stop_signal: str = "SIGTERM",
    user: str = "",
) -> Child:
    """Start a command.

    Args:
        command: the program and its arguments.
        environment: its variables; None: those of this process.
        log: a file for its output, which is overwritten; None: the output of this process.
        pass_fds: open files that it inherits.
        stop_signal: the signal that ends it.
        user: the user that runs it; "": the user of this process.
    """
    ready, announcement = os.pipe()
    variables = {**(os.environ if environment is None else environment)}
    output = log.open("wb") if log else None
    try:
        keeper = subprocess.Popen(
            [sys.executable, "-ISE", KEEPER, stop_signal, user, *command],
            env=variables | {READY_VARIABLE: str(announcement)},
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT if output else None,
            pass_fds=(*pass_fds, announcement),
            start_new_session=True,
        )
    finally:
        os.close(announcement)
        if output:
            output.close()
    return Child(keeper, ready)


def announce(text: str) -> None:
    """Tell the process that started this one that it is ready; called once, in the child."""
    descriptor = int(os.environ.pop(READY_VARIABLE))
    os.write(descriptor, text.encode())
    os.close(descriptor)
