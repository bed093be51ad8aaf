"""The Postgres server of `make dev` and of the tests: the account that it runs as."""

import os
import pwd
import shutil
import subprocess
import sys

import pytest

from dev.postgres import accounts_locked
from tests.support.product import ROOT

AT_ONCE = 6
# Looks when it is told to, so that all look at the same moment.
MAKE = """
import pwd, sys
from dev.postgres import _account
print("ready", flush=True)
input()
print(pwd.getpwnam(_account(sys.argv[1])).pw_uid)
"""


@pytest.mark.skipif(
    os.geteuid() != 0 or not shutil.which("useradd"), reason="only root makes accounts"
)
def test_processes_that_make_the_postgres_account_at_once_get_the_same_one() -> None:
    name = f"parley_test_{os.getpid()}"
    command = [sys.executable, "-c", MAKE, name]
    processes = [
        subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(AT_ONCE)
    ]
    try:
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("\n")
            process.stdin.flush()
        found = {process.communicate()[0].strip() for process in processes}
        made = str(pwd.getpwnam(name).pw_uid)
    finally:
        with accounts_locked():
            subprocess.run(["userdel", name], check=False, capture_output=True)

    assert found == {made}
