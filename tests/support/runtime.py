"""Start a function in Vercel's own Python runtime, the way the platform starts it.

The platform runs a small handler file that the builder writes. It names the entry point in
`__VC_HANDLER_*` variables and imports `vercel_runtime.vc_init`, which imports our file, serves its
`app` on a port of 127.0.0.1 and reports all that happens on a Unix socket: `server-started`, then
`handler-started`, `log` and `end` for each request. Here that socket's other end is a thread.

    with start_function("api/history.py", {"DATABASE_URL": url}) as function:
        answer = httpx2.get(f"{function.base_url}/api/history", headers=invocation_headers(30))
        function.wait_for("end")
        assert "history_read" in function.log_text()
"""

import base64
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Self, TypedDict, cast

PROJECT = Path(__file__).resolve().parents[2]
_SERVER_STARTED = "server-started"

# What the builder's handler file does; it has set the other variables by then.
_START_SOURCE = """
import os, time
os.environ["__VC_PY_BOOT_START_MS"] = str(int(time.monotonic() * 1000))
import vercel_runtime.vc_init
"""
_START_BUNDLE = "import vc__handler__python"


class FunctionFailed(Exception):
    """The function's process ended, or gave up, before it served; the text says what it wrote."""


class Payload(TypedDict, total=False):
    """The part of a message that depends on its type."""

    httpPort: int
    initDuration: int
    userInitDuration: int
    message: str
    level: str
    stream: str
    context: dict[str, str | int]


class Message(TypedDict):
    """One message of the runtime to the platform."""

    type: str
    payload: Payload


@dataclass(frozen=True, slots=True)
class _Launch:
    """What to run, and where."""

    python: Path
    code: str
    directory: Path
    environment: Mapping[str, str]


def start_function(
    entrypoint: str,
    environment: Mapping[str, str],
    *,
    root: Path = PROJECT,
    python: Path = Path(sys.executable),
) -> "RunningFunction":
    """Start a function from its source, with the packages of an interpreter.

    Args:
        entrypoint: the file, relative to `root`: `api/chat/[id]/stream.py`.
        environment: all the variables it gets, beside those that the platform sets.
        root: what is the bundle's root on Vercel: the working directory, first in `sys.path`.
        python: whose packages it has.

    Raises:
        FunctionFailed: it could not be imported, or was not ready within 30 seconds.
    """
    handler = {
        "__VC_HANDLER_MODULE_NAME": entrypoint.removesuffix(".py").replace("/", "."),
        "__VC_HANDLER_ENTRYPOINT": entrypoint,
        "__VC_HANDLER_ENTRYPOINT_ABS": str(root / entrypoint),
        "__VC_HANDLER_VARIABLE_NAME": "app",
    }
    return RunningFunction(_Launch(python, _START_SOURCE, root, {**handler, **environment}))


def start_bundle(bundle: Path, environment: Mapping[str, str]) -> "RunningFunction":
    """Start a function from the bundle that `vercel build` made, with the bundle's packages alone.

    Args:
        bundle: the unpacked bundle: handler file, `api/`, `lib/`, `sql/` and `_vendor/`.
        environment: its variables, those of its `.vc-config.json` among them.

    Raises:
        FunctionFailed: it could not be imported, or was not ready within 30 seconds.
    """
    # The interpreter behind the virtual environment: what a bundle lacks must be missed.
    python = Path(sys.base_prefix) / "bin" / f"python3.{sys.version_info.minor}"
    return RunningFunction(_Launch(python, _START_BUNDLE, bundle, environment))


def invocation_headers(max_duration_seconds: float) -> dict[str, str]:
    """Return the headers that the platform adds to a request for the runtime.

    The runtime takes them off, offers the deadline as `vercel_runtime.deadline.get_deadline()`,
    and marks the request's log lines with the two ids.
    """
    deadline = datetime.now(UTC) + timedelta(seconds=max_duration_seconds)
    return {
        "x-vercel-internal-deadline": deadline.isoformat(timespec="milliseconds"),
        "x-vercel-internal-invocation-id": "invocation-1",
        "x-vercel-internal-request-id": "1",
    }


class RunningFunction:
    """One instance of a function: a process, its address, and what it told the platform.

    Attributes:
        base_url: `http://127.0.0.1:<port>`, without a path.
        process_id: of the process that serves.
        init_duration_ms: from its first line of Python until it served, as the runtime reports it.
        started_after_ms: from the start of the process until we were told, interpreter included.
    """

    base_url: str
    process_id: int
    init_duration_ms: int
    started_after_ms: float

    def __init__(self, launch: _Launch, *, timeout_seconds: float = 30) -> None:
        """Start the process and wait until it serves."""
        self._directory = tempfile.TemporaryDirectory(prefix="function-")
        self._output = Path(self._directory.name) / "output.txt"
        self._messages: list[Message] = []
        self._changed = threading.Condition()
        # A path of its own in the system's directory for such files: a socket's is at most
        # 107 bytes long, which a test's tmp_path often exceeds.
        path = Path(self._directory.name) / "ipc.sock"
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(path))
        self._listener.listen(1)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        started_at = time.monotonic()
        self._process = self._start(launch, path)
        self.process_id = self._process.pid
        try:
            message = self._wait_until_started(timeout_seconds)
        except BaseException:
            self.kill()
            raise
        self.started_after_ms = (time.monotonic() - started_at) * 1000
        self.init_duration_ms = message.get("initDuration", 0)
        self.base_url = f"http://127.0.0.1:{message.get('httpPort')}"

    def __enter__(self) -> Self:
        """Return the running function."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop it."""
        self.stop()

    @property
    def is_running(self) -> bool:
        """Whether the process is alive."""
        return self._process.poll() is None

    def messages(self, kind: str) -> list[Message]:
        """Return the messages of one type so far: `log`, `handler-started`, `end`."""
        with self._changed:
            return [message for message in self._messages if message["type"] == kind]

    def wait_for(self, kind: str, *, count: int = 1, timeout_seconds: float = 10) -> None:
        """Wait until so many messages of a type have come.

        `end` says that the app has returned, which may be long after its client was answered;
        everything that the request logged comes before it.

        Raises:
            TimeoutError: they have not come in time.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: self._count(kind) >= count, timeout_seconds):
                text = f"{self._count(kind)} of {count} {kind!r} messages in {timeout_seconds} s"
                raise TimeoutError(text)

    def log_text(self) -> str:
        """Return what the function logged, and wrote to its standard streams, so far."""
        payloads = [message["payload"] for message in self.messages("log")]
        texts = [base64.b64decode(payload.get("message", "")).decode() for payload in payloads]
        # A record of `logging` comes without a line's end, what is written to a stream with it.
        return "".join(text if text.endswith("\n") else f"{text}\n" for text in texts)

    def output(self) -> str:
        """Return what the process wrote past the runtime, such as a fatal error."""
        return self._output.read_text(errors="replace") if self._output.exists() else ""

    def stop(self, *, timeout_seconds: float = 5) -> None:
        """Ask it to end, as the platform does with an idle instance, and insist after a while."""
        if self.is_running:
            self._process.terminate()
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(timeout_seconds)
        self.kill()

    def kill(self) -> None:
        """End it at once, as the platform does past the deadline."""
        self._process.kill()
        self._process.wait()
        # Closing a listener does not wake a thread that waits in accept; shutting it down does.
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._reader.join()
        self._listener.close()
        self._directory.cleanup()

    def _start(self, launch: _Launch, ipc_path: Path) -> subprocess.Popen[bytes]:
        environment = {
            "PATH": os.environ["PATH"],
            "LANG": "C.UTF-8",
            "TZ": "UTC",
            "VERCEL": "1",
            "VERCEL_ENV": "production",
            "VERCEL_IPC_PATH": str(ipc_path),
            **launch.environment,
        }
        with self._output.open("wb") as output:
            return subprocess.Popen(
                [launch.python, "-c", launch.code],
                cwd=launch.directory,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def _wait_until_started(self, timeout_seconds: float) -> Payload:
        give_up_at = time.monotonic() + timeout_seconds
        while not self._count(_SERVER_STARTED):
            if self._process.poll() is not None:
                text = f"the function ended with {self._process.returncode}:\n{self.output()}"
                raise FunctionFailed(text)
            if time.monotonic() > give_up_at:
                text = f"the function was not ready in {timeout_seconds} s:\n{self.output()}"
                raise FunctionFailed(text)
            with self._changed:
                # A process that dies before it connects sends nothing, so look again now and then.
                self._changed.wait_for(lambda: self._count(_SERVER_STARTED), timeout=0.05)
        return self.messages(_SERVER_STARTED)[0]["payload"]

    def _count(self, kind: str) -> int:
        return sum(message["type"] == kind for message in self._messages)

    def _read(self) -> None:
        try:
            connection, _ = self._listener.accept()
        except OSError:
            return  # shut down: nobody connected
        rest = b""
        with connection:
            while received := connection.recv(65536):
                *lines, rest = (rest + received).split(b"\0")
                with self._changed:
                    self._messages += [cast("Message", json.loads(line)) for line in lines]
                    self._changed.notify_all()
